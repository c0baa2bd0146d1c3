"""The viewer's addresses: the list, one run, two runs beside each other, pictures, and an operator's word."""

from __future__ import annotations

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
from agent.trace import Run, RunError
from agent.viewer.guard import Guard
from agent.viewer.index import Asked, RunIndex
from agent.viewer.pages import Site, compare_page, error_page, list_page, run_page
from agent.viewer.shelf import picture_of, run_of
from tools.image import ImageError

if TYPE_CHECKING:
    from starlette.types import ASGIApp

STATIC = Path(__file__).parent / "static"
TYPES = {".js": "text/javascript", ".jpg": "image/jpeg", ".png": "image/png"}
THUMB_SIDE = 112
FOREVER = {"cache-control": "private, max-age=31536000, immutable"}  # the name of a picture is made from its bytes
Word = Literal["normal", "defective"]


def make_app(home: Path, token: str, port: int) -> ASGIApp:
    """The viewer of one home; it serves what lies in its runs and nothing else."""
    from tools.cases.store import Cases

    runs = home / "runs"
    site = Site(f"/{token}", RunIndex(runs), Cases(home / "cases"))

    def found(id_: str, *, events: bool = True) -> Run:
        try:
            return run_of(runs, id_, events=events)
        except RunError as error:
            raise HTTPException(404, str(error)) from error

    def file_of(request: Request) -> Path:
        path = picture_of(runs / request.path_params["id"], request.path_params["name"])
        if path is None:
            raise HTTPException(404, "there is no such picture")
        return path

    def listed(request: Request) -> Response:
        beside = request.query_params.get("with", "")
        one = found(beside, events=False) if beside else None
        return HTMLResponse(list_page(site, _asked(request.query_params), one))

    def shown(request: Request) -> Response:
        return HTMLResponse(run_page(site, found(request.path_params["id"])))

    def compared(request: Request) -> Response:
        ids = list(dict.fromkeys(request.query_params.getlist("run")))
        if len(ids) == 1:
            return RedirectResponse(f"{site.base}/?with={found(ids[0], events=False).id}", 303)
        if len(ids) != 2:
            raise HTTPException(400, "Choose two runs in the list to compare them.")
        return HTMLResponse(compare_page(site, found(ids[0]), found(ids[1])))

    def state(request: Request) -> Response:
        run = found(request.path_params["id"])
        return JSONResponse({"status": run.status, "events": len(run.events)})

    def picture(request: Request) -> Response:
        path = file_of(request)
        return Response(path.read_bytes(), media_type=TYPES[path.suffix], headers=FOREVER)

    def thumb(request: Request) -> Response:
        try:
            return Response(_small(file_of(request)), media_type="image/jpeg", headers=FOREVER)
        except ImageError as error:
            raise HTTPException(404, str(error)) from error

    async def mark(request: Request) -> Response:
        from starlette.concurrency import run_in_threadpool

        form = parse_qs((await request.body()).decode("utf-8", "replace"))
        run = await run_in_threadpool(found, request.path_params["id"])
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

    def refused(request: Request, error: Exception) -> Response:  # noqa: ARG001
        assert isinstance(error, HTTPException)
        return HTMLResponse(error_page(site, str(error.detail)), error.status_code)

    def broken(request: Request, error: Exception) -> Response:  # noqa: ARG001
        words = f"This page could not be made: {type(error).__name__} {error}. The terminal shows where."
        return HTMLResponse(error_page(site, words), 500)

    routes = [
        Route("/", listed),
        Route("/compare", compared),
        Route("/runs/{id}", shown),
        Route("/runs/{id}/state", state),
        Route("/runs/{id}/pictures/{name}", picture),
        Route("/runs/{id}/thumbs/{name}", thumb),
        Route("/runs/{id}/mark", mark, methods=["POST"]),
        Route("/static/{name}", static),
    ]
    return Guard(Starlette(routes=routes, exception_handlers={HTTPException: refused, 500: broken}), token, port)


def _asked(query: Mapping[str, str]) -> Asked:
    page = query.get("page", "1")
    fields = {name: query.get(name, "").strip() for name in ("state", "product", "planner", "words")}
    number = min(max(int(page), 1), 1_000_000) if page.isascii() and page.isdigit() and len(page) < 10 else 1
    return Asked(**fields, sort=query.get("sort", "newest"), page=number)


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
