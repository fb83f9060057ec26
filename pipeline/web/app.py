"""The application: routes, guard and documentation put together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path

import anyio
from fastapi import FastAPI
from fastapi.responses import FileResponse
from starlette.staticfiles import StaticFiles

from pipeline.web import (
    alerts,
    cameras,
    errors,
    events,
    health,
    observations,
    picture,
    predict,
    recordings,
    replays,
    rules,
    security,
    timeline,
)
from pipeline.web.answers import PROBLEMS
from pipeline.web.sources import Sources

__all__ = ["STATIC", "create_app"]

STATIC = Path(__file__).with_name("static")
THREADS = 4
"""Requests that are worked on at the same time: the cores belong to the analysis."""
_ABOUT = """What mien sees and says, for its console and for programs.

Times are seconds since the Unix epoch, durations end in `_s` and are seconds. No answer holds a track id, an embedding
or a picture but that of the live view. Where a token is configured, send `Authorization: Bearer TOKEN`.
"""


def create_app(sources: Sources) -> FastAPI:
    """The console over `sources`."""
    app = FastAPI(
        title="mien",
        summary="Event-time alert rules over facial expressions.",
        description=_ABOUT,
        version=version("mien"),
        openapi_url="/api/openapi.json",
        docs_url=None,  # its pages come from elsewhere
        redoc_url=None,
        responses=PROBLEMS,
        generate_unique_id_function=lambda route: route.name,
        lifespan=_few_threads,
    )
    app.state.sources = sources
    app.state.sessions = security.Sessions(sources.settings.console.token)
    app.state.streams = events.Streams(sources)
    app.state.pictures = picture.Pictures()
    app.state.predictor = predict.Predictor(sources.analyzer)
    app.state.replays = replays.Replays(sources.closing)
    app.state.misses = rules.NearestMisses(sources.reader)
    app.add_middleware(security.Guard, console=sources.settings.console, sessions=app.state.sessions)
    errors.install(app)
    for part in (
        health,
        cameras,
        alerts,
        events,
        picture,
        timeline,
        observations,
        rules,
        recordings,
        replays,
        predict,
        security,
    ):
        app.include_router(part.router)
    app.mount("/static", StaticFiles(directory=STATIC, check_dir=False))
    app.add_api_route("/", _page, include_in_schema=False)
    if sources.settings.console.token is not None:
        _tell_of_the_token(app)
    return app


def _tell_of_the_token(app: FastAPI) -> None:
    """Say in the documentation which operations need it."""
    document = app.openapi()  # made once, and kept by the application
    ways = {
        "token": {"type": "http", "scheme": "bearer"},
        "session": {"type": "apiKey", "in": "cookie", "name": security.COOKIE},
    }
    document["components"]["securitySchemes"] = ways
    for path, operations in document["paths"].items():
        for operation in operations.values():
            operation["security"] = [] if path in security.OPEN else [{way: []} for way in ways]


@asynccontextmanager
async def _few_threads(_: FastAPI) -> AsyncIterator[None]:
    anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
    yield


def _page() -> FileResponse:
    return FileResponse(STATIC / "index.html")
