"""Server-sent events: the status while it changes, and every transition of an alert, without polling.

Every event's `id` is a place in the journal: a browser that connects anew says the last one it got, and misses none.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, HTTPException, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import Field

from connectors.store_reader import StoreReader
from operators.errors import SinkError
from pipeline.web.alerts import Transition
from pipeline.web.answers import Answer
from pipeline.web.cameras import Camera, PipelineStatus, camera_list, status_now
from pipeline.web.sources import From, Sources

__all__ = ["Now", "router"]

log = logging.getLogger(__name__)

router = APIRouter(prefix="/api", tags=["now"])

TICK_S = 0.25
"""How often a stream looks whether something came, and whether the console ends."""
STATUS_EVERY_S = 1.0
ALIVE_EVERY_S = 15.0
"""So often something is sent, lest proxies take the silence for the end."""
PAGE = 200
STREAMS = 32
"""More at the same time are refused."""
Place = Annotated[int | None, Field(ge=0, le=2**62)]


class Now(Answer):
    """The data of an event `status`."""

    status: PipelineStatus
    cameras: list[Camera]


@router.get(
    "/events",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "Events `status` (data: status and cameras, once a second while they change) and `alert` "
            "(data: a transition). Their `id` goes into `Last-Event-ID` after an interruption.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        }
    },
)
async def events(
    request: Request,
    sources: From,
    last_event_id: Annotated[Place, Header(description="The last `id` received; without it, only what is new.")] = None,
    after: Annotated[Place, Query(description="The same, for clients that can't set headers.")] = None,
) -> StreamingResponse:
    """What happens, as it happens: server-sent events."""
    streams: Streams = request.app.state.streams
    if streams.open >= STREAMS:
        raise HTTPException(503, f"expected at most {STREAMS} streams of events at the same time: close some pages")
    place = last_event_id if last_event_id is not None else after
    place = _begin(sources.reader, place)
    return StreamingResponse(streams.stream(place), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})


def _begin(reader: StoreReader, place: int | None) -> int:
    """Where a stream begins: at the place that is known, or now. Raises SinkError where neither can be told."""
    try:
        last = reader.last()
    except SinkError:
        if place is None:
            raise
        return place
    return last if place is None else min(place, last)  # a higher one is of a store that is no more


class Streams:
    """The open streams of one console. What all of them say is put together once, and only while one is open.

    Everything runs in the event loop itself: what it reads takes microseconds, less than a thread would.
    """

    def __init__(self, sources: Sources) -> None:
        self.open = 0
        self._sources = sources
        self._unread = False
        self._told: tuple[object, float, str] = (None, -math.inf, "")

    async def stream(self, place: int) -> AsyncIterator[str]:
        """Events from a place of the journal on, until the client or the console goes."""
        self.open += 1
        try:
            async for event in self._events(place):
                yield event
        finally:
            self.open -= 1

    async def _events(self, at: int) -> AsyncIterator[str]:
        loop = asyncio.get_running_loop()
        yield "retry: 2000\n\n"
        status, status_due, alive_due = "", 0.0, loop.time() + ALIVE_EVERY_S
        while not self._sources.closing.is_set():
            now = loop.time()
            at, alerts = self._alerts(at)
            if alerts:
                yield alerts
            before = status
            if now >= status_due:
                status, status_due = self._status(), now + STATUS_EVERY_S
            if status is not before:
                yield f"id: {at}\nevent: status\ndata: {status}\n\n"
                alive_due = now + ALIVE_EVERY_S
            elif now >= alive_due:
                yield ": still here\n\n"
                alive_due = now + ALIVE_EVERY_S
            await asyncio.sleep(TICK_S)

    def _alerts(self, place: int) -> tuple[int, str]:
        """The next transitions behind a place as events, and the place behind them."""
        try:
            found = self._sources.reader.after(place, PAGE)
        except SinkError as error:  # when the store is back, all that was missed comes
            if not self._unread:
                log.warning("the console can't read the alerts error=%s", error)
            self._unread = True
            return place, ""
        self._unread = False
        said = "".join(
            f"id: {position}\nevent: alert\ndata: {Transition.of(alert).model_dump_json()}\n\n"
            for position, alert in found
        )
        return (found[-1][0] if found else place), said

    def _status(self) -> str:
        """The status as text; the same object while it is the same."""
        status = self._sources.status()
        told, at, text = self._told
        now = time.monotonic()
        if told is not status and now - at >= STATUS_EVERY_S / 2:
            text = Now(status=status_now(self._sources), cameras=list(camera_list(self._sources))).model_dump_json()
            self._told = status, now, text
        return text
