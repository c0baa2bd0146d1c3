"""The viewer's addresses: the list, one run, two runs beside each other, pictures, and an operator's word."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from agent.inspector import expected_errors
from agent.trace import Run, RunError
from agent.viewer.guard import Guard
from agent.viewer.index import Asked, RunIndex
from agent.viewer.pages import Site, compare_page, error_page, list_page, run_page
from agent.viewer.shelf import picture_of, run_of
from tools.cases import Word
from tools.image import ImageError, jpeg, load_image

if TYPE_CHECKING:
    from starlette.types import ASGIApp

STATIC = Path(__file__).parent / "static"
TYPES = {".js": "text/javascript", ".jpg": "image/jpeg", ".png": "image/png"}
THUMB_SIDE = 112
FOREVER = {"cache-control": "private, max-age=31536000, immutable"}  # the name of a picture is made from its bytes


def make_app(home: Path, token: str, port: int) -> ASGIApp:
    """The viewer of one home; it serves what lies in its runs and nothing else."""
    viewer = _Viewer(home, token)
    routes = [
        Route("/", viewer.list),
        Route("/compare", viewer.compare),
        Route("/runs/{id}", viewer.show),
        Route("/runs/{id}/state", viewer.state),
        Route("/runs/{id}/pictures/{name}", viewer.picture),
        Route("/runs/{id}/thumbs/{name}", viewer.thumb),
        Route("/runs/{id}/mark", viewer.mark, methods=["POST"]),
        Route("/static/{name}", _static),
    ]
    faults = {HTTPException: viewer.refused, 500: viewer.broken}
    return Guard(Starlette(routes=routes, exception_handlers=faults), token, port)


class _Viewer:
    """What each address answers."""

    def __init__(self, home: Path, token: str) -> None:
        from tools.cases.store import Cases

        self.runs = home / "runs"
        self.site = Site(f"/{token}", RunIndex(self.runs), Cases(home / "cases"))

    def list(self, request: Request) -> Response:
        beside = request.query_params.get("with", "")
        one = self._run(beside, events=False) if beside else None
        return HTMLResponse(list_page(self.site, _asked(request.query_params), one))

    def show(self, request: Request) -> Response:
        return HTMLResponse(run_page(self.site, self._run(request.path_params["id"])))

    def compare(self, request: Request) -> Response:
        ids = tuple(dict.fromkeys(request.query_params.getlist("run")))
        if len(ids) == 1:
            return RedirectResponse(f"{self.site.base}/?with={self._run(ids[0], events=False).id}", 303)
        if len(ids) != 2:
            raise HTTPException(400, "Choose two runs in the list to compare them.")
        return HTMLResponse(compare_page(self.site, self._run(ids[0]), self._run(ids[1])))

    def state(self, request: Request) -> Response:
        run = self._run(request.path_params["id"])
        return JSONResponse({"status": run.status, "events": len(run.events)})

    def picture(self, request: Request) -> Response:
        path = self._file(request)
        return Response(path.read_bytes(), media_type=TYPES[path.suffix], headers=FOREVER)

    def thumb(self, request: Request) -> Response:
        try:
            return Response(_small(self._file(request)), media_type="image/jpeg", headers=FOREVER)
        except ImageError as error:
            raise HTTPException(404, str(error)) from error

    async def mark(self, request: Request) -> Response:
        from starlette.concurrency import run_in_threadpool

        form = parse_qs((await request.body()).decode("utf-8", "replace"))
        run = await run_in_threadpool(self._run, request.path_params["id"])
        try:
            await run_in_threadpool(_marked, self.site, run, {name: values[0] for name, values in form.items()})
        except expected_errors() as error:
            return HTMLResponse(run_page(self.site, run, fault=str(error)), 400)
        return RedirectResponse(f"{self.site.base}/runs/{run.id}#mark", 303)

    def refused(self, request: Request, error: Exception) -> Response:  # noqa: ARG002
        assert isinstance(error, HTTPException)
        return HTMLResponse(error_page(self.site, str(error.detail)), error.status_code)

    def broken(self, request: Request, error: Exception) -> Response:  # noqa: ARG002
        words = f"This page could not be made: {type(error).__name__} {error}. The terminal shows where."
        return HTMLResponse(error_page(self.site, words), 500)

    def _run(self, id_: str, *, events: bool = True) -> Run:
        try:
            return run_of(self.runs, id_, events=events)
        except RunError as error:
            raise HTTPException(404, str(error)) from error

    def _file(self, request: Request) -> Path:
        path = picture_of(self.runs / request.path_params["id"], request.path_params["name"])
        if path is None:
            raise HTTPException(404, "there is no such picture")
        return path


def _static(request: Request) -> Response:
    path = STATIC / Path(request.path_params["name"]).name
    if not path.is_file() or path.suffix not in TYPES:
        raise HTTPException(404)
    return Response(path.read_bytes(), media_type=TYPES[path.suffix])


def _asked(query: Mapping[str, str]) -> Asked:
    page = query.get("page", "1")
    fields = {name: query.get(name, "").strip() for name in ("state", "product", "planner", "words")}
    number = min(max(int(page), 1), 1_000_000) if page.isascii() and page.isdigit() and len(page) < 10 else 1
    return Asked(**fields, sort=query.get("sort", "newest"), page=number)


@lru_cache(maxsize=2_000)
def _small(path: Path) -> bytes:
    from tools.drawing import at_most

    return jpeg(at_most(load_image(path).pixels, THUMB_SIDE), quality=80)


def _marked(site: Site, run: Run, form: Mapping[str, Any]) -> None:
    """Keeps or forgets the operator's word; RunError where it is none."""
    from agent.feedback import remember

    if form.get("forget"):
        site.cases.forget(run.id)
        return
    verdict = form.get("verdict", "")
    if verdict not in get_args(Word):
        raise RunError(run.folder, "was not marked", "say normal or defective")
    remember(site.cases, run, cast("Word", verdict), str(form.get("type", "")), str(form.get("note", "")))
