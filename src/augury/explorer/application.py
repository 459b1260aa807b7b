"""The web application: routes, errors in words, and templates."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from augury.errors import AuguryError, DataError, RunFolderError, SettingsError
from augury.explorer import data, generator, latent, review, training, trial
from augury.explorer.access import Access
from augury.explorer.uploads import UPLOAD_LIMIT, body_of
from augury.explorer.view import RunView
from augury.report import page as report_page
from augury.report import wording

PAGES = ("data", "training", "generator", "review", "verdict")
STATIC = {
    "report.css": ("augury.report", "style.css", "text/css"),
    **{f"{name}.css": ("augury.explorer", f"static/{name}.css", "text/css") for name in ("explorer",)},
    **{
        f"{name}.js": ("augury.explorer", f"static/{name}.js", "text/javascript")
        for name in ("common", "generator", "latent", "review", "live")
    },
}
"""Every file that the pages load: name -> (package, path in it, media type)."""
DECISION_LIMIT = 2**16
LOGGER = logging.getLogger("augury")


def application(view: RunView, token: str = "") -> Starlette:
    """The pages of a run as an ASGI application; with `token`, only for those who have it."""

    def html(name: str, facts: Callable[[RunView, Mapping[str, str]], dict[str, Any]]) -> Route:
        def endpoint(request: Request) -> Response:
            return _page(view, name, facts(view, request.query_params))

        return Route(f"/{name}", endpoint)

    def answers(path: str, facts: Callable[[RunView, Mapping[str, str]], dict[str, Any]]) -> Route:
        return Route(path, lambda request: JSONResponse(facts(view, request.query_params)))

    def picture(path: str, find: Callable[[RunView, str], bytes]) -> Route:
        return Route(
            path, lambda request: Response(find(view, request.path_params.get("name", "")), media_type="image/png")
        )

    async def decide(request: Request) -> Response:
        raw = await body_of(request, DECISION_LIMIT, "a decision")
        answer = await run_in_threadpool(review.decide, view, _json(raw))
        return JSONResponse(answer, 200 if answer["stored"] else 409)

    def takes_image(path: str, work: Callable[[RunView, Mapping[str, str], bytes], dict[str, Any]]) -> Route:
        async def endpoint(request: Request) -> Response:
            raw = await body_of(request, UPLOAD_LIMIT, "an uploaded image")
            return JSONResponse(await run_in_threadpool(work, view, request.query_params, raw))

        return Route(path, endpoint, methods=["POST"])

    def failed(request: Request, error: Exception) -> Response:
        return _failure(view, request, error)

    return Starlette(
        routes=[
            Route("/", lambda request: RedirectResponse(f"/{_first(view)}", 303)),
            html("data", data.page),
            html("training", lambda view, _: training.page(view)),
            html("generator", lambda view, _: generator.page(view)),
            html("review", review.page),
            html("verdict", trial.page),
            answers("/api/draw", generator.draw),
            answers("/api/walk", generator.walk),
            answers("/api/mix", generator.mix),
            answers("/api/review", lambda view, _: review.state(view)),
            Route("/api/review", decide, methods=["POST"]),
            answers("/api/directions", lambda view, _: latent.directions(view)),
            answers("/api/edit", latent.edited),
            answers("/api/photograph", latent.inverted),
            takes_image("/api/translate", generator.translate),
            takes_image("/api/photograph", latent.invert),
            picture("/samples/{name}", training.sample),
            picture("/near-duplicates.png", lambda view, _: data.near_duplicates(view)),
            Route("/static/{name}", _static),
        ],
        middleware=[Middleware(Access, token=token)],
        exception_handlers={AuguryError: failed, HTTPException: failed, Exception: failed},
    )


def _first(view: RunView) -> str:
    """The page to begin with: the furthest that has something to show."""
    if (view.run / "synthesizer" / "card.json").exists():
        return "generator"
    return "training" if (view.run / "train" / "log.jsonl").exists() else "data"


def _page(view: RunView, name: str, facts: Mapping[str, Any], status: int = 200) -> Response:
    text = (
        _templates()
        .get_template(f"{name}.html.j2")
        .render(run=view.name, folder=view.folder, tabs=PAGES, here=name, **facts)
    )
    return HTMLResponse(report_page.UNPRINTABLE.sub("\ufffd", text), status)


@cache
def _templates() -> Environment:
    loader = ChoiceLoader([PackageLoader("augury.explorer"), PackageLoader("augury", "report")])
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    for name in report_page.FILTERS:
        environment.filters[name] = getattr(wording, name)
    return environment


def _static(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in STATIC:
        raise HTTPException(404)
    package, path, media = STATIC[name]
    return Response(files(package).joinpath(path).read_bytes(), media_type=media)


def _json(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        raise SettingsError("the request is not JSON; reload the page") from None


def _failure(view: RunView, request: Request, error: Exception) -> Response:
    """An error as JSON for scripts and as a page for people; the details of an unexpected one go to the log."""
    status, message = (
        500,
        "The explorer failed. The terminal where it runs shows the details; reload the page to go on.",
    )
    if isinstance(error, HTTPException):
        status = error.status_code
        message = "There is no such page." if status == 404 else f"{error.detail}."
    elif isinstance(error, AuguryError):
        status = (
            409 if isinstance(error, RunFolderError) else 400 if isinstance(error, DataError | SettingsError) else 500
        )
        message = str(error)
    else:
        LOGGER.error("%s %s", request.method, request.url.path, exc_info=error)
    if request.url.path.startswith(("/api/", "/static/")):
        return JSONResponse({"error": message}, status)
    return _page(view, "error", {"message": message}, status)
