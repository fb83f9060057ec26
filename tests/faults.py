"""What goes wrong with a real `mien run`: each fault is a context manager that breaks something and mends it again."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Self

import av
import httpx
import psutil

from connectors.scene import load_figure, render
from tests.farm import Farm
from tests.hook_server import hook_server
from tests.servers.process import free_ports

ROOT = Path(__file__).parents[1]
RULES = 60
"""So many that one visit of the person in the scene makes more than 100 transitions wait for a sink that is down."""
CONFIG = """
version: 1
purpose: a test of the alarms about mien
cameras:
  door: {{url: "{door}", fps: 5, frozen_after: 2s, read_timeout: 3s}}
  smile: {{url: "scene://smile", fps: 5}}
rules:
{rules}
store: {{path: "{folder}/mien.sqlite"}}
sinks:
  - {{type: webhook, url: "http://127.0.0.1:{hook}/hook"}}
metrics: {{port: {port}}}
"""
RULE = """
  - id: happy-{number}
    severity: notice
    when: {{prob: happiness, enter: 0.5, exit: 0.3}}
    for: {for_ms}ms
    max_gap: 2s
    max_dip: 1s
    min_coverage: 0.1
    min_samples: 2
    keep_firing_for: 1s
    lost_after: 3s
"""
OTHER = """
version: 1
purpose: another process of the pipeline, with cameras whose clocks are wrong
cameras:
  near: {{url: "{near}", fps: 5}}
  slow: {{url: "{slow}", fps: 5}}
  wrong: {{url: "{wrong}", fps: 5}}
groups:
  doors: {{cameras: [near, slow]}}
rules:
  - id: crowd
    scope: group
    group: doors
    when: {{prob: happiness, enter: 0.5, exit: 0.3}}
    for: 3s
