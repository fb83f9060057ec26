"""What leaves the process, in every sink: figures, short texts and times. No picture, embedding or id of a person.

The lists below are the promise. A new field fails here until somebody has thought about it and put it on its list.
"""

from __future__ import annotations

import io
import json
import re
import sqlite3
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from connectors.elastic_documents import action, alert_entries, rollup_entry
from connectors.elastic_templates import MAPPINGS, Index, mapping
from connectors.jsonl import JsonlSettings, JsonlSink
from connectors.stdout import StdoutSettings, StdoutSink
from connectors.store import Store, StoreSettings
from connectors.webhook import WebhookSettings, WebhookSink, payload
from connectors.wire import TEXT_LIMIT, alert_document, encode, observation_document, presentable
from operators.records import Alert, Clock, FaceTrack, Frame, Observation, Status
from operators.rollup import Rollups
from operators.rules import Predicate, Rule, RuleEvaluator, RuleSet
from pipeline.delivery import Delivery
from pipeline.sections import Camera
from pipeline.web.sources import Sources
from tests.alerts import FEAR, alert, alerts, observations, patient
from tests.console_bed import made_up_settings, made_up_sources, serving
from tests.hook_server import hook_server

pytestmark = pytest.mark.integration

RECORD = {
    "alert_id", "seq", "rule", "scope", "camera_id", "status", "reason", "severity", "ts", "starts_at", "fired_at",
    "ends_at", "labels.*", "annotations.*", "evidence.*", "config", "silenced_by",
}  # fmt: skip
DOCUMENT = {"id", *RECORD}
LABELS = {"rule", "camera", "group", "severity", "zone", "limited"}
ANNOTATIONS = {"title", "summary"}
EVIDENCE = {
    "value_last", "value_max", "value_mean", "coverage", "samples", "duration_s", "dips", "gaps", "x_px", "y_px",
    "source_px", "for_s", "enter", "exit", "suppressed", "population", "pulses", "ratio",
}  # fmt: skip
MESSAGE = {
    "version", "groupKey", "truncatedAlerts", "status", "receiver", "groupLabels.*", "commonLabels.*",
    "commonAnnotations.*", "externalURL", "alerts[].status", "alerts[].labels.*", "alerts[].annotations.*",
    "alerts[].startsAt", "alerts[].endsAt", "alerts[].generatorURL", "alerts[].fingerprint", "alerts[].mien.id",
    "alerts[].mien.alert_id", "alerts[].mien.seq", "alerts[].mien.status", "alerts[].mien.reason",
    "alerts[].mien.severity", "alerts[].mien.ts", "alerts[].mien.fired_at", "alerts[].mien.evidence.*",
    "alerts[].mien.config",
}  # fmt: skip
OBSERVATION = {
    "ts", "camera_id", "seq", "clock", "reused", "faces", "faces[].track_id", "faces[].xyxy[]", "faces[].confidence",
    "faces[].source_px", "faces[].quality", "faces[].label", "faces[].scores.*", "faces[].enhanced",
    "faces[].intensity", "faces[].zones[]", "faces[].reasons[]",
}  # fmt: skip
EVERY_DOCUMENT = {
    "@timestamp", "ecs.version", "event.kind", "event.dataset", "observer.type", "observer.name",
}  # fmt: skip
SEEN = {*EVERY_DOCUMENT, "observer.geo.name", "mien.hour", "mien.weekday", "mien.scope"}
ALERT_DOCUMENT = {
    *SEEN, "event.id", "event.action", "event.reason", "event.start", "event.end", "event.duration", "event.severity",
    "rule.id", "rule.version", "message", "tags", "tags[]", "labels.*", "mien.alert.id", "mien.alert.sequence",
    "mien.alert.fired_at", "mien.alert.severity", "mien.alert.silenced_by", "mien.alert.place", "mien.evidence.*",
}  # fmt: skip
ROLLUP_DOCUMENT = {
    *SEEN, "mien.frames", "mien.fps", "mien.faces.mean", "mien.faces.max", "mien.faces.seen", "mien.faces.unknown",
    "mien.expression.share.*", "mien.expression.score.*", "mien.observed_s", "mien.gap_s.*",
}  # fmt: skip
HEALTH_DOCUMENT = {
    *EVERY_DOCUMENT, "service.name", "service.node.name", "service.node.role", "mien.kind", "mien.up", "mien.uptime_s",
    "mien.firing", "mien.rules", "mien.camera.state", "mien.camera.cause", "mien.camera.skew_s",
    "mien.camera.reconnects", "mien.fps.in", "mien.fps.out", "mien.frames.in", "mien.frames.out", "mien.frames.lost",
    "mien.frames.late", "mien.age_s", "mien.reason", "mien.count", "mien.stage", "mien.latency.p50",
    "mien.latency.p95", "mien.latency.p99", "mien.sink", "mien.queue", "mien.waiting", "mien.discarded",
}  # fmt: skip
INDICES = {
    Index.ALERTS: ALERT_DOCUMENT,
    Index.STATE: ALERT_DOCUMENT,
    Index.METRICS: ROLLUP_DOCUMENT,
    Index.HEALTH: HEALTH_DOCUMENT,
}
OPEN = (
    "labels", "annotations", "evidence", "scores", "groupLabels", "commonLabels", "commonAnnotations", "share", "score",
    "gap_s",
)  # fmt: skip
"""Mappings whose keys come from the rules or the model; their values are still scanned."""
EPISODE = {
    "first", "alert_id", "last", "rule", "camera_id", "severity", "status", "started", "ended", "acknowledged_at",
    "note",
}  # fmt: skip
COLUMNS = {
    "alerts": {"position", "transition_id", "alert_id", "status", "recorded_at", "body"},
    "firing": {"alert_id", "position"},
    "episodes": EPISODE,
    "cursors": {"sink", "position"},
    "dead_letters": {"sink", "transition_id", "recorded_at", "reason", "body"},
    "states": {"name", "body"},  # the rules' memory, which no sink reads
}
NO_SHRINK = (Phase.explicit, Phase.reuse, Phase.generate)  # each example takes a disk and four threads
BINARY_AS_TEXT = re.compile(r"[A-Za-z0-9+/=_-]{100,}")
"""What base64 or hex of anything looks like; the longest text of ours without a blank is an id."""


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value with the path of its keys; anything but JSON's own types fails."""
    if isinstance(value, dict):
        is_open = path.rpartition(".")[2] in OPEN
        for name, below in value.items():
            assert isinstance(name, str)
            step = "*" if is_open else name
            yield from leaves(below, f"{path}.{step}" if path else step)
    elif isinstance(value, list):
        for below in value:
            yield from leaves(below, f"{path}[]")
    else:
        assert value is None or type(value) in (str, int, float, bool), f"{path} is a {type(value).__name__}"
        yield path, value


