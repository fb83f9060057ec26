"""Does the console slow the analysis? 16 cameras of the built-in scene, with and without open pages, by turns.

    python -m tests.benchmarks.console [--pages 3] [--seconds 5] [--turns 20] [--json FILE]

An open page is a stream of events and a live picture that is asked for every 0.3 s, as the console does it. Pages run
in other processes that give way, as if they were on other machines. The cameras send more than the machine can analyse,
so that whatever the console takes is missing there. Turns change within one run, so that what else the machine does
meets both alike; on a busy machine `console_cpu_share`, the cores that the console's own threads take, says more.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import tempfile
import threading
import time
from collections.abc import Callable
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event
from pathlib import Path

import httpx

from pipeline.bench import context
from pipeline.config import Settings
from pipeline.local import LocalPipeline
from pipeline.metrics import Metrics
from pipeline.web.server import Console

CAMERAS = 16
PICTURE_EVERY_S = 0.3


def page(url: str, looking: Event, answered: Synchronized[int], cameras: int) -> None:
    """One console: events, and pictures of so many cameras every 0.3 s, while somebody is `looking`."""
    os.nice(19)
    with httpx.Client(base_url=url, timeout=30) as http:
        names = [one["camera_id"] for one in http.get("/api/cameras").json()][:cameras]
        while True:
            looking.wait()
            threading.Thread(target=listen, args=(url, looking), daemon=True).start()
            tags: dict[str, str] = {}
            while looking.is_set():
                began = time.monotonic()
                for name in names:
                    known = {"If-None-Match": tags[name]} if name in tags else {}
                    answer = http.get(f"/api/cameras/{name}/picture", params={"width": 960}, headers=known)
                    tags[name] = answer.headers.get("etag", "")
                    with answered:
                        answered.value += 1
                time.sleep(max(0.0, began + PICTURE_EVERY_S - time.monotonic()))


def listen(url: str, looking: Event) -> None:
    with httpx.stream("GET", f"{url}api/events", timeout=30) as answer:
        for _ in answer.iter_lines():
            if not looking.is_set():
                return


def console_cpu() -> float:
    """CPU time of the threads that serve the console, in seconds; those that have ended are forgotten."""
    serving = [one for one in threading.enumerate() if one.name.startswith(("console", "AnyIO", "asyncio"))]
    return sum(time.clock_gettime(time.pthread_getcpuclockid(one.ident)) for one in serving if one.ident)


def turn(pipeline: LocalPipeline, seconds: float, update: Callable[[], None]) -> dict[str, float]:
    """Analysed frames per second, and CPU time of this process (its captures are others): per frame, of the console."""
    frames, cpu, console, began = pipeline.recorder.analysed(), time.process_time(), console_cpu(), time.monotonic()
    while time.monotonic() < began + seconds:
        time.sleep(0.25)
        update()
    lasted = time.monotonic() - began
    frames, cpu = pipeline.recorder.analysed() - frames, time.process_time() - cpu
    return {
        "fps": frames / lasted,
        "cpu_ms_per_frame": 1000 * cpu / max(frames, 1),
        "cpu_share": cpu / lasted,
        "console_cpu_share": (console_cpu() - console) / lasted,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5, help="of one turn; short ones, so that drifts cancel out")
    parser.add_argument("--turns", type=int, default=20, help="of each kind")
    parser.add_argument("--fps", type=float, default=5, help="of each camera")
    parser.add_argument("--pictures", type=int, default=1, help="of so many cameras on each page")
    parser.add_argument("--live", default="outlines")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scene = {
            f"camera-{n:02d}": {"url": f"scene://{('smile', 'neutral')[n % 2]}", "fps": asked.fps, "open_timeout": "2m"}
            for n in range(CAMERAS)
        }
        settings = Settings.model_validate(
            {
                "purpose": "a measurement on the built-in scene",
                "cameras": scene,
                "rules": [{"id": "happy", "when": "happiness >= 0.6", "for": "3s"}],
                "store": {"path": f"{folder}/mien.sqlite"},
                "console": {"port": 0, "live": asked.live},
            }
        )
        metrics = Metrics()
        console = Console(settings, metrics=metrics.registry)
        with LocalPipeline(settings, metrics=metrics, tape=console.tape) as pipeline, console.over(pipeline):

            def update() -> None:
                console.update(pipeline.status())

            spawn = multiprocessing.get_context("spawn")
            looking = spawn.Event()
            answered = spawn.Value("q", 0)
            told = (console.url, looking, answered, asked.pictures)
            pages = [spawn.Process(target=page, args=told, daemon=True) for _ in range(asked.pages)]
            for one in pages:
                one.start()
            while not all(camera.analysed for camera in pipeline.status().cameras):
                turn(pipeline, 1.0, update)
            results: dict[str, list[dict[str, float]]] = {"alone": [], "watched": []}
            for number in range(asked.turns * 2):
                watched = number % 4 in (1, 2)  # alone, watched, watched, alone: so drifts cancel out
                (looking.set if watched else looking.clear)()
                turn(pipeline, 1.0, update)
                results["watched" if watched else "alone"].append(turn(pipeline, asked.seconds, update))
            for one in pages:
                one.kill()
    means = {
        name: {key: sum(row[key] for row in rows) / len(rows) for key in rows[0]} for name, rows in results.items()
    }
    ratio = means["watched"]["fps"] / means["alone"]["fps"]
    for name, mean in means.items():
        print(name, " ".join(f"{key} {value:.3f}" for key, value in mean.items()))
    print(f"pictures asked for: {answered.value} in {asked.turns * (asked.seconds + 1):.0f} s")
    print(f"analysed frames per second, watched by {asked.pages} pages / alone: {ratio:.3f}")
    if asked.json:
        measured = {
            "pages": asked.pages,
            "pictures": asked.pictures,
            "live": asked.live,
            "ratio": ratio,
            "turns": results,
        }
        asked.json.write_text(json.dumps({**context(Path("connectors/scene.py")), **measured}, indent=1))


if __name__ == "__main__":
    main()
