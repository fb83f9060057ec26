"""The Helm chart: what it renders is valid, safe, and says the same as mien's own configuration.

After a wanted change: `python tests/integration/test_helm.py`, then read the diff of tests/golden/helm.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from ruamel.yaml import YAML
from typer.main import get_command

from connectors.kafka_topics import FRAMES, OBSERVATIONS
from helm.schema import SCHEMA, values_schema
from operators.errors import ConfigError
from pipeline.cli import app
from pipeline.config import READS, Settings, load_settings
from pipeline.worker.app import group_of
from tests.go_tools import go_tool

pytestmark = pytest.mark.timeout(600)  # the first call builds Helm

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm" / "mien"
GOLDEN = ROOT / "tests" / "golden" / "helm"
VALUES = {path.name.removesuffix("-values.yaml"): path for path in sorted(CHART.glob("ci/*-values.yaml"))}
CONFIGURATIONS = [ROOT / "mien.example.yaml", ROOT / "pipeline" / "demo.yaml", ROOT / "examples/compose/mien.yaml"]
OLDEST, NEWEST = "1.27", "1.34"
KEDA = "keda.sh/v1alpha1"
CUSTOM = {KEDA, "monitoring.coreos.com/v1"}
"""Kinds that other projects define: Kubernetes' own schemas don't know them."""
GOLDEN_WITHOUT = ("--set", "dashboards.enabled=false")

Manifest = dict[str, Any]


@cache
def helm(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([go_tool("helm"), *arguments], capture_output=True, text=True, check=False)


@cache
def rendered(values: Path | None, *more: str, chart: Path = CHART) -> str:
    files = [] if values is None else ["-f", values]
    common = ["mien", chart, "--namespace", "watch", "--kube-version", f"{NEWEST}.0"]
    done = helm("template", *common, *files, *more)
    assert done.returncode == 0, done.stderr
    return done.stdout


def manifests(values: Path | None, *more: str, chart: Path = CHART) -> list[Manifest]:
    found = YAML(typ="safe").load_all(rendered(values, *more, chart=chart))
    return [manifest for manifest in found if manifest]


def only(found: list[Manifest], kind: str, name: str) -> Manifest:
    [manifest] = [one for one in found if one["kind"] == kind and one["metadata"]["name"] == name]
    return manifest


def pods(found: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """The specification of every pod, with the name of what makes it."""
    for manifest in found:
        name, spec = f"{manifest['kind']} {manifest['metadata']['name']}", manifest.get("spec", {})
        if manifest["kind"] == "Pod":
            yield name, spec
        elif "template" in spec:
            yield name, spec["template"]["spec"]


def values_of(folder: Path, values: Mapping[str, Any]) -> Path:
    """A values file, written as YAML as a person would have it."""
    path = folder / "values.yaml"
    YAML().dump(values, path)
    return path


def minimal(**config: Any) -> dict[str, Any]:
    values = YAML(typ="safe").load(VALUES["minimal"])
    changed = values["config"] | config
    return {"config": {key: value for key, value in changed.items() if value is not None}}


def test_the_schema_is_that_of_the_settings() -> None:
    assert SCHEMA.read_text() == json.dumps(values_schema(), indent=2) + "\n", "run: make helm"


@pytest.mark.parametrize("name", [None, *VALUES])
def test_helm_has_no_complaint(name: str | None) -> None:
    files = [] if name is None else ["-f", VALUES[name]]
    done = helm("lint", "--strict", CHART, *files)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", VALUES)
def test_the_output_is_what_it_was(name: str) -> None:
    assert rendered(VALUES[name], *GOLDEN_WITHOUT) == (GOLDEN / f"{name}.yaml").read_text()


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("name", VALUES)
def test_kubernetes_takes_every_manifest(name: str, version: str) -> None:
    found = manifests(VALUES[name], "--api-versions", KEDA)
    known = [manifest for manifest in found if manifest["apiVersion"] not in CUSTOM]
    assert len(known) > 10
    for manifest in known:
        kubernetes_validate.validate(manifest, version, strict=True)


def test_the_check_of_manifests_can_fail() -> None:
    deployment = only(manifests(VALUES["minimal"]), "Deployment", "mien-analyze")
    deployment["spec"]["replica"] = 1
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, NEWEST, strict=True)


def settings_in(found: list[Manifest], folder: Path) -> Settings:
    for name, text in only(found, "ConfigMap", "mien")["data"].items():
        (folder / name).write_text(text)
    return load_settings(folder / "mien.yaml")


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: path.name)
def test_a_configuration_goes_through_unchanged(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers, durations, templates with braces, schedules: what Helm writes means what the file says."""
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "quay").write_text("s3cret")
    for name in ("LOBBY_PASSWORD", "HOOK_SECRET"):
        monkeypatch.setenv(name, "s3cret")
    config = YAML(typ="safe").load(path) | {"kafka": {"bootstrap": ["kafka:9092"], "partitions": 4}}
    original = tmp_path / "original.yaml"
    YAML().dump(config, original)

    found = manifests(values_of(tmp_path, {"config": config}))
    assert settings_in(found, tmp_path) == load_settings(original)


