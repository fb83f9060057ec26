"""The state of one rule partition: cut anywhere, delivered again from anywhere, saved and read back."""

from __future__ import annotations

import random
import zlib
from collections.abc import Sequence
from dataclasses import replace

import pytest

from connectors.kafka_records import Record
from connectors.recording import time_of
from operators.records import Alert, Observation, Status
from operators.rules import RuleEvaluator, RuleSet, Watched
from pipeline.config import Settings
from pipeline.evaluation import Evaluation
from pipeline.worker.rulebook import COMPRESSED_FROM, Place, Rulebook
from tests.recordings import night

RECORDS: list[Record] = sorted((one for one in night(minutes=5).records() if one.camera_id == "lobby"), key=time_of)


@pytest.fixture(scope="module")
def evaluator() -> RuleEvaluator:
    settings = Settings.model_validate(
        {
            "purpose": "a test",
            "cameras": {"lobby": {"url": "rtsp://127.0.0.1/lobby", "fps": 5}},
            "rules": [{"id": "fear", "when": {"prob": "fear", "enter": 0.5, "exit": 0.4}, "for": "3s"}],
        }
    )
    return RuleEvaluator(settings.rule_set, cameras={"lobby": Watched(interval=0.2)})


@pytest.fixture(scope="module")
def wanted(evaluator: RuleEvaluator) -> list[Alert]:
    alerts = Evaluation(evaluator).feed(RECORDS)
    assert any(alert.status is Status.RESOLVED for alert in alerts)
    return alerts


def place(offset: int) -> Place:
    return Place(offset, 1000 + offset // 10)  # several records are written in one ms


def feed(book: Rulebook, start: int, stop: int) -> list[Alert]:
    return [alert for number in range(start, stop) for alert in book.feed(RECORDS[number], place(number))]


@pytest.mark.parametrize("seed", range(8))
def test_cut_saved_and_delivered_again_gives_the_same(evaluator: RuleEvaluator, wanted: Sequence[Alert], seed: int):
    """A crash anywhere: the state is that of the last save, and records come again from before it."""
    rng = random.Random(seed)
    alerts: list[Alert] = []
    saved, done = None, 0
    while done < len(RECORDS):
        book = Rulebook("lobby", evaluator, saved)
        stop = min(len(RECORDS), done + rng.randint(1, 400))
        alerts += feed(book, max(0, done - rng.randint(0, 300)), stop)
        saved, done = book.save(), stop
    assert alerts == wanted


def test_the_same_records_twice_change_nothing(evaluator: RuleEvaluator):
    book = Rulebook("lobby", evaluator)
    assert feed(book, 0, len(RECORDS))
    before = book.save()
    assert feed(book, 0, len(RECORDS)) == []
    assert book.save() == before


def test_a_topic_made_anew_counts_from_0_again(evaluator: RuleEvaluator):
    """What was written later is new, whatever its offset says."""
    book = Rulebook("lobby", evaluator)
    feed(book, 0, 100)
    for number in range(100, len(RECORDS)):
        book.feed(RECORDS[number], Place(number - 100, 5000 + number))
    assert book.place == Place(len(RECORDS) - 101, 5000 + len(RECORDS) - 1)


def test_a_state_that_cannot_be_read_starts_anew(evaluator: RuleEvaluator, wanted: Sequence[Alert], caplog):
    for saved in (b"", b"junk", b"[1]", b"[1, 2, 3]", b"\x78\x01junk"):
        assert feed(Rulebook("lobby", evaluator, saved), 0, len(RECORDS)) == wanted
    assert "rules start anew" in caplog.text


def test_nothing_is_saved_of_nothing(evaluator: RuleEvaluator):
    assert Rulebook("lobby", evaluator).save() is None


def test_a_large_state_is_compressed(evaluator: RuleEvaluator):
    """A crowd that all shows fear."""
    book = Rulebook("lobby", evaluator)
    first = next(
        one for one in RECORDS if isinstance(one, Observation) and any(face.label == "fear" for face in one.faces)
    )
    face = max(first.faces, key=lambda one: one.scores.get("fear", 0.0))
    crowd = replace(first, faces=tuple(replace(face, track_id=f"lobby-{number}") for number in range(200)))
    book.feed(crowd, place(0))
    saved = book.save()
    assert saved is not None
    assert len(saved) < COMPRESSED_FROM < len(zlib.decompress(saved))
    again = Rulebook("lobby", evaluator, saved)
    assert again.place == place(0)
    assert again.save() == saved


def test_other_rules_and_the_end(evaluator: RuleEvaluator):
    """An alert that fires ends with its rule, or when nobody watches any more."""
    book = Rulebook("lobby", evaluator)
    number = 0
    while not book.firing():
        book.feed(RECORDS[number], place(number))
        number += 1
    saved = book.save()
    (ended,) = book.reload(RuleEvaluator(RuleSet(), cameras=evaluator.cameras))
    assert (ended.status, ended.reason) == (Status.RESOLVED, "config")
    (ended,) = Rulebook("lobby", evaluator, saved).end()
    assert (ended.status, ended.reason) == (Status.RESOLVED, "config")
    assert Rulebook("lobby", evaluator, saved).reload(evaluator) == []
