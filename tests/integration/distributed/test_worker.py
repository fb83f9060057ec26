"""Workers on a real broker: the same alerts as `mien replay`, whatever happens to the workers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.recording import time_of
from operators.records import Status
from tests.alerts import alert as made_alert
from tests.alerts import resolved
from tests.servers.kafka import Kafka
from tests.worker_bed import Bed, expected, found, made_up, until

# kafka-python leaves the sockets of attempts that were refused to the garbage collection.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

RECORDS = made_up(minutes=5)


@pytest.fixture
def bed(kafka: Kafka, prefix: str, tmp_path: Path) -> Iterator[Bed]:
    with Bed.make(tmp_path, bootstrap=kafka.bootstrap, prefix=prefix) as made:
        yield made


def test_evaluate_tells_what_replay_tells(bed: Bed):
    wanted = expected(bed.settings, RECORDS)
    assert {one.rule for one in wanted.values()} == {"fear", "fear-at-doors", "camera-down"}
    worker = bed.start("evaluate")
    bed.send(RECORDS)
    bed.drain()
    assert found(bed.alerts()) == wanted
    assert worker.get("/healthz").status_code == worker.get("/readyz").status_code == 200
    assert 'mien_alerts_total{rule="fear",severity="warning",status="firing"}' in worker.get("/metrics").text
    assert worker.get("/tables").status_code == 404
    status, _ = worker.stop()
    assert status == 0, worker.text()
    assert "Traceback" not in worker.text()


def test_killed_in_the_middle_and_started_again(bed: Bed):
    """Twice, once as a member that is known: nothing is missing, nothing is different."""
    first = bed.start("evaluate", name="a")
    with bed.sending(RECORDS, per_s=1000):
        until(lambda: len(bed.alerts()) > 5, seconds=30, what="alerts")
        first.kill()
        second = bed.start("evaluate", name="a")
        until(lambda: len(found(bed.alerts())) > 20, seconds=30, what="more alerts")
        second.kill()
    bed.start("evaluate", name="a")
    bed.drain()
    assert found(bed.alerts()) == expected(bed.settings, RECORDS)


def test_two_workers_share_and_take_over(bed: Bed):
    """One alone, then two, then the other alone."""
    first = bed.start("evaluate")
    with bed.sending(RECORDS, per_s=1000):
        until(lambda: len(bed.alerts()) > 5, seconds=30, what="alerts")
        second = bed.start("evaluate")
        until(lambda: len(found(bed.alerts())) > 20, seconds=30, what="more alerts")
        status, _ = first.stop()
        assert status == 0, first.text()
    bed.drain()
    assert found(bed.alerts()) == expected(bed.settings, RECORDS)
    assert "partitions=2" in second.text()
    assert "Traceback" not in first.text() + second.text()


def test_notify_delivers_once_and_remembers(bed: Bed):
    alerts = [made_alert(number) for number in range(20)]
    worker = bed.start("notify")
    bed.send_alerts(alerts[:10])
    bed.drain("notify", "alerts")
    worker.kill()
    bed.send_alerts([*alerts[5:], resolved(alerts[0])])
    worker = bed.start("notify")
    bed.drain("notify", "alerts")
    status, _ = worker.stop()
    assert status == 0, worker.text()
    lines = (bed.folder / "alerts.jsonl").read_text(encoding="utf-8").splitlines()
    ids = [json.loads(line)["id"] for line in lines]
    assert sorted(set(ids)) == sorted(one.transition_id for one in [*alerts, resolved(alerts[0])])
    assert len(ids) <= len(set(ids)) + 10  # what the killed one may have delivered without writing that down


def test_rules_that_change_are_applied_while_it_works(bed: Bed):
    """An alert that fires ends with its rule; the state that is left is that of the new rules."""
    alerts = list(expected(bed.settings, RECORDS).values())
    fires = next(one for one in alerts if one.status is Status.FIRING and one.rule == "fear")
    worker = bed.start("evaluate")
    bed.send([record for record in RECORDS if time_of(record) <= fires.ts])
    bed.drain()
    text = bed.config.read_text(encoding="utf-8")
    bed.config.write_text(text.replace("id: fear\n", "id: fright\n"), encoding="utf-8")
    worker.wait_for("rules are applied")
    until(lambda: any(one.reason == "config" for one in bed.alerts()), seconds=20, what="the end of what fired")
    ended = {one.alert_id: one.status for one in bed.alerts() if one.reason == "config"}
    assert ended[fires.alert_id] is Status.RESOLVED
    bed.send([record for record in RECORDS if time_of(record) > fires.ts])
    bed.drain()
    assert {one.rule for one in bed.alerts() if one.ts > fires.ts} == {"fright", "fear-at-doors"}
