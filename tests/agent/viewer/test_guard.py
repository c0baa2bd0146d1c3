"""Who gets an answer, and which files."""

from __future__ import annotations

import http.client
from pathlib import Path

import pytest

from agent.trace import RunError
from agent.viewer.guard import listening
from tests.agent.viewer.conftest import TOKEN, Viewer


def ask(
    viewer: Viewer, path: str, method: str = "GET", body: str | None = None, **headers: str
) -> tuple[int, str, http.client.HTTPResponse]:
    connection = http.client.HTTPConnection("127.0.0.1", viewer.port, timeout=20)
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    return answer.status, answer.read().decode("utf-8", "replace"), answer


def test_the_token_opens_and_nothing_else_does(viewer: Viewer) -> None:
    assert ask(viewer, f"/{TOKEN}/")[0] == 200
    for path in ("/", "/runs/", "/wrong/", f"/{TOKEN}x/", f"/x/{TOKEN}/", "//", f"/?token={TOKEN}"):
        assert ask(viewer, path)[0] == 403, path


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1", "127.0.0.1:1", "[::1]", ""])
def test_another_host_is_refused(viewer: Viewer, host: str) -> None:
    assert ask(viewer, f"/{TOKEN}/", Host=host)[0] in (400, 421)


def test_a_write_comes_from_the_viewers_own_page(viewer: Viewer) -> None:
    path, body = f"/{TOKEN}/runs/{viewer.ids['good']}/mark", "verdict=normal"
    own = f"http://127.0.0.1:{viewer.port}"
    for headers in ({}, {"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec_Fetch_Site": "cross-site"}):
        assert ask(viewer, path, "POST", body, **headers)[0] == 403, headers
    assert ask(viewer, path, "POST", "verdict=maybe", Origin=own)[0] == 400
    assert ask(viewer, path, "PUT", body, Origin=own)[0] == 405


def test_nothing_but_pictures_of_runs_is_served(viewer: Viewer, tmp_path: Path) -> None:
    run = viewer.ids["scratched"]
    folder = viewer.home / "runs" / run
    secret = tmp_path / "secret.png"
    secret.write_bytes((next(folder.glob("pictures/part*"))).read_bytes())
    (folder / "pictures" / "link.png").symlink_to(secret)
    (viewer.home / "runs" / "linked").symlink_to(folder)
    try:
        for path in (
            f"runs/{run}/pictures/link.png",
            f"runs/{run}/pictures/..%2f..%2f..%2fchat_history",
            f"runs/{run}/pictures/../run.json",
            f"runs/{run}/pictures/%2e%2e%2frun.json",
            f"runs/{run}/pictures//etc/passwd",
            f"runs/{run}/pictures/run.json",
            f"runs/{run}/thumbs/link.png",
            f"runs/{run}/thread.sqlite",
            f"runs/{run}/events.jsonl",
            f"runs/{run}/run.json",
            "runs/%2e%2e/pictures/x.png",
            "runs/..",
            "runs/..%2f..",
            "runs/linked",
            "runs/none",
            "runs/index.sqlite",
            "static/..%2fapp.py",
            "static/app.py",
            "../etc/passwd",
            "etc/passwd",
        ):
            assert ask(viewer, f"/{TOKEN}/{path}")[0] in (403, 404), path
        part = next(folder.glob("pictures/part*")).name
        assert ask(viewer, f"/{TOKEN}/runs/{run}/pictures/{part}")[0] == 200
    finally:
        (folder / "pictures" / "link.png").unlink()
        (viewer.home / "runs" / "linked").unlink()


def test_a_damaged_picture_is_no_traceback(viewer: Viewer) -> None:
    run = viewer.ids["scratched"]
    broken = viewer.home / "runs" / run / "pictures" / "broken.png"
    broken.write_bytes(b"no picture")
    try:
        assert ask(viewer, f"/{TOKEN}/runs/{run}/thumbs/broken.png")[0] == 404
    finally:
        broken.unlink()


def test_answers_forbid_scripts_and_other_sites(viewer: Viewer) -> None:
    assert ask(viewer, "/")[2].headers["x-content-type-options"] == "nosniff"
    answer = ask(viewer, f"/{TOKEN}/")[2]
    policy = answer.headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "default-src 'none'" in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "same-origin"


def test_a_taken_port_is_one_line() -> None:
    with listening(0) as taken, pytest.raises(RunError, match="choose another one with --port"):
        listening(taken.getsockname()[1])
