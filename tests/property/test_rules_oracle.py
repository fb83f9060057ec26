"""The rules against a deliberately naive oracle: in every story that hypothesis makes up, both tell the same.

Each kind of condition gets `SHARDS` tests of `TRACES` stories, so that pytest-xdist can share them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, seed, settings

from tests.oracle import histories
from tests.rule_laws import CAMERAS, engine_histories, run
from tests.rule_stories import KINDS, Case, cases

SHARDS = 3
TRACES = 350
"""10,500 in all."""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("shard", range(SHARDS))
@pytest.mark.parametrize("kind", KINDS)
def test_the_engine_tells_what_the_oracle_tells(
    kind: str, shard: int, record_property: Callable[[str, object], None]
) -> None:
    seen: Counter[str] = Counter()

    @seed(shard)
    @settings(max_examples=TRACES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=cases(kind))
    def law(case: Case) -> None:
        expected = histories(case.rules, CAMERAS, case.records, out_of_order=case.out_of_order)
        told = engine_histories(run(case.rules, case.records, out_of_order=case.out_of_order))
        assert told == expected
        seen["traces"] += 1
        seen.update({told.status for history in expected if history.rule == "main" for told in history.told})

    law()
    for name, number in seen.items():
        record_property(name, number)
    assert seen["traces"] >= TRACES
    assert seen["pending"] >= TRACES / 20, f"expected stories in which something happens, got {seen}"
    assert seen["firing"] >= TRACES / 40, f"expected stories in which something fires, got {seen}"