store: {{path: "{folder}/other.sqlite"}}
metrics: {{port: {port}}}
"""
START_S = 90.0


def made_up_clip(folder: Path) -> str:
    """Four seconds of the built-in scene, for cameras of the farm."""
    path = folder / "scene.mp4"
    figure = load_figure("smile")
    with av.open(str(path), "w") as sink:
        out = sink.add_stream("libx264", rate=Fraction(12), options={"preset": "ultrafast"})
        out.width, out.height, out.pix_fmt = 320, 180, "yuv420p"
        for count in range(48):
            frame = av.VideoFrame.from_ndarray(render(figure, count / 12, width=320, height=180), format="rgb24")
            frame.pts, frame.time_base = count, Fraction(1, 12)
            sink.mux(out.encode(frame))
        sink.mux(out.encode(None))
    return str(path)


@dataclass(slots=True)
class Mien:
    """One `mien run`: `start` and `kill` it as often as needed."""

    config: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def target(self) -> str:
        """Where Prometheus finds it."""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self.process is not None
        return self.process.pid

    def start(self, *, ready: bool = True, stdout: int | None = None) -> None:
        """Start it, and wait until it answers scrapes with cameras; its output grows beside the configuration."""
        command = [sys.executable, "-c", "from pipeline.cli import main; raise SystemExit(main())", "run", "--plain"]
        self.process = subprocess.Popen(
            [*command, "-c", str(self.config)],
            cwd=ROOT,
            stdout=subprocess.PIPE if stdout is None else stdout,
            stderr=subprocess.STDOUT if stdout is None else subprocess.DEVNULL,
        )
        if self.process.stdout is not None:
            # Not a file: a limit on the size of files, as one fault sets it, must not be about the log.
            threading.Thread(target=self._log, args=(self.process,), daemon=True).start()
        if ready:
            self.wait_for("mien_camera_up", seconds=START_S)

    def _log(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        with process.stdout as source, self.config.with_suffix(".log").open("ab") as log:
            shutil.copyfileobj(source, log)

    def text(self) -> str:
        """What it answers to a scrape; empty while it doesn't."""
        with suppress(httpx.TransportError):
            return httpx.get(f"http://{self.target}/metrics", trust_env=False).text
        return ""

    def wait_for(self, words: str, *, seconds: float) -> None:
        """Until a scrape has a sample that begins like that."""
        ends_at = time.monotonic() + seconds
        while f"\n{words}" not in self.text():
            assert self.process is not None
            assert self.process.poll() is None, self.config.with_suffix(".log").read_text(errors="replace")[-3000:]
            assert time.monotonic() < ends_at, f"no {words} within {seconds:g} s"
            time.sleep(0.1)

    def kill(self) -> None:
        """Without warning."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def readers(self) -> list[psutil.Process]:
        """The processes that read the cameras."""
        return psutil.Process(self.pid).children()


@dataclass(slots=True)
class Bed:
    """A `mien run` on a camera of the farm and the built-in scene, with a webhook; and another one, to be started."""

    folder: Path
    farm: Farm
    main: Mien
    other: Mien
    hook_port: int
    _hook: ExitStack = field(default_factory=ExitStack)

    @classmethod
    @contextmanager
    def make(cls, folder: Path) -> Iterator[Self]:
        """All that faults need; the main one runs."""
        folder.mkdir(parents=True, exist_ok=True)
        clip = made_up_clip(folder)
        cameras = {"door": {}, "near": {}, "slow": {"clock_s": -4}, "wrong": {"clock_s": -60}}
        port, other_port, hook = free_ports(3)
        with Farm({name: {"clip": clip, "fps": 12} | options for name, options in cameras.items()}) as farm:
            rules = "".join(RULE.format(number=number, for_ms=500 + 25 * number) for number in range(RULES))
            paths = folder / "main.yaml", folder / "other.yaml"
            paths[0].write_text(CONFIG.format(folder=folder, rules=rules, port=port, hook=hook, **farm.urls))
            paths[1].write_text(OTHER.format(folder=folder, port=other_port, **farm.urls))
            bed = cls(folder, farm, Mien(paths[0], port), Mien(paths[1], other_port), hook)
            try:
                bed.hear()
                bed.main.start()
                yield bed
            finally:
                bed.main.kill()
                bed.other.kill()
                bed.deafen()

    def hear(self) -> None:
        """Let the receiver of webhooks listen."""
        self._hook.enter_context(hook_server(port=self.hook_port))

    def deafen(self) -> None:
        """Take it away."""
        self._hook.close()


@contextmanager
def camera_off(bed: Bed) -> Iterator[None]:
    """A camera refuses connections."""
    bed.farm.tell("door", "refuse")
    yield
    bed.farm.tell("door", "play")


@contextmanager
def camera_frozen(bed: Bed) -> Iterator[None]:
    """A camera sends the same picture over and over."""
    bed.farm.tell("door", "freeze")
    yield
    bed.farm.tell("door", "play")


@contextmanager
def readers_die(bed: Bed) -> Iterator[None]:
    """The processes that read cameras die as soon as there are pictures, again and again."""

    def kill() -> None:
        if all(f'\nmien_camera_up{{camera="{camera}"}} 1' in bed.main.text() for camera in ("door", "smile")):
            for reader in bed.main.readers():
                with suppress(psutil.Error):
                    reader.kill()

    with again_and_again(kill, every_s=1.0):
        yield


@contextmanager
def held_up(pid: int) -> Iterator[None]:
    """A process stands still for nine tenths of the time."""

    def stand_still() -> None:
        os.kill(pid, signal.SIGSTOP)
        time.sleep(0.9)
        os.kill(pid, signal.SIGCONT)

    with again_and_again(stand_still, every_s=0.1):
        yield


@contextmanager
def too_busy(bed: Bed) -> Iterator[None]:
    """The machine gives the main process little time: it stands still for nine tenths of it."""
    with held_up(bed.main.pid):
        yield


@contextmanager
def sink_away(bed: Bed) -> Iterator[None]:
    """The receiver of webhooks is gone."""
    bed.deafen()
    yield
    bed.hear()


@contextmanager
def disk_full(bed: Bed) -> Iterator[None]:
    """The process can't make any file longer."""
    unlimited = resource.prlimit(bed.main.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(bed.main.pid, resource.RLIMIT_FSIZE, (0, unlimited[1]))
    yield
    resource.prlimit(bed.main.pid, resource.RLIMIT_FSIZE, unlimited)


@contextmanager
def rules_wrong(bed: Bed) -> Iterator[None]:
    """Somebody makes a mistake in the rules file."""
    text = bed.main.config.read_text()
    bed.main.config.write_text(text.replace("enter: 0.5", "entre: 0.5", 1))
    yield
    bed.main.config.write_text(text)


@contextmanager
def other_process(bed: Bed) -> Iterator[None]:
    """A process of the pipeline has other rules, and cameras whose clocks are 4 s and 60 s slow."""
    bed.other.start()
    yield
    bed.other.kill()


@contextmanager
def output_blocked(bed: Bed) -> Iterator[None]:
    """Nobody reads what the process prints, as when a terminal is stopped."""
    bed.main.kill()
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb"), os.fdopen(writing, "wb") as end:
        size = _smallest(end.fileno())
        os.write(end.fileno(), b"\n" * (size - 100))
        bed.main.start(ready=False, stdout=end.fileno())
        yield
        bed.main.kill()
    bed.main.start()


@contextmanager
def killed_thrice(bed: Bed) -> Iterator[None]:
    """The process is killed, and started again, three times."""
    for _ in range(3):
        bed.main.kill()
        bed.main.start()
        time.sleep(2.0)  # two scrapes
    yield


@contextmanager
def dead(bed: Bed) -> Iterator[None]:
    """The process is killed."""
    bed.main.kill()
    yield
    bed.main.start()


def _smallest(pipe: int) -> int:
    """Make a pipe as small as it can be; returns its size."""
    import fcntl  # noqa: PLC0415 -- Linux only

    return fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, 4096)


@contextmanager
def again_and_again(do: Callable[[], None], *, every_s: float) -> Iterator[None]:
    over = threading.Event()

    def run() -> None:
        while not over.wait(every_s):
            do()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault, and the alarms that it must set off: by name, or as `name reason`."""

    bring_about: Callable[[Bed], AbstractContextManager[None]]
    alarms: Sequence[str]

    @property
    def what(self) -> str:
        """In a sentence."""
        return (self.bring_about.__doc__ or "").strip()


FAULTS = (
    Fault(camera_off, ("MienCameraDown",)),
    Fault(camera_frozen, ("MienPicturesOld", "MienFramesDropped frozen")),
    Fault(readers_die, ("MienCameraUnstable",)),
    Fault(too_busy, ("MienFramesDropped overload",)),
    Fault(sink_away, ("MienSinkDown", "MienSinkLags")),
    Fault(disk_full, ("MienStoreDown",)),
    Fault(rules_wrong, ("MienRulesRefused",)),
    Fault(other_process, ("MienRulesDiffer", "MienRecordsLate", "MienCameraClockWrong")),
    Fault(killed_thrice, ("MienRestarts",)),
    Fault(output_blocked, ("MienHangs",)),
    Fault(dead, ("MienDown", "MienSilent")),
)
"""Faults of one machine."""
