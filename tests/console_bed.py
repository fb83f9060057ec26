"""The console to look at and to test: over the built-in scene as it runs, or over a store full of made-up alerts.

    python -m tests.console_bed --scene
    python -m tests.console_bed --port 8420 --cameras 16 --alerts 10000

The made-up cameras show the built-in scene, as the models see it; one of them is dead, one stalled, two are unwell.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from connectors.scene import LOOP_S, NAMES, load_figure, render
from connectors.store import Store
from connectors.store_reader import StoreReader
from operators.records import Clock, Frame, Observation
from pipeline.build import build_analyzer, build_evaluator
from pipeline.config import Settings, load_settings
from pipeline.demo import CONFIG, with_store
from pipeline.evaluation import Evaluation
from pipeline.metrics import Metrics
from pipeline.run import run
from pipeline.status import CameraStatus, RulesStatus, SinkStatus, Status
from pipeline.web.server import listen, served, url_of
from pipeline.web.sources import Memory, Sources
from tests.alerts import made_up

__all__ = ["made_up_settings", "made_up_sources", "serving"]

RULES: tuple[dict[str, Any], ...] = (
    {"id": "happiness-3s", "severity": "notice", "when": "happiness >= 0.6", "for": "3s"},
    {"id": "fear-3s", "severity": "warning", "when": "fear >= 0.6", "for": "3s", "where": {"zones": ["desk"]}},
    {"id": "anger-at-desk", "severity": "critical", "when": "anger >= 0.5", "for": "10s", "where": {"zones": ["desk"]}},
    {"id": "nobody-there", "severity": "info", "when": "neutral >= 0.9", "for": "1m"},
)
DESK = {"desk": {"polygon": [[0.1, 0.2], [0.6, 0.2], [0.6, 0.95], [0.1, 0.95]]}}
LOOKS = 22
"""So many pictures of the scene, one per second of its loop."""
EVERY_S = 1.0
HISTORY_EVERY_S = 4


def made_up_settings(folder: Path, *, cameras: int = 16, **console: Any) -> Settings:
    """A site with so many cameras; `console` are keys of its section."""
    names = [f"camera-{number + 1:02d}" for number in range(cameras)]
    return Settings.model_validate(
        {
            "purpose": "A made-up site to look at the console with; nobody is watched.",
            "cameras": {
                name: {"url": f"scene://{NAMES[number % 2]}", "fps": 5, "zones": DESK if number % 4 == 0 else {}}
                for number, name in enumerate(names)
            },
            "groups": {"hall": {"cameras": names[: max(1, cameras // 2)]}},
            "rules": RULES,
            "store": {"path": str(folder / "mien.sqlite")},
            "console": console,
        }
    )


@dataclass(slots=True)
class MadeUp:
    """Cameras that tell a story without a camera: `status()` and `look()` say how things are now."""

    settings: Settings
    firing: int = 0
    started: float = 0.0

    def status(self) -> Status:
        """As a pipeline would say it."""
        up = time.time() - self.started
        return Status(
            uptime_s=up,
            cameras=tuple(_camera(name, number, up) for number, name in enumerate(self.settings.cameras)),
            firing=self.firing,
            sinks=(SinkStatus("hook", 3, "127.0.0.1:9999 refused the connection"), SinkStatus("stdout", 0)),
            store=str(self.settings.store.path),
            rules=RulesStatus("5f1d0c7be2a9", self.settings.rules),
        )

    def look(self, now: float) -> Iterator[tuple[Frame, Observation]]:
        """What every live camera shows now."""
        for number, camera_id in enumerate(self.settings.cameras):
            if _state(number)[0] == "live":
                frame, seen = _looks(NAMES[number % 2])[int(now + 5 * number) % LOOKS]
                of_it = {"camera_id": camera_id, "epoch": 1, "seq": int(now), "ts": now, "clock": Clock.SENDER}
                yield replace(frame, **of_it), replace(seen, **of_it)


@contextmanager
def made_up_sources(settings: Settings, *, alerts: int = 10_000) -> Iterator[Sources]:
    """Sources over made-up cameras and so many made-up alerts."""
    with ExitStack() as stack:
        now = time.time()
        store = Store(settings.store)
        stack.callback(store.close)
        rules = {rule.id: rule.severity for rule in settings.rules}
        store.append(list(made_up(alerts, cameras=tuple(settings.cameras), rules=rules, until=now)))
        reader = StoreReader(settings.store.path)
        stack.callback(reader.close)
        site = MadeUp(settings, firing=len(store.firing()), started=now)
        metrics = Metrics()
        metrics.refresh(site.status())
        sources = Sources(
            settings=settings,
            status=site.status,
            reader=reader,
            store=store,
            metrics=metrics.registry,
            memory=Memory(settings),
            evaluation=Evaluation(build_evaluator(settings)),
            analyzer=cache(lambda: build_analyzer(settings)),
        )
        for back_s in range(int(settings.console.history), 0, -HISTORY_EVERY_S):
            sources.memory.tape(*_apart(site.look(now - back_s)))
        ending = threading.Event()
        thread = threading.Thread(target=_keep_looking, args=(site, sources, ending))
        thread.start()
        stack.callback(thread.join)
        stack.callback(ending.set)
        yield sources


@contextmanager
def serving(sources: Sources) -> Iterator[str]:
    """The address at which the console over these sources answers."""
    console = sources.settings.console
    listening = listen(console)
    with served(sources, listening):
        yield url_of(console, listening)


def _apart(seen: Iterable[tuple[Frame, Observation]]) -> tuple[list[Frame], list[Observation]]:
    frames, observations = zip(*seen, strict=True)
    return list(frames), list(observations)


def _keep_looking(site: MadeUp, sources: Sources, ending: threading.Event) -> None:
    while True:
        frames, observations = _apart(site.look(time.time()))
        sources.evaluation.feed(observations)
        sources.memory.tape(frames, observations)
        if ending.wait(EVERY_S):
            return


@cache
def _looks(name: str) -> tuple[tuple[Frame, Observation], ...]:
    """The scene as the models see it, one picture per second."""
    figure = load_figure(name)
    frames = [
        Frame("any", 1, number, number * LOOP_S / LOOKS, Clock.STREAM, render(figure, number * LOOP_S / LOOKS))
        for number in range(LOOKS)
    ]
    settings = Settings.model_validate({"purpose": "a look at the scene", "cameras": {"any": {"url": "a.mp4"}}})
    analyzer, states, looks = build_analyzer(settings), None, []
    for frame in frames:
        states, (observation,) = analyzer.step(states, [frame])
        looks.append((frame, observation))
    return tuple(looks)


def _state(number: int) -> tuple[str, str, str]:
    """State, cause and advice of the camera of that number: the second is dead, the third stalled, two are unwell."""
    return {
        1: ("backing off", "timeout", "no answer from the camera: check its power and its network"),
        2: ("stalled", "", "the stream has stopped: the camera sends no pictures"),
        4: ("live", "", "the picture is black: is the lens covered, is it night?"),
        7: ("live", "", "frames are replaced by newer ones: this machine is too slow for so many cameras"),
    }.get(number, ("live", "", ""))


def _camera(name: str, number: int, up: float) -> CameraStatus:
    state, cause, advice = _state(number)
    live = state == "live"
    faces = _looks(NAMES[number % 2])[int(time.time() + 5 * number) % LOOKS][1].faces if live else ()
    return CameraStatus(
        camera_id=name,
        state=state,
        cause=cause,
        advice=advice,
        clock="sender" if live else "",
        skew_s=0.02 * number if live else None,
        fps_in=5.0 if live else 0.0,
        fps_analysed=(2.1 if number == 7 else 4.9) if live else 0.0,
        faces=len(faces),
        labels=tuple(face.label for face in faces),
        face_px=tuple(face.source_px for face in faces),
        reasons=tuple(face.reasons for face in faces),
        age_s=0.3 if live else 600.0 + up,
        frames=int(5 * up) if live else 812,
        analysed=int(4.9 * up) if live else 800,
        drops={"overload": int(2.8 * up)} if number == 7 else {},
        reconnects={} if live else {"timeout": 3 + int(up / 10)},
    )


def main() -> None:
    """Serve until Ctrl-C."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--port", type=int, default=None)
    options.add_argument("--cameras", type=int, default=16)
    options.add_argument("--alerts", type=int, default=10_000)
    options.add_argument("--live", default="outlines", choices=("outlines", "blurred", "full", "off"))
    options.add_argument("--token", default=None)
    options.add_argument("--recordings", type=Path, default=None, help="folder with recordings to replay")
    options.add_argument("--scene", action="store_true", help="the built-in scene, really running")
    asked = options.parse_args()
    console = {"port": asked.port, "live": asked.live, "token": asked.token, "recordings": asked.recordings}
    with tempfile.TemporaryDirectory(prefix="mien-console-") as folder:
        if asked.scene:
            asked_for = made_up_settings(Path(folder), **console).console
            settings = load_settings(CONFIG).model_copy(update={"console": asked_for})
            run(with_store(settings, Path(folder) / "mien.sqlite"), plain=True)
            return
        settings = made_up_settings(Path(folder), cameras=asked.cameras, **console)
        with made_up_sources(settings, alerts=asked.alerts) as sources, serving(sources) as url:
            sys.stdout.write(f"console at {url}\n")
            sys.stdout.flush()
            try:
                threading.Event().wait()
            except KeyboardInterrupt:
                return


if __name__ == "__main__":
    main()
