"""What the console's memory costs the analysis, and how fast its API answers: over made-up cameras and alerts.

python -m tests.benchmarks.console_memory [--cameras 16] [--alerts 10000] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import httpx

from connectors.scene import load_figure, render
from operators.records import Clock, FaceTrack, Observation
from operators.rules import EXPRESSIONS
from pipeline.bench import context
from pipeline.web.history import History
from pipeline.web.recent import Recent
from tests import recordings
from tests.console_bed import made_up_settings, made_up_sources, serving

NOON = 1_800_000_000.0
FPS = 10
HOURS = 6
TURNS = 15
PATHS = ("/api/rules", "/api/timeline?camera=camera-01", "/api/observations?limit=100", "/api/observations?limit=1000")
SIZES = ((640, 360), (1920, 1080), (4096, 2304))


def memory() -> dict[str, float]:
    """One camera with two faces in every frame."""
    scores = dict.fromkeys(EXPRESSIONS, 0.1)
    face = FaceTrack("one", NOON, (1.5, 2.5, 30.5, 40.5), 0.9, 38.0, 0.9, label="fear", scores=scores)
    looks = [Observation("lobby", 1, n, NOON + n / FPS, Clock.SENDER, (face, face)) for n in range(3600 * FPS)]
    history, recent = History(HOURS * 3600), Recent(1)
    found: dict[str, float] = {}
    for name, part in (("history", history), ("recent", recent)):
        begun = time.perf_counter()
        for look in looks:
            part.take((look,))
        found[f"{name}_us_per_frame"] = round((time.perf_counter() - begun) / len(looks) * 1e6, 1)
    rings = history._cameras["lobby"]
    found["history_bytes"] = sum(ring._figures.nbytes + ring._numbers.nbytes for ring in (rings.fine, rings.coarse))
    found["recent_bytes_per_frame"] = round(recent.size_bytes / len(recent._cameras["lobby"].kept))
    return found


def answers(cameras: int, alerts: int) -> dict[str, Any]:
    """Milliseconds of answers, of pictures, and seconds of a replay."""
    with tempfile.TemporaryDirectory(prefix="mien-bench-") as name:
        folder = Path(name)
        recordings.write(folder / "recordings" / "night", recordings.night())
        site = made_up_settings(folder, cameras=cameras, port=0, recordings=str(folder / "recordings"))
        with (
            made_up_sources(site, alerts=alerts) as sources,
            serving(sources) as url,
            httpx.Client(base_url=url, timeout=300) as http,
        ):
            found: dict[str, Any] = {path: milliseconds(lambda path=path: http.get(path)) for path in PATHS}
            shown = render(load_figure("smile"), 8.0)[..., ::-1]
            for size in SIZES:
                data = cv2.imencode(".jpg", cv2.resize(shown, size))[1].tobytes()
                one = {"picture": data}
                found[f"/predict {size[0]} x {size[1]}"] = milliseconds(
                    lambda one=one: http.post("/predict", files=one)
                )
            found["replay_s"], found["replay_records"] = replay(http)
            return found


def milliseconds(ask: Callable[[], httpx.Response]) -> dict[str, float]:
    ask().raise_for_status()
    times = []
    for _ in range(TURNS):
        begun = time.perf_counter()
        ask().raise_for_status()
        times.append((time.perf_counter() - begun) * 1000)
    return {"median_ms": round(statistics.median(times), 1), "most_ms": round(max(times), 1)}


def replay(http: httpx.Client) -> tuple[float, int]:
    begun = time.perf_counter()
    replay_id = http.post("/api/replays", json={"recording": "night"}).json()["replay_id"]
    while (found := http.get(f"/api/replays/{replay_id}").json())["state"] == "running":
        time.sleep(0.1)
    return round(time.perf_counter() - begun, 1), found["records"]


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--cameras", type=int, default=16)
    options.add_argument("--alerts", type=int, default=10_000)
    options.add_argument("--json", type=Path, default=None)
    asked = options.parse_args()
    wanted = {"cameras": asked.cameras, "alerts": asked.alerts}
    found = {**context(Path(__file__)), "site": wanted, "memory": memory(), "answers": answers(**wanted)}
    text = json.dumps(found, indent=2)
    print(text)
    if asked.json is not None:
        asked.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
