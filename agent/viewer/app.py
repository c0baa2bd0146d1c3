"""The viewer's addresses: the list, one run, two runs beside each other, pictures, and an operator's word."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, get_args
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from agent.inspector import expected_errors
from agent.trace import Run, RunError, read_run
from agent.viewer.guard import Guard
from agent.viewer.index import Asked, RunIndex
from agent.viewer.pages import Site, compare_page, list_page, run_page

if TYPE_CHECKING:
    from starlette.types import ASGIApp

STATIC = Path(__file__).parent / "static"
TYPES = {".js": "text/javascript", ".jpg": "image/jpeg", ".png": "image/png"}
NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*\.(?:jpg|png)")
THUMB_SIDE = 112
FOREVER = {"cache-control": "private, max-age=31536000, immutable"}  # the name of a picture is made from its bytes
Word = Literal["normal", "defective"]


def make_app(home: Path, token: str, port: int) -> ASGIApp:
    """The viewer of one home; it serves what lies in its runs and nothing else."""
    from tools.cases.store import Cases

    runs = home / "runs"
    site = Site(f"/{token}", RunIndex(runs), Cases(home / "cases"))

    def found(id_: str, *, events: bool = True) -> Run:
        if not re.fullmatch(r"[0-9a-z-]+", id_) or not (runs / id_).is_dir() or (runs / id_).is_symlink():
            raise HTTPException(404, "there is no such run")
        try:
            return read_run(runs, id_, events=events)
        except RunError as error:
            raise HTTPException(404, str(error)) from error

    def listed(request: Request) -> Response:
        return HTMLResponse(list_page(site, _asked(request.query_params)))

    def shown(request: Request) -> Response:
        return HTMLResponse(run_page(site, found(request.path_params["id"])))

    def compared(request: Request) -> Response:
        ids = request.query_params.getlist("run")
        if len(ids) != 2:
            raise HTTPException(400, "choose two runs in the list to compare them")
        return HTMLResponse(compare_page(site, found(ids[0]), found(ids[1])))

    def state(request: Request) -> Response:
        run = found(request.path_params["id"])
        return JSONResponse({"status": run.status, "events": len(run.events)})

    def raw(request: Request) -> Response:
        run = found(request.path_params["id"])
        return Response((run.folder / "run.json").read_bytes(), media_type="application/json")

    def picture(request: Request) -> Response:
        path = _picture(found(request.path_params["id"], events=False), request.path_params["name"])
        return Response(path.read_bytes(), media_type=TYPES[path.suffix], headers=FOREVER)

    def thumb(request: Request) -> Response:
        path = _picture(found(request.path_params["id"], events=False), request.path_params["name"])
        return Response(_small(path), media_type="image/jpeg", headers=FOREVER)

    async def mark(request: Request) -> Response:
        from starlette.concurrency import run_in_threadpool

        form = parse_qs((await request.body()).decode("utf-8", "replace"))
        run = found(request.path_params["id"])
        try:
            await run_in_threadpool(_marked, site, run, {name: values[0] for name, values in form.items()})
        except expected_errors() as error:
            return HTMLResponse(run_page(site, run, fault=str(error)), 400)
        return RedirectResponse(f"{site.base}/runs/{run.id}#mark", 303)

    def static(request: Request) -> Response:
        path = STATIC / Path(request.path_params["name"]).name
        if not path.is_file() or path.suffix not in TYPES:
            raise HTTPException(404)
        return Response(path.read_bytes(), media_type=TYPES[path.suffix])

    routes = [
        Route("/", listed),
        Route("/compare", compared),
        Route("/runs/{id}", shown),
        Route("/runs/{id}/state", state),
        Route("/runs/{id}/run.json", raw),
        Route("/runs/{id}/pictures/{name}", picture),
        Route("/runs/{id}/thumbs/{name}", thumb),
        Route("/runs/{id}/mark", mark, methods=["POST"]),
        Route("/static/{name}", static),
    ]
    return Guard(Starlette(routes=routes, exception_handlers={HTTPException: _refused}), token, port)


def _refused(request: Request, error: Exception) -> Response:  # noqa: ARG001
    assert isinstance(error, HTTPException)
    return Response(str(error.detail), error.status_code, media_type="text/plain")


def _asked(query: Mapping[str, str]) -> Asked:
    page = query.get("page", "1")
    fields = {name: query.get(name, "").strip() for name in ("state", "product", "planner", "words")}
    number = min(max(int(page), 1), 1_000_000) if page.isascii() and page.isdigit() else 1
    return Asked(**fields, sort=query.get("sort", "newest"), page=number)


def _picture(run: Run, name: str) -> Path:
    """A picture of the run; 404 for any other name, and for a link that leads elsewhere."""
    path = run.folder / "pictures" / name
    if not NAME.fullmatch(name) or path.is_symlink() or path.parent.is_symlink() or not path.is_file():
        raise HTTPException(404, "there is no such picture")
    return path


@lru_cache(maxsize=2_000)
def _small(path: Path) -> bytes:
    from PIL import Image

    from tools.drawing import at_most
    from tools.image import load_image

    written = BytesIO()
    Image.fromarray(at_most(load_image(path).pixels, THUMB_SIDE)).save(written, "JPEG", quality=80)
    return written.getvalue()


def _marked(site: Site, run: Run, form: Mapping[str, Any]) -> None:
    """Keeps or forgets the operator's word; RunError where it is none."""
    from agent.feedback import remember

    if form.get("forget"):
        site.cases.forget(run.id)
        return
    verdict = form.get("verdict", "")
    if verdict not in get_args(Word):
        raise RunError(run.folder, "was not marked", "say normal or defective")
    remember(site.cases, run, cast("Word", verdict), str(form.get("type", ""))[:80], str(form.get("note", ""))[:600])
