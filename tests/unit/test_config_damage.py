"""Whatever is wrong in a file of rules, it is told with file, line, column and key: nothing else ever comes out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.config import load_rules, rules_report

RULES: dict[str, Any] = {
    "version": 1,
    "defaults": {"cooldown": "5s", "reacquire": {"within": "1s"}},
    "signals": {"negative": {"anger": 1, "fear": 0.5}},
    "groups": {"doors": {"cameras": ["lobby"], "zones": ["desk"]}},
    "schedules": {"opening": {"timezone": "Europe/Vienna", "days": ["mon"], "hours": ["08:00-18:00"]}},
    "routing": {"mute": [{"schedule": "opening", "rules": ["upset"]}], "group_by": ["rule"], "group_wait": "2s"},
    "limits": {"max_active_per_rule": 20},
    "rules": [
        {
            "id": "upset",
            "when": {"all": ["negative >= 0.4", {"not": {"prob_any": ["happiness"], "enter": 0.2}}]},
            "for": "1m",
            "ratio": {"at_least": 0.7, "bucket": "5s"},
            "escalate": [{"after": "2m", "severity": "critical"}],
            "schedule": "opening",
            "inhibit": [{"rules": ["turn"], "equal": ["camera"]}],
        },
        {"id": "turn", "when": {"value": "valence"}, "change": {"zscore": 3, "baseline": {"over": "60s"}}},
        {"id": "crowd", "scope": "group", "group": "doors", "count": {"at_least": 3, "within": "10s"}},
        {
            "id": "smile-then-anger",
            "sequence": {
                "within": "4s",
                "steps": [{"when": "happiness >= 0.7", "for": "500ms"}, {"when": {"prob": "anger", "enter": 0.6}}],
                "not_between": {"when": "neutral >= 0.8", "for": "1s"},
            },
        },
        {
            "id": "burst",
            "when": {"prob": "fear", "enter": 0.5, "exit": 0.4},
            "pulse": {"max": "400ms", "flank": {"when": "neutral >= 0.5"}},
            "count": {"of": "pulses", "at_least": 4, "within": "1m"},
        },
        {"id": "away", "scope": "camera", "absence": {"of": "frames", "reasons": ["down"]}, "for": "5s"},
    ],
}
WRONG = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 1000),
    st.sampled_from([-0.1, 0.5, 1.5, 1e300]),
    st.sampled_from(
        ["", "*", "0s", "5s", "fear", "fear >= 0.5", "fear > 0.5", "not not", "opening", "{x}", "a: b", "é"]
    ),
    st.just([]),
    st.just({}),
    st.just(["fear", 1]),
    st.just({"enter": 0.5}),
    st.just({"not": {"not": {"all": [{"any": [3]}]}}}),
)
LINE = re.compile(r"rules\.json(:\d+:\d+)?: [\w.\[\]*\"-]+: .+")


def places(node: Any, at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The way to every value, and to every list item."""
    for step in range(len(node)) if isinstance(node, list) else node if isinstance(node, dict) else ():
        yield (*at, step)
        yield from places(node[step], (*at, step))


def damaged(place: tuple[str | int, ...], wrong: Any, how: str) -> dict[str, Any]:
    """The rules with one value replaced, removed, or under a misspelt key."""
    rules = deepcopy(RULES)
    parent: Any = rules
    for step in place[:-1]:
        parent = parent[step]
    if how == "replace":
        parent[place[-1]] = wrong
    elif how == "remove" or isinstance(parent, list):
        del parent[place[-1]]
    else:
        parent[f"{place[-1]}x"] = parent.pop(place[-1])
    return rules


def test_the_undamaged_rules_are_right(tmp_path: Path) -> None:
    path = tmp_path / "rules.json"
    path.write_text(json.dumps(RULES))
    assert rules_report(path) == []


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(list(places(RULES))),
    WRONG,
    st.sampled_from(["replace", "replace", "replace", "remove", "misspell"]),
)
def test_damage_is_told_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: tuple[str | int, ...], wrong: Any, how: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("rules.json")
    path.write_text(json.dumps(damaged(place, wrong, how), indent=1), encoding="utf-8")
    findings = rules_report(path)
    for finding in findings:
        assert LINE.fullmatch(finding.text), finding.text
    if not any(finding.severity == "error" for finding in findings):
        load_rules(path)
