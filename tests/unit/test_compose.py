"""compose.yaml and the Dockerfile: Compose's own loader takes them, they are safe, and they run what there is."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dockerfile_parse import DockerfileParser
from ruamel.yaml import YAML
from typer.main import get_command

from pipeline.cli import app
from pipeline.config import READS, load_settings
from pipeline.worker.fused import FUSED as FUSED_ROLE
from tests.go_tools import go_tool

pytestmark = pytest.mark.timeout(600)  # the first call builds Compose's loader

ROOT = Path(__file__).parents[2]
COMPOSE, RTSP, FUSED = ROOT / "compose.yaml", ROOT / "examples/compose/rtsp.yaml", ROOT / "examples/compose/fused.yaml"
CONFIG = ROOT / "examples" / "compose" / "mien.yaml"
OURS = {"topics", "capture", "analyze", "evaluate", "notify"}
Service = dict[str, Any]


def loaded(*files: Path, interpolate: bool = True) -> dict[str, Any]:
    """What Compose makes of the files; raises AssertionError with its words where it refuses."""
    options = ["-format", "json", *([] if interpolate else ["-no-interpolation"])]
    done = subprocess.run([go_tool("compose"), *options, *files], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def services() -> dict[str, Service]:
    found: dict[str, Service] = loaded(COMPOSE)["services"]
    return found


def test_everything_is_there(services: dict[str, Service]) -> None:
    assert services.keys() == OURS | {"kafka", "elasticsearch", "grafana"}


def test_the_loader_can_refuse(tmp_path: Path) -> None:
    wrong = tmp_path / "compose.yaml"
    wrong.write_text(COMPOSE.read_text().replace("read_only: true", "read_onyl: true", 1))
    with pytest.raises(AssertionError, match="read_onyl"):
        loaded(wrong)


def test_our_processes_have_as_few_rights_as_can_be(services: dict[str, Service]) -> None:
    for name in OURS:
        service = services[name]
        assert service["user"] == "10001:10001", name
        assert service["build"]["target"] == "runtime", name  # else somebody's image of that name would be pulled
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not service.get("privileged"), name
        writable = {volume["target"] for volume in service["volumes"] if not volume.get("read_only")}
        assert writable <= {"/var/lib/mien"}, name


def test_a_process_gets_the_secrets_that_it_needs_and_no_others(services: dict[str, Service]) -> None:
    for name in OURS:
        mounts = {volume["target"]: volume for volume in services[name]["volumes"]}
        sections = {Path(target).name for target in mounts if target.startswith("/run/secrets")}
        assert sections == READS[name], name
        for section in sections:
            mounted = mounts[f"{services[name]['environment']['MIEN_SECRETS_DIR']}/{section}"]
            assert mounted["source"] == str(CONFIG.parent / "secrets" / section)
            assert mounted["read_only"] is True
            assert (CONFIG.parent / "secrets" / section / ".gitkeep").exists()  # else Docker makes it, as root


def test_every_service_is_bounded_and_reached_from_this_machine_only(services: dict[str, Service]) -> None:
    for name, service in services.items():
        assert {"mem_limit", "cpus"} <= service.keys(), name
        assert all(port["host_ip"] == "127.0.0.1" for port in service.get("ports", ())), name
        assert ":latest" not in service["image"], name


def test_what_waits_for_another_waits_until_it_is_well(services: dict[str, Service]) -> None:
    for name, service in services.items():
        for other, wait in service.get("depends_on", {}).items():
            if wait["condition"] == "service_healthy":
                assert "test" in services[other]["healthcheck"], f"{name} waits for {other}"
            else:
                assert wait["condition"] == "service_completed_successfully"
                assert services[other]["restart"].startswith("on-failure"), f"{name} waits for {other}"
    assert all("topics" in services[name]["depends_on"] for name in OURS - {"topics"})


def test_no_secret_is_in_the_files() -> None:
    for path in (COMPOSE, RTSP, FUSED, CONFIG):
        assert not re.search(r"(?i)(password|token|api_key|secret)\w*['\"]?\s*[:=]\s*['\"]?\w", path.read_text()), path


def test_a_process_that_stays_is_checked_by_the_image_and_has_the_time_to_stop(services: dict[str, Service]) -> None:
    stop_within = load_settings(CONFIG).worker.stop_within
    for name in OURS - {"topics"}:
        assert "healthcheck" not in services[name], name  # the image's own
        assert seconds(services[name]["stop_grace_period"]) > stop_within, name


def seconds(text: str) -> float:
    return float(text.removesuffix("s"))


def test_the_configuration_reaches_the_servers_of_the_file(services: dict[str, Service]) -> None:
    settings = load_settings(CONFIG)
    assert settings.kafka is not None
    assert settings.elasticsearch is not None
    assert settings.kafka.bootstrap == ("kafka:9092",)
    assert "INSIDE://kafka:9092" in services["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    assert settings.elasticsearch.url == "http://elasticsearch:9200"
    assert settings.kafka.partitions >= 2 * len(settings.cameras)


def test_commands_are_those_that_there_are(services: dict[str, Service]) -> None:
    for name in OURS:
        command: Any = get_command(app)
        words = list(services[name]["command"])
        while hasattr(command, "commands"):
            assert words[0] in command.commands, name
            command = command.commands[words.pop(0)]
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("-")} <= options, name


def test_grafana_finds_dashboards_and_data(services: dict[str, Service]) -> None:
    mounts = {volume["target"]: Path(volume["source"]) for volume in services["grafana"]["volumes"]}
    provisioning, dashboards = mounts["/etc/grafana/provisioning"], mounts["/etc/mien/dashboards"]
    yaml = YAML(typ="safe")
    [provider] = yaml.load(provisioning / "dashboards" / "mien.yaml")["providers"]
    assert provider["options"]["path"] == "/etc/mien/dashboards"
    [source] = yaml.load(provisioning / "datasources" / "mien.yaml")["datasources"]
    assert source["url"] == "http://elasticsearch:9200"
    boards = [json.loads(path.read_text()) for path in sorted(dashboards.glob("*.json"))]
    assert boards
    uids = {uid for board in boards for uid in re.findall(r'"uid": "(mien-elastic\w*)"', json.dumps(board))}
    assert uids == {source["uid"]}


def test_a_clip_becomes_a_camera_of_every_process() -> None:
    found = loaded(COMPOSE, RTSP, interpolate=False)["services"]
    for name in OURS:
        assert "MIEN_CAMERAS__CLIP__URL=rtsp://camera:8554/clip" in found[name]["environment"]
    assert "-f rtsp rtsp://127.0.0.1:8554/clip" in found["camera"]["environment"]["MTX_PATHS_CLIP_RUNONINIT"]
    assert found["camera"]["read_only"] is True


def test_fused_takes_the_place_of_capture_and_analysis(services: dict[str, Service]) -> None:
    found = loaded(COMPOSE, FUSED)["services"]
    assert found["capture"]["scale"] == 0
    assert found["analyze"]["command"][-2:] == ["--role", FUSED_ROLE]
    mounts = {volume["target"] for volume in found["analyze"]["volumes"]}
    assert mounts == {volume["target"] for name in ("capture", "analyze") for volume in services[name]["volumes"]}
    assert {name for name in services if found[name] != services[name]} == {"capture", "analyze"}


def stages() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """The name of each stage with its instructions."""
    instructions = DockerfileParser(str(ROOT)).structure
    starts = [index for index, one in enumerate(instructions) if one["instruction"] == "FROM"]
    for start, end in zip(starts, [*starts[1:], len(instructions)], strict=True):
        yield instructions[start]["value"].split(" AS ")[-1], instructions[start:end]


def test_the_image_that_runs_holds_no_tools_and_no_root() -> None:
    found = dict(stages())
    assert list(found) == ["packages", "tests", "runtime"]  # the last is what `docker build` makes
    runtime = found["runtime"]
    values = {one["instruction"]: one["value"] for one in runtime}
    assert values["USER"] == "10001:10001"
    assert json.loads(values["ENTRYPOINT"]) == ["mien"]
    assert "HEALTHCHECK" in values
    assert not re.search(r"pip|apt-get|curl", " ".join(one["value"] for one in runtime if one["instruction"] == "RUN"))
    assert [one["value"] for one in runtime if one["instruction"] == "COPY"] == ["--from=packages /opt/mien /opt/mien"]


def test_every_install_is_pinned() -> None:
    installs = [one["value"] for one in DockerfileParser(str(ROOT)).structure if "pip install" in one["value"]]
    assert len(installs) == 2
    assert all("--constraint constraints.txt" in install for install in installs)


def test_a_stage_declares_the_arguments_that_it_uses() -> None:
    """An argument ends with its stage; a stage that builds on another one must name it again."""
    for name, instructions in stages():
        declared = {one["value"].partition("=")[0] for one in instructions if one["instruction"] == "ARG"}
        used = {found for one in instructions[1:] for found in re.findall(r"\$\{(\w+)\}", one["value"])}
        assert used <= declared, name


def test_the_health_check_asks_where_workers_answer() -> None:
    [environment] = [one["value"] for one in dict(stages())["runtime"] if one["instruction"] == "ENV"]
    port = load_settings(CONFIG).worker.port
    assert f"MIEN_HEALTH_URL=http://127.0.0.1:{port}/healthz" in environment


def test_what_lies_about_does_not_get_into_an_image() -> None:
    """The list says what is let in, so a new secret file is left out without anybody thinking of it."""
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    for line in lines[1:]:
        name = line.removeprefix("!").partition("/")[0]
        assert line.startswith(("!", "examples/compose/secrets/", "**/")), line
        assert "*" in name or (ROOT / name).exists(), line