def check(document: Any, allowed: set[str]) -> None:
    for path, value in leaves(document):
        assert path in allowed, f"{path} is not on the allow-list"
        if isinstance(value, str):
            assert len(value) <= TEXT_LIMIT, f"{path} is long enough to hide something"
        if re.search(r"(evidence|scores|share|score|gap_s)\.\*$", path):
            assert isinstance(value, int | float), f"{path} is no figure"


@patient
@given(alerts)
def test_any_alert_in_any_shape(record):
    check(json.loads(encode(presentable(record))), RECORD)
    check(alert_document(record), DOCUMENT)
    check(payload([record, record]), MESSAGE)


@patient
@given(observations)
def test_any_observation(record):
    check(observation_document(record), OBSERVATION)


@patient
@given(alerts)
@example(replace(FEAR, annotations={"title": "iVBORw0KGgo" * 45, "summary": "iVBORw0KGgo" * 45}))
def test_any_alert_in_elasticsearch(record):
    for entry in alert_entries(record):
        check(action(entry, "mien")["_source"], INDICES[entry.kind])


@patient
@given(st.lists(observations, max_size=20))
def test_any_roll_up_in_elasticsearch(seen):
    """Whatever the order of the frames: labels, scores and zones go in, no track comes out."""
    operator, state, told = Rollups(), None, []
    for each in seen:
        state, new = operator.step(state, replace(each, camera_id="lobby"))
        assert "track-" not in encode(state).decode()
        told += new
    for rollup in [*told, *(operator.finish(state, "lobby") if state else [])]:
        document = action(rollup_entry(rollup), "mien")["_source"]
        check(document, ROLLUP_DOCUMENT)
        assert "track-" not in json.dumps(document)


