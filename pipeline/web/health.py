"""For whoever keeps the process running: is it alive, does it do its work, what are its figures."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse, Response
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from pipeline.web.sources import From

__all__ = ["router"]

router = APIRouter(tags=["health"])

_PLAIN: dict[int | str, dict[str, object]] = {
    503: {"description": "Why not, in one line.", "content": {"text/plain": {"schema": {"type": "string"}}}}
}


@router.get("/healthz", response_class=PlainTextResponse)
async def healthz() -> str:
    """`ok` while the process answers."""
    return "ok\n"


@router.get("/readyz", response_class=PlainTextResponse, responses=_PLAIN)
async def readyz(sources: From) -> PlainTextResponse:
    """`ok` while a camera is watched and alerts can be stored."""
    status = sources.status()
    if status.store_error:
        return PlainTextResponse("alerts can't be stored\n", 503)
    if not any(camera.state == "live" for camera in status.cameras):
        return PlainTextResponse("no camera is live\n", 503)
    return PlainTextResponse("ok\n")


@router.get("/metrics", response_class=PlainTextResponse)
def metrics(sources: From) -> Response:
    """Every metric, for Prometheus."""
    return Response(generate_latest(sources.metrics), media_type=CONTENT_TYPE_LATEST)
