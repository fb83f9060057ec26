"""What must not change what the rules tell: the order of arrival, ticks, and where a run is cut."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, seed, settings

from operators.records import Alert, Observation
from operators.rules import RuleSet
from tests.rule_laws import canonical, run
from tests.rule_stories import KINDS, Case, Record, arrivals, cases, in_pieces, ticked

STORIES = 60
"""For each kind of condition and shard: 1,200 in all, each in five ways beside the plain one."""
DISORDER = 0.3


def in_any_order(rules: RuleSet, records: Sequence[Record], noise: random.Random) -> list[Alert]:
    """Within `out_of_order` of each other."""
    return run(rules, arrivals(records, noise, DISORDER), out_of_order=DISORDER)


def cut_anywhere(rules: RuleSet, records: Sequence[Record], noise: random.Random) -> list[Alert]:
    """In another order, the states stored and read back at three places."""
    cuts = {noise.randrange(len(records) + 1) for _ in range(3)}
    return run(rules, arrivals(records, noise, DISORDER), out_of_order=DISORDER, cuts=cuts)


def cut_everywhere(rules: RuleSet, records: Sequence[Record], _: random.Random) -> list[Alert]:
    """Stored and read back after every record."""
    return run(rules, records, cuts=range(len(records)))


def with_ticks(rules: RuleSet, records: Sequence[Record], noise: random.Random) -> list[Alert]:
    """Time passes between the records too."""
    return run(rules, ticked(records, noise))


def twice(rules: RuleSet, records: Sequence[Record], _: random.Random) -> list[Alert]:
    """Every picture comes once more."""
    return run(rules, [record for record in records for _ in range(1 + isinstance(record, Observation))])


def purely(rules: RuleSet, records: Sequence[Record], _: random.Random) -> list[Alert]:
    """By `step`, which leaves its argument as it is, instead of in place."""
    return run(rules, records, pure=True)


WAYS = (in_any_order, cut_anywhere, with_ticks, twice)
SLOW_WAYS = (cut_everywhere, purely)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("shard", range(2))
@pytest.mark.parametrize("kind", KINDS)
def test_it_tells_the_same_in_every_way(kind: str, shard: int) -> None:
    told = 0

    @seed(shard)
    @settings(max_examples=STORIES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=cases(kind))
    def law(case: Case) -> None:
        nonlocal told
        records = in_pieces(case.story.records)
        expected = canonical(run(case.rules, records))
        for way in (*WAYS, SLOW_WAYS[case.seed % 2]):
            assert canonical(way(case.rules, records, random.Random(case.seed))) == expected, way.__name__
        told += len(expected)

    law()
    assert told > STORIES, "expected stories of which the rules tell something"
