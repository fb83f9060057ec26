"""`mien analyze` on a real video file: shape, determinism, alerts."""

from __future__ import annotations

import json
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import pytest

from connectors.scene import load_figure, render

pytestmark = pytest.mark.integration

FACE_KEYS = ["track_id", "xyxy", "confidence", "source_px", "quality", "label", "scores", "enhanced"]
RULES = """
version: 1
purpose: a test of analyze
cameras: {scene: {url: unused.mp4}}
rules:
  - {id: happy, when: {prob: happiness, enter: 0.5, exit: 0.3}, for: 1s}
  - {id: afraid, when: {prob: fear, enter: 0.5, exit: 0.3}, for: 1s}
"""


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four seconds of the scene at 8 fps, H.264, with the person in front of the camera, then gone."""
    path = tmp_path_factory.mktemp("video") / "Scene.mp4"
    figure = load_figure("smile")
    times = [10 - figure.phase_s + n / 8 for n in range(24)] + [21 - figure.phase_s + n / 8 for n in range(8)]
    with av.open(str(path), "w") as writer:
        stream = writer.add_stream("libx264", rate=8)
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        for number, t in enumerate(times):
            frame = av.VideoFrame.from_ndarray(render(figure, t), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 8)
            writer.mux(stream.encode(frame))
        writer.mux(stream.encode(None))
    return path


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    code = "from pipeline.cli import main; raise SystemExit(main())"
    return subprocess.run(
        [sys.executable, "-c", code, "analyze", *map(str, arguments)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )


def test_one_object_per_frame_with_the_documented_keys(video: Path, tmp_path: Path) -> None:
    done = run(video, "-o", tmp_path / "observations.jsonl")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (tmp_path / "observations.jsonl").read_text().splitlines()]
    assert len(lines) == 32
    assert [line["ts"] for line in lines] == pytest.approx([n / 8 for n in range(32)], abs=0.002)
    for line in lines:
        assert list(line)[:4] == ["ts", "camera_id", "seq", "faces"]
        assert all(list(face)[:8] == FACE_KEYS for face in line["faces"])
    near = [max(line["faces"], key=lambda face: face["source_px"]) for line in lines[:24]]
    assert {face["label"] for face in near} == {"happiness"}
    assert len({face["track_id"] for face in near}) == 1
    assert not any(face["label"] == "happiness" for line in lines[25:] for face in line["faces"])


@pytest.mark.parametrize("models", ["", "models: {temporal: {}}"], ids=["filter", "head"])
def test_twice_gives_the_same_bytes_and_the_same_alerts(video: Path, tmp_path: Path, models: str) -> None:
    config = tmp_path / "mien.yaml"
    config.write_text(f"{RULES}{models}\n")
    for name in ("a", "b"):
        done = run(video, "-o", tmp_path / f"{name}.jsonl", "-c", config, "--alerts", tmp_path / f"{name}-alerts.jsonl")
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    assert (tmp_path / "a-alerts.jsonl").read_bytes() == (tmp_path / "b-alerts.jsonl").read_bytes()
    alerts = [json.loads(line) for line in (tmp_path / "a-alerts.jsonl").read_text().splitlines()]
    assert [(alert["rule"], alert["status"]) for alert in alerts] == [
        ("happy", "pending"),
        ("happy", "firing"),
        ("happy", "resolved"),
    ]


def test_a_configured_camera_lends_its_masks_and_its_name(video: Path, tmp_path: Path) -> None:
    config = tmp_path / "mien.yaml"
    masked = "cameras: {scene: {url: unused.mp4}, dark: {url: unused.mp4, masks: [[[0, 0], [1, 0], [1, 1], [0, 1]]]}}"
    config.write_text(RULES.replace("cameras: {scene: {url: unused.mp4}}", masked))
    done = run(video, "-o", tmp_path / "o.jsonl", "-c", config, "--camera", "dark")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (tmp_path / "o.jsonl").read_text().splitlines()]
    assert {line["camera_id"] for line in lines} == {"dark"}
    assert not any(line["faces"] for line in lines), "the mask covers everything"
    wrong = run(video, "-o", tmp_path / "o.jsonl", "-c", config, "--camera", "drak")
    assert wrong.returncode == 2
    assert "there are: scene, dark" in wrong.stderr


@pytest.mark.parametrize(
    ("video", "says"),
    [
        pytest.param("no/such/file.mp4", "no/such/file.mp4", id="missing"),
        pytest.param("pyproject.toml", "pyproject.toml", id="no video"),
    ],
)
def test_what_is_no_video_is_refused_in_one_line(video: str, says: str, tmp_path: Path) -> None:
    done = run(video, "-o", tmp_path / "observations.jsonl")
    assert done.returncode == 1
    assert says in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr


def test_a_place_that_cannot_be_written_is_said(video: Path, tmp_path: Path) -> None:
    done = run(video, "-o", tmp_path / "missing" / "observations.jsonl")
    assert done.returncode == 1
    assert "can't write" in done.stderr


@pytest.mark.parametrize("arguments", [["-o", "VIDEO"], ["-o", "o.jsonl", "--alerts", "o.jsonl"]])
def test_results_replace_neither_the_recording_nor_each_other(
    arguments: list[str], video: Path, tmp_path: Path
) -> None:
    before = video.read_bytes()
    named = [str(video) if one == "VIDEO" else str(tmp_path / one) if one == "o.jsonl" else one for one in arguments]
    done = run(video, *named)
    assert done.returncode == 2
    assert "different files" in done.stderr
    assert video.read_bytes() == before