@pytest.mark.parametrize("kind", Index)
def test_the_mapping_of_elasticsearch_holds_nothing_else(kind):
    """What is not in it, the server refuses."""
    assert set(MAPPINGS[kind]) == {name.removesuffix(".*") for name in INDICES[kind] if not name.endswith("[]")}
    assert "track_id" not in json.dumps(mapping(kind))


@settings(patient, max_examples=15, phases=NO_SHRINK)
@given(batch=st.lists(alerts, min_size=1, max_size=5))
@example(batch=[replace(FEAR, labels={"zone": "line\u2028ends\x85that\rare\nnone"})])
def test_any_alert_in_the_store_and_the_file(batch, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sinks")
    deliver(batch, folder, url="")
    check_store(folder / "mien.sqlite")
    if any(not each.silenced_by for each in batch):  # else there is no file
        check_file(folder / "alerts.jsonl")


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"evidence": {"crop": "iVBORw0KGgo"}}, "evidence"),
        ({"annotations": {"crop": b"\x89PNG"}}, "annotations"),
        ({"camera_id": ["a"]}, "camera_id"),
        ({"evidence": {"embedding": [0.1, 0.2]}}, "evidence"),
    ],
)
def test_the_scan_itself_sees_what_should_not_be_there(changes, path):
    document = {**alert_document(FEAR), **changes}
    with pytest.raises(AssertionError, match=path):
        check(document, DOCUMENT)
    with pytest.raises(AssertionError, match="embedding is not on"):
        check({**alert_document(FEAR), "embedding": 0.5}, DOCUMENT)


def test_alerts_of_real_rules_in_every_sink(tmp_path):
    history = real_alerts()
    assert {each.status for each in history} == set(Status)
    with hook_server() as hooks:
        texts = deliver(history, tmp_path, url=hooks.url)
    check_store(tmp_path / "mien.sqlite")
    check_file(tmp_path / "alerts.jsonl")
    texts.append((tmp_path / "alerts.jsonl").read_text())
    for request in hooks.requests:
        check(request.message, MESSAGE)
        texts.append(request.body.decode())
        texts += request.headers.values()
    texts += [str(row) for row in rows(tmp_path / "mien.sqlite", "alerts")]
    for each in history:
        assert set(each.labels) <= LABELS
        assert set(each.annotations) <= ANNOTATIONS
        assert set(each.evidence) <= EVIDENCE
    for text in texts:
        assert "tracksecret" not in text
        assert not BINARY_AS_TEXT.search(text)
    assert sum(text.count("fear-sustained") for text in texts) > 4 * len(hooks.requests)


