"""The console's API over a site that the test makes up: a server on a free port, no camera and no model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from prometheus_client import CollectorRegistry

from connectors.store import Store
from connectors.store_reader import StoreReader
from operators.analyze import Analyzer
from pipeline.build import build_evaluator
from pipeline.config import Settings
from pipeline.evaluation import Evaluation
from pipeline.status import Status
from pipeline.web.server import listen, served, url_of
from pipeline.web.sources import Memory, Sources

__all__ = ["asking", "site_of", "sources_of"]


def site_of(folder: Path, **sections: Any) -> Settings:
    """Settings with two cameras, lobby and quay, unless `sections` says otherwise."""
    return Settings.model_validate(
        {
            "purpose": "a test",
            "cameras": {name: {"url": "/no/such/video.mp4", "fps": 5} for name in ("lobby", "quay")},
            "store": {"path": str(folder / "mien.sqlite")},
            "console": {"port": 0},
            **sections,
        }
    )


def _no_models() -> Analyzer:
    raise AssertionError("this test needs no models")


@contextmanager
def sources_of(settings: Settings, *, analyzer: Callable[[], Analyzer] = _no_models) -> Iterator[Sources]:
    """What the API reads, with nothing in it yet."""
    store = Store(settings.store)
    reader = StoreReader(settings.store.path)
    try:
        yield Sources(
            settings=settings,
            status=lambda: Status(uptime_s=1.0, cameras=()),
            reader=reader,
            store=store,
            metrics=CollectorRegistry(),
            memory=Memory(settings),
            evaluation=Evaluation(build_evaluator(settings)),
            analyzer=analyzer,
        )
    finally:
        reader.close()
        store.close()


@contextmanager
def asking(sources: Sources) -> Iterator[httpx.Client]:
    """A client of the API over `sources`."""
    console = sources.settings.console
    listening = listen(console)
    url = url_of(console, listening)
    with served(sources, listening), httpx.Client(base_url=url, timeout=60) as client:
        yield client