@pytest.mark.parametrize("name", VALUES)
def test_the_examples_are_configurations_of_mien(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("LOBBY_PASSWORD", "HOOK_SECRET", "DESK_PASSWORD", "ELASTIC_KEY"):
        monkeypatch.setenv(variable, "s3cret")
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    if name == "everything":
        for file in ("cameras__quay__password", "kafka__security__password", "elasticsearch__api_key"):
            (secrets / file).write_text("s3cret")
    monkeypatch.setenv("MIEN_SECRETS_DIR", str(secrets))
    settings = settings_in(manifests(VALUES[name]), tmp_path)
    assert settings.kafka is not None
    assert settings.rules or name == "minimal"


def test_the_values_in_the_documentation_can_be_used(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "deploy.md").read_text().partition("## Kubernetes")[2]
    (tmp_path / "values.yaml").write_text(page.partition("```yaml")[2].partition("```")[0])
    assert only(manifests(tmp_path / "values.yaml"), "Deployment", "mien-analyze")
    commented = (CHART / "values.yaml").read_text().partition("#   config:\n")[2].partition("#\n")[0]
    (tmp_path / "comment.yaml").write_text("config:\n" + commented.replace("#   ", ""))
    assert only(manifests(tmp_path / "comment.yaml"), "Deployment", "mien-analyze")


REFUSED = {
    "a password as text": ({"cameras": {"desk": {"url": "rtsp://h/1", "password": "s3cret"}}}, "config/cameras/desk"),
    "a password in a URL": ({"cameras": {"desk": {"url": "rtsp://u:s3cret@h/1"}}}, "config/cameras/desk/url"),
    "a token in a URL": ({"sinks": [{"type": "webhook", "url": "https://u:s3cret@h/"}]}, "config/sinks/0"),
    "an unknown key": ({"camera": {}}, "'camera' not allowed"),
    "a duration without unit": ({"worker": {"stop_within": 8}}, "config/worker/stop_within"),
    "no purpose": ({"purpose": None}, "does not start without a stated purpose"),
    "no cameras": ({"cameras": None}, "at least one is needed"),
    "no brokers": ({"kafka": None}, "name the brokers"),
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_is_wrong_is_refused_before_anything_is_installed(why: str, tmp_path: Path) -> None:
    config, said = REFUSED[why]
    values = minimal(**config)
    done = helm("template", "mien", CHART, "--kube-version", f"{NEWEST}.0", "-f", values_of(tmp_path, values))
    assert done.returncode != 0
    assert said in done.stderr
    assert "s3cret" not in done.stderr


@pytest.mark.parametrize("name", VALUES)
def test_every_pod_has_as_few_rights_as_can_be(name: str) -> None:
    found = list(pods(manifests(VALUES[name])))
    assert len(found) >= 5
    for owner, pod in found:
        assert pod["securityContext"]["runAsNonRoot"] is True, owner
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, owner
        assert pod["automountServiceAccountToken"] is False, owner
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys(), owner
        for container in pod["containers"]:
            rights = container["securityContext"]
            assert rights["allowPrivilegeEscalation"] is False, owner
            assert rights["capabilities"] == {"drop": ["ALL"]}, owner
            assert "memory" in container["resources"]["limits"], owner
            if container["image"].partition(":")[0].partition("@")[0].endswith("mien"):
                assert rights["readOnlyRootFilesystem"] is True, owner


@pytest.mark.parametrize("name", VALUES)
def test_every_process_that_stays_is_probed_and_has_the_time_to_stop(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_within = {"everything": 90}.get(name, 8)
    stay = [(owner, pod) for owner, pod in pods(manifests(VALUES[name])) if "Deployment" in owner or "capture" in owner]
    assert len(stay) == {"fused": 3}.get(name, 4)
    for owner, pod in stay:
        assert pod["terminationGracePeriodSeconds"] > stop_within, owner
        [container] = pod["containers"]
        [port] = container["ports"]
        assert port == {"name": "health", "containerPort": 9111 if name == "everything" else 9110, "protocol": "TCP"}
        paths = {probe: container[f"{probe}Probe"]["httpGet"]["path"] for probe in ("startup", "liveness", "readiness")}
        assert paths == {"startup": "/healthz", "liveness": "/healthz", "readiness": "/readyz"}
        assert {"name": "MIEN_WORKER__HOST", "value": "0.0.0.0"} in container["env"], owner


SECRETS = {
    "mien-cameras": {"lobby": "s3cret"},
    "mien-hook": {"secret": "s3cret"},
    "mien-quay": {"cameras__quay__password": "s3cret"},
    "mien-kafka": {"kafka__security__password": "s3cret"},
    "mien-elasticsearch": {"elasticsearch__api_key": "s3cret"},
    "mien-grafana": {"grafana__token": "s3cret"},
}
"""What `everything` asks the cluster for."""
HELD = {
    "capture": {"mien-cameras", "mien-quay", "mien-kafka", "mien-elasticsearch"},
    "analyze": {"mien-kafka", "mien-elasticsearch"},
    "evaluate": {"mien-kafka", "mien-elasticsearch"},
    "notify": {"mien-kafka", "mien-elasticsearch", "mien-hook"},
    "topics": {"mien-kafka"},
    "dashboards": {"mien-grafana"},
}


def secrets_given(pod: Manifest, folder: Path) -> tuple[set[str], dict[str, str]]:
    """The Secrets that a pod gets, as files in `folder` too, and as environment variables."""
    [container] = pod["containers"]
    secrets = {volume["name"]: volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume}
    given = {
        secrets[mount["name"]]: Path(mount["mountPath"])
        for mount in container["volumeMounts"]
        if mount["name"] in secrets
    }
    given.pop("data-ca")  # certificates, for all
    for secret, path in given.items():
        (folder / path.name).mkdir(parents=True)
        for key, text in SECRETS[secret].items():
            (folder / path.name / key).write_text(text)
    variables = {one["name"]: one["valueFrom"]["secretKeyRef"] for one in container["env"] if "valueFrom" in one}
    environment = {name: SECRETS[one["name"]][one["key"]] for name, one in variables.items()}
    return {*given, *(one["name"] for one in variables.values())}, environment


@pytest.mark.parametrize("role", HELD)
def test_a_pod_gets_the_secrets_that_it_needs_and_no_others(
    role: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = manifests(VALUES["everything"])
    assert not [manifest for manifest in found if manifest["kind"] == "Secret"]
    [pod] = [pod for owner, pod in pods(found) if owner.partition(" ")[2] == f"mien-{role}"]
    given, environment = secrets_given(pod, tmp_path / "secrets")
    assert given == HELD[role]
    monkeypatch.setenv("MIEN_SECRETS_DIR", str(tmp_path / "secrets"))
    for name, text in environment.items():
        monkeypatch.setenv(name, text)
    for name, text in only(found, "ConfigMap", "mien")["data"].items():
        (tmp_path / name).write_text(text)
    assert load_settings(tmp_path / "mien.yaml", reads=READS[role])


def test_an_environment_variable_that_nothing_asks_for_is_a_mistake(tmp_path: Path) -> None:
    values = minimal() | {"secrets": {"env": [{"name": "LOBY_PASSWORD", "secret": "mien", "key": "lobby"}]}}
    done = helm("template", "mien", CHART, "--kube-version", f"{NEWEST}.0", "-f", values_of(tmp_path, values))
    assert done.returncode != 0
    assert "nothing in config asks for LOBY_PASSWORD" in done.stderr


def test_autoscaling_takes_the_lag_where_there_is_keda_and_the_cpu_elsewhere() -> None:
    kinds = {"ScaledObject", "HorizontalPodAutoscaler"}
    with_keda = manifests(VALUES["minimal"], "--api-versions", KEDA)
    without = manifests(VALUES["minimal"])
    assert {one["kind"] for one in with_keda} & kinds == {"ScaledObject"}
    assert {one["kind"] for one in without} & kinds == {"HorizontalPodAutoscaler"}
    assert "replicas" not in only(without, "Deployment", "mien-analyze")["spec"]
    assert only(without, "Deployment", "mien-evaluate")["spec"]["replicas"] == 1


def test_fused_pods_read_the_cameras_and_do_all_that_both_would() -> None:
    found = manifests(VALUES["fused"], "--api-versions", KEDA)
    assert not [one for one in found if one["metadata"]["name"] == "mien-capture"]
    pod = only(found, "Deployment", "mien-analyze")["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert container["args"][:3] == ["worker", "--role", "capture+analyze"]
    policy = only(found, "NetworkPolicy", "mien-analyze")["spec"]
    assert {554, 9092, 9200} <= {port["port"] for rule in policy["egress"] for port in rule["ports"]}
    assert {port["protocol"] for rule in policy["ingress"] for port in rule["ports"]} == {"TCP", "UDP"}

    def variables(name: str) -> set[str]:
        [container] = only(found, "Deployment", f"mien-{name}")["spec"]["template"]["spec"]["containers"]
        return {variable["name"] for variable in container["env"]}

    assert variables("analyze") == {"MIEN_WORKER__HOST", "DESK_PASSWORD", "ELASTIC_KEY"}
    assert variables("evaluate") == {"MIEN_WORKER__HOST", "ELASTIC_KEY"}


def test_fused_pods_scale_by_their_cpu_as_no_pictures_wait(tmp_path: Path) -> None:
    found = manifests(VALUES["fused"], "--api-versions", KEDA)
    assert only(found, "HorizontalPodAutoscaler", "mien-analyze")
    values = minimal() | {"fused": True, "analyze": {"autoscaling": {"by": "lag"}}}
    done = helm("template", "mien", CHART, "--kube-version", f"{NEWEST}.0", "-f", values_of(tmp_path, values))
    assert done.returncode != 0
    assert "expected cpu, auto or none, got lag" in done.stderr


def test_the_lag_is_that_of_the_groups_and_topics_of_mien(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("LOBBY_PASSWORD", "HOOK_SECRET", "MIEN_KAFKA__SECURITY__PASSWORD"):
        monkeypatch.setenv(variable, "s3cret")
    found = manifests(VALUES["everything"])
    kafka = settings_in(found, tmp_path).kafka
    assert kafka is not None
    for role, topic in (("analyze", FRAMES), ("evaluate", OBSERVATIONS)):
        scaled = only(found, "ScaledObject", f"mien-{role}")["spec"]
        trigger = scaled["triggers"][0]["metadata"]
        assert trigger["consumerGroup"] == group_of(kafka, role)
        assert trigger["topic"] == kafka.topic(topic)
        assert trigger["bootstrapServers"] == ",".join(kafka.bootstrap)
        assert (trigger["tls"], trigger["sasl"]) == ("enable", "scram_sha512")
        assert scaled["maxReplicaCount"] <= kafka.partitions


def test_analysis_on_a_gpu_gets_one_and_nothing_else_does() -> None:
    found = dict(pods(manifests(VALUES["everything"])))
    analyze = found.pop("Deployment mien-analyze")
    [container] = analyze["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert container["image"].endswith(":0.1.0-gpu")
    assert {"name": "MIEN_MODELS__DEVICE", "value": "cuda"} in container["env"]
    assert analyze["nodeSelector"] == {"disk": "fast", "nvidia.com/gpu.present": "true"}
    assert analyze["runtimeClassName"] == "nvidia"
    assert "nvidia" not in json.dumps(found)


def pod_templates(values: Path) -> dict[str, Manifest]:
    return {
        f"{one['kind']} {one['metadata']['name']}": one["spec"]["template"]
        for one in manifests(values)
        if one["kind"] in ("Deployment", "StatefulSet")
    }


def test_other_rules_restart_nothing_and_other_cameras_everything(tmp_path: Path) -> None:
    rule = {"id": "fear", "when": "fear >= 0.6", "for": "3s"}
    folders = [tmp_path / name for name in ("before", "rules", "cameras")]
    for folder in folders:
        folder.mkdir()
    before = pod_templates(values_of(folders[0], minimal()))
    assert pod_templates(values_of(folders[1], minimal(rules=[rule], groups={"all": {"cameras": ["desk"]}}))) == before
    after = pod_templates(values_of(folders[2], minimal(cameras={"door": {"url": "rtsp://10.0.0.9/1"}})))
    assert all(after[name] != before[name] for name in before)


def test_networks_are_open_for_what_the_configuration_names_only() -> None:
    found = manifests(VALUES["everything"])

    def ports(role: str) -> set[Any]:
        egress = only(found, "NetworkPolicy", f"mien-{role}")["spec"]["egress"]
        return {port["port"] for rule in egress for port in rule["ports"] if port["protocol"] == "TCP"} - {53}

    assert ports("capture") == {9093, 9200, 554, 322, 8080}
    assert ports("analyze") == ports("evaluate") == {9093, 9200}
    assert ports("notify") == {9093, 9200, 443}
    assert ports("topics") == {9093}
    assert ports("dashboards") == {3000}
    assert only(found, "NetworkPolicy", "mien-topics")["spec"]["ingress"] == []


def test_topics_come_before_everything_else_and_bring_their_own_configuration() -> None:
    found = manifests(VALUES["everything"])
    job, config = only(found, "Job", "mien-topics"), only(found, "ConfigMap", "mien-topics")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert config["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    weights = [int(one["metadata"]["annotations"]["helm.sh/hook-weight"]) for one in (config, job)]
    assert weights[0] < weights[1]
    pod = job["spec"]["template"]["spec"]
    assert pod["volumes"][0]["configMap"] == {"name": "mien-topics"}
    assert pod["serviceAccountName"] == "default"  # that of the release isn't there yet
    assert config["data"] == only(found, "ConfigMap", "mien")["data"]


def test_an_undelivered_alert_outlives_its_pod() -> None:
    found = manifests(VALUES["minimal"])
    notify = only(found, "Deployment", "mien-notify")["spec"]
    assert (notify["replicas"], notify["strategy"]) == (1, {"type": "Recreate"})
    data = next(volume for volume in notify["template"]["spec"]["volumes"] if volume["name"] == "data")
    assert data["persistentVolumeClaim"] == {"claimName": "mien-notify"}
    claim = only(found, "PersistentVolumeClaim", "mien-notify")
    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_dashboards_are_config_maps_with_the_label_of_the_sidecar(tmp_path: Path) -> None:
    """Also one whose legends look like Helm's own templates."""
    chart = tmp_path / "mien"
    shutil.copytree(CHART, chart)
    (chart / "dashboards").mkdir(exist_ok=True)
    tricky = {"uid": "tricky", "title": "{{ .Values.nothing }}", "legend": "{{camera}}: 50 %"}
    (chart / "dashboards" / "tricky.json").write_text(json.dumps(tricky, indent=2))
    found = manifests(VALUES["minimal"], "--set", "dashboards.enabled=true", chart=chart)
    files = sorted((chart / "dashboards").glob("*.json"))
    maps = [one for one in found if one["metadata"].get("labels", {}).get("grafana_dashboard") == "1"]
    assert len(maps) == len(files)
    for path in files:
        [shown] = [one["data"][path.name] for one in maps if path.name in one["data"]]
        assert json.loads(shown) == json.loads(path.read_text())


def test_the_notes_say_who_watches_what(tmp_path: Path) -> None:
    """`helm install` alone shows notes, and asks a cluster for it; here a template shows them."""
    chart = tmp_path / "mien"
    shutil.copytree(CHART, chart)
    shutil.copy(CHART / "templates" / "NOTES.txt", chart / "notes.txt")
    template = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "notes"}}
    text = f'{json.dumps(template)[:-1]}, "data": {{"notes": {{{{ tpl (.Files.Get "notes.txt") . | quote }}}}}}}}'
    (chart / "templates" / "notes.yaml").write_text(text)
    notes = only(manifests(VALUES["trial"], chart=chart), "ConfigMap", "notes")["data"]["notes"]
    assert "mien 0.1.0 watches 2 camera(s)" in notes
    assert "nobody is watched" in notes
    assert "WARNING: trial.enabled" in notes
    assert "WARNING: notify.persistence is off" in notes


def test_pods_run_commands_that_there_are() -> None:
    """The command line knows every command and option that the chart uses."""
    for owner, pod in pods(manifests(VALUES["minimal"])):
        [container] = pod["containers"]
        command: Any = get_command(app)
        words = list(container["args"])
        while hasattr(command, "commands"):
            assert words[0] in command.commands, owner
            command = command.commands[words.pop(0)]
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("-")} <= options, owner


def test_a_password_in_the_values_is_refused_by_mien_too_where_it_is_no_secret(tmp_path: Path) -> None:
    """The chart's schema says what mien says: what it lets through, mien may still find wrong, never the reverse."""
    path = tmp_path / "mien.yaml"
    YAML().dump(minimal(elasticsearch={"url": "http://u:s3cret@h:9200"})["config"], path)
    with pytest.raises(ConfigError, match="without user and password"):
        load_settings(path)


if __name__ == "__main__":
    GOLDEN.mkdir(parents=True, exist_ok=True)
    for label, file in VALUES.items():
        (GOLDEN / f"{label}.yaml").write_text(rendered(file, *GOLDEN_WITHOUT))
    sys.stdout.write(f"{len(VALUES)} files in {GOLDEN}\n")