SECRETS = ("s3cret-of-the-camera", "watcher-of-lobby", "10.9.8.7", "s3cret-of-the-hook", "s3cret-of-the-console")
CONSOLE = {
    "/api/status": {
        "version", "now", "uptime_s", "purpose", "firing", "live", "sinks", "sinks[].name", "sinks[].waiting",
        "sinks[].error", "store", "store_error", "rules.version", "rules.count", "rules.reloads", "rules.refused",
        "rules.error", "expressions[]", "history_s",
    },
    "/api/cameras": {
        "[].camera_id", "[].state", "[].cause", "[].advice", "[].clock", "[].skew_s", "[].fps_in", "[].fps_analysed",
        "[].age_s", "[].faces", "[].labels[]", "[].frames", "[].analysed", "[].lost", "[].late", "[].drops.overload",
        "[].reconnects.timeout", "[].detail", "[].groups[]", "[].zones.desk.polygon[][]",
        "[].zones.desk.inertia_s", "[].masks[]",
    },
    "/api/alerts": {
        "next", *(f"items[].{name}" for name in (*RECORD, "started", "recorded_at", "acknowledged_at", "note")),
    },
    "/api/alerts/{alert_id}": {
        *(f"alert.{name}" for name in (*RECORD, "started", "recorded_at", "acknowledged_at", "note")),
        *(f"transitions[].{name}" for name in RECORD),
    },
    "/api/observations": {
        "next", "items", "items[].camera_id", "items[].ts", "items[].clock", "items[].seq", "items[].reused",
        "items[].faces", "items[].faces[].box[]", "items[].faces[].confidence", "items[].faces[].source_px",
        "items[].faces[].quality", "items[].faces[].reasons[]", "items[].faces[].enhanced", "items[].faces[].label",
        "items[].faces[].scores.*", "items[].faces[].intensity", "items[].faces[].zones[]",
    },
}  # fmt: skip


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Sources]:
    """A site with secrets in its settings and track ids in its memory."""
    site = made_up_settings(tmp_path, cameras=3, port=0, history="2m", token=SECRETS[4])
    lobby = Camera(url=f"rtsp://{SECRETS[1]}:{SECRETS[0]}@{SECRETS[2]}/live", zones=site.cameras["camera-01"].zones)
    hook = WebhookSettings(url="http://127.0.0.1:9/hook", secret=SecretStr(SECRETS[3]))
    site = site.model_copy(update={"cameras": {**site.cameras, "camera-01": lobby}, "sinks": (hook,)})
    with made_up_sources(site, alerts=20) as sources:
        sources.store.append([replace(each, camera_id="camera-01") for each in real_alerts()])
        now = time.time() + 60
        for seq in range(20):
            people = (face("tracksecret-1", 0.9), face("tracksecret-2", 0.7))
            looked = Observation("camera-01", 2, seq, now + seq / 5, Clock.SENDER, people)
            frame = Frame("camera-01", 2, seq, looked.ts, Clock.SENDER, np.zeros((90, 160, 3), np.uint8))
            sources.evaluation.feed([looked])
            sources.memory.tape([frame], [looked])
        yield sources


def test_every_answer_of_the_console(watched):
    """What the API documents, it is asked for: figures and words come, the one picture where it should."""
    alert_id = real_alerts()[0].alert_id
    asked = {"alert_id": alert_id, "camera_id": "camera-01", "name": "none", "replay_id": "none"}
    pictures, seen = set(), {}
    headers = {"Authorization": f"Bearer {SECRETS[4]}"}
    with serving(watched) as url, httpx.Client(base_url=url, headers=headers, timeout=30) as http:
        for path, operations in http.get("/api/openapi.json").json()["paths"].items():
            if "get" not in operations or path == "/api/events":
                continue
            answer = http.get(path.format(**asked), params={"camera": "camera-01", "limit": 100})
            if answer.headers["content-type"].startswith("image/"):
                pictures.add(path)
                continue
            seen[path] = answer.text
            if path in CONSOLE:
                check(answer.json(), CONSOLE[path])
        with http.stream("GET", "/api/events?after=0") as stream:
            lines = stream.iter_lines()
            seen["/api/events"] = "\n".join(next(lines) for _ in range(200))
    assert pictures == {"/api/cameras/{camera_id}/picture"}
    assert set(CONSOLE) <= set(seen)
    assert "fear-sustained" in seen["/api/alerts"]
    assert seen["/api/observations"].count('"fear"') > 20
    for path, text in seen.items():
        assert "tracksecret" not in text, path
        assert not BINARY_AS_TEXT.search(text), path
        assert [secret for secret in SECRETS if secret in text] == [], path


