"""Rule sets: what they refuse, in which order rules are evaluated, and what versions cover."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from operators.records import Scope
from operators.rules import (
    Group,
    Inhibit,
    Limits,
    Mute,
    Predicate,
    Routing,
    Rule,
    RuleSet,
    Schedule,
    Where,
    rule_version,
)
from operators.rules.ruleset import inhibition_circle, inhibition_level

FEAR = Predicate(prob="fear", enter=0.6)
NEGATIVE = Predicate(prob="negative", enter=0.6)
OPENING = {"opening": Schedule("Europe/Vienna", hours=("08:00-18:00",))}
DOORS = {"doors": Group(("lobby", "gate"))}


def rule(rule_id: str, *targets: str, scope: Scope = Scope.TRACK, group: str = "") -> Rule:
    inhibit = (Inhibit(targets),) if targets else ()
    return Rule(rule_id, FEAR, scope=scope, group=group, inhibit=inhibit)


@pytest.mark.parametrize(
    ("build", "complaint"),
    [
        (lambda: RuleSet((rule("a"), rule("a"))), "a more than once"),
        (lambda: RuleSet(signals={"fear": {"anger": 1}}), "name of its own for a derived signal, got .* 'fear'"),
        (lambda: RuleSet((rule("a", scope=Scope.GROUP, group="doors"),)), "one of the groups, got 'doors'"),
        (lambda: RuleSet((replace(rule("a"), schedule="opening"),)), "one of the schedules, got 'opening'"),
        (lambda: RuleSet(routing=Routing(mute=(Mute("opening"),))), "routing.mute: .* got 'opening'"),
        (lambda: RuleSet((rule("a", "b"), rule("b", "a"))), "without a circle, got a -> b -> a"),
        (lambda: Group(()), "at least one camera"),
        (lambda: Routing(group_wait=-1), "group_wait and group_interval >= 0s"),
        (lambda: Limits(max_active_per_rule=0), "limits of at least 1"),
    ],
)
def test_impossible_sets_are_refused(build: Callable[[], object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        build()


def test_inhibitors_come_before_what_they_inhibit_and_else_the_order_is_by_id() -> None:
    rules = RuleSet((rule("a"), rule("b"), rule("z", "a"), rule("y", "z")))
    assert [one.id for one in rules.in_order()] == ["b", "y", "z", "a"]


def test_a_star_spares_other_stars_and_the_rule_itself() -> None:
    down, late = rule("down", "*"), rule("late", "*")
    rules = RuleSet((rule("a"), down, late))
    assert rules.inhibited_by(down) == rules.inhibited_by(late) == ("a",)


def test_a_star_may_be_named_by_another_rule() -> None:
    first, second = rule("first", "*", "second"), rule("second", "*")
    assert RuleSet((rule("a"), first, second)).inhibited_by(first) == ("a", "second")


def test_rules_inhibit_within_their_own_level_only() -> None:
    doors = rule("doors", "*", scope=Scope.GROUP, group="doors")
    site = rule("site", "*", scope=Scope.SITE)
    rules = RuleSet((rule("a"), rule("b", "*"), doors, site), groups=DOORS)
    assert [rules.inhibited_by(one) for one in rules.rules] == [(), ("a",), (), ()]
    assert [inhibition_level(one) for one in rules.rules] == ["camera", "camera", "group:doors", "site"]


def test_a_circle_is_told_in_the_direction_in_which_it_inhibits() -> None:
    assert inhibition_circle((rule("a", "b"), rule("b", "c"), rule("c", "a"))) == ("a", "b", "c", "a")
    assert inhibition_circle((rule("a", "b"), rule("b", "c"), rule("c"))) == ()


def version(one: Rule, **shared: object) -> str:
    return rule_version(one, RuleSet((one,), **shared))  # type: ignore[arg-type]


def test_the_version_of_a_rule_covers_what_decides_and_no_texts() -> None:
    one = Rule("a", FEAR, title="one")
    assert version(replace(one, title="two", summary="three")) == version(one)
    assert version(replace(one, for_=0.1)) != version(one)
    assert version(replace(one, where=Where(zones=("desk",)))) != version(one)
    assert version(replace(one, when=replace(FEAR, enter=0.61))) != version(one)


def test_a_field_at_its_default_is_no_part_of_the_version() -> None:
    """So that a field which a later release adds changes no alert's id."""
    assert version(Rule("a", FEAR)) == "5a8102e16669"


def test_the_version_of_a_rule_covers_what_it_names_and_nothing_else() -> None:
    named = Rule("a", NEGATIVE, schedule="opening", scope=Scope.GROUP, group="doors")
    shared = {"signals": {"negative": {"anger": 1.0}}, "schedules": OPENING, "groups": DOORS}
    before = version(named, **shared)
    assert version(named, **{**shared, "signals": {"negative": {"anger": 1.0}, "other": {"fear": 1.0}}}) == before
    assert version(named, **{**shared, "signals": {"negative": {"anger": 0.9}}}) != before
    assert version(named, **{**shared, "schedules": {"opening": Schedule("Europe/Vienna")}}) != before
    assert version(named, **{**shared, "groups": {"doors": Group(("lobby",))}}) != before


def test_the_version_of_a_set_covers_who_is_told_too() -> None:
    plain = RuleSet((rule("a"), rule("b")), schedules=OPENING)
    muted = replace(plain, routing=Routing(mute=(Mute("opening"),)))
    others = [
        replace(plain, rules=(rule("a"),)),
        replace(plain, rules=(rule("a", "b"), rule("b"))),
        replace(plain, limits=Limits(max_active_per_rule=10)),
        muted,
        replace(muted, schedules={"opening": Schedule("Europe/Vienna")}),
    ]
    assert len({each.version for each in (plain, *others)}) == 6
    assert replace(plain, rules=(rule("b"), rule("a"))).version == plain.version