def real_alerts() -> list[Alert]:
    """Two faces through a real rule: one alert fires and is resolved, one breaks off."""
    when = Predicate(prob="fear", enter=0.6, exit=0.45)
    rule = Rule(id="fear-sustained", when=when, for_=1.0, title="Fear on {camera}", summary="{value.max:.2f}")
    evaluator = RuleEvaluator(RuleSet((rule,)))
    state, found = None, []
    for seq in range(60):
        people = {"tracksecret-1": 0.9 if seq < 30 else 0.1, "tracksecret-2": 0.9 if seq < 5 else 0.1}
        seen = Observation(
            camera_id="lobby",
            epoch=1,
            seq=seq,
            ts=1_763_715_600 + seq / 10,
            clock=Clock.STREAM,
            faces=tuple(face(track_id, fear) for track_id, fear in people.items()),
        )
        state, new = evaluator.step(state, seen)
        found += new
    return found


def face(track_id: str, fear: float) -> FaceTrack:
    return FaceTrack(
        track_id=track_id,
        first_ts=1_763_715_600,
        xyxy=(10, 10, 90, 90),
        confidence=0.99,
        source_px=80,
        quality=0.9,
        label="fear",
        scores={"fear": fear, "neutral": 1 - fear},
        intensity=fear,
    )


def deliver(batch: Sequence[Alert], folder: Path, *, url: str) -> list[str]:
    """Send a batch through every sink (the webhook if there is a URL); returns what was printed."""
    store = Store(StoreSettings(path=folder / "mien.sqlite"))
    every = tuple(Status)
    text, lines = io.StringIO(), io.StringIO()
    delivery = Delivery(
        store,
        [
            JsonlSink(JsonlSettings(path=folder / "alerts.jsonl", statuses=every)),
            StdoutSink(StdoutSettings(name="text", statuses=every), stream=text),
            StdoutSink(StdoutSettings(name="json", format="json", statuses=every), stream=lines),
            *([WebhookSink(WebhookSettings(url=url, statuses=every))] if url else []),
        ],
    )
    delivery.start()
    delivery.accept(batch)
    delivery.stop(30)
    assert all(status.waiting == 0 for status in delivery.status())
    store.bury("text", 0, alerts=[presentable(each) for each in batch], reason="not for me")
    store.close()
    for line in lines.getvalue().split("\n")[:-1]:  # not splitlines: JSON may hold U+2028
        check(json.loads(line), DOCUMENT)
    return [text.getvalue(), lines.getvalue()]


def rows(path: Path, table: str) -> list[dict[str, Any]]:
    connection = sqlite3.connect(path)
    connection.row_factory = sqlite3.Row
    found = [dict(row) for row in connection.execute(f"SELECT * FROM {table}")]
    connection.close()
    return found


def check_store(path: Path) -> None:
    connection = sqlite3.connect(path)
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    connection.close()
    assert tables - {"sqlite_sequence"} == set(COLUMNS)
    assert rows(path, "alerts")
    for table, columns in COLUMNS.items():
        for row in rows(path, table):
            assert set(row) == columns
            if table in ("alerts", "dead_letters"):
                check(json.loads(row.pop("body")), RECORD)
            check(row, columns)


def check_file(path: Path) -> None:
    for line in path.read_bytes().splitlines():
        check(json.loads(line), DOCUMENT)


def test_a_long_text_is_cut_before_it_is_stored(tmp_path):
    deliver([replace(alert(1), annotations={"crop": "iVBORw0KGgo" * 900})], tmp_path, url="")
    check_store(tmp_path / "mien.sqlite")
