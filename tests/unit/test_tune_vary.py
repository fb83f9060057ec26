"""What may be varied, how it is written, and the rules that come out."""

from __future__ import annotations

import pytest

from operators.errors import ConfigError
from operators.records import Scope
from operators.rules import Change, Count, Predicate, Rule, Sequence, Share, Smooth, Step
from pipeline.tune.vary import MOST, field_of, parse_vary, settings, shown

FEAR = Predicate(prob="fear", enter=0.6, exit=0.45)
RULE = Rule("fear", FEAR, for_=3.0)
STEPS = (Step(Predicate(prob="happiness", enter=0.7), 0.5), Step(Predicate(prob="anger", enter=0.6), 0.5))
SEQUENCE = Rule("turn", sequence=Sequence(STEPS, within=4.0))


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("when.enter=0.4:0.9:0.05", (0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9)),  # stop is included
        ("when.enter=0.1:0.35:0.1", (0.1, 0.2, 0.3)),  # a stop between two steps is not reached
        ("when.enter=0.7,0.5", (0.5, 0.7)),  # ascending, as the axes are
        ("for=1s:2s:333ms", (1.0, 1.333, 1.666, 1.999)),  # whole ms
        ("for=90s,1m", (60.0, 90.0)),
        ("min_samples=2:6:2", (2, 4, 6)),
        ("when.aggregate=min,max", ("min", "max")),
        ("max_gap = 500ms", (0.5,)),  # unset in the rule, and spaces
        ("momentary=false,true", (False, True)),
    ],
)
def test_values(text: str, values: tuple[object, ...]) -> None:
    assert parse_vary(text, RULE).values == values


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("when.entr=0.5", 'did you mean "when.enter"?'),
        ("enter=0.5", 'did you mean "when.enter"?'),
        ("cooldwn=1s", 'did you mean "cooldown"?'),
        ("qqqqqq=1s", "rule fear has: when.enter"),
        ("count.at_least=2", "rule fear has no count"),
        ("when.smooth.ema=1s", "no such field to vary"),
        ("when.enter", "expected FIELD=VALUES"),
        ("when.enter=", "expected FIELD=VALUES"),
        ("when.enter=high", "expected numbers such as 0.4:0.9:0.05 or 0.5,0.6, got 'high'"),
        ("when.enter=nan", "expected finite numbers"),
        ("when.enter=0.5,0.5", "every value once"),
        ("when.enter=0.9:0.4:0.1", "start <= stop"),
        ("when.enter=0.4:0.9:0", "a step above 0"),
        ("when.enter=0:1:0.000001", "take a larger step"),
        ("for=3", "expected durations such as 1s:5s:500ms or 1s,3s, got '3'"),
        ("min_samples=2.5", "expected whole numbers"),
        ("when.aggregate=men", 'did you mean "mean"?'),
        ("id=other", "no such field to vary"),
        ("title=x", "no such field to vary"),
    ],
)
def test_errors_say_what_to_write(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_vary(text, RULE)
    assert said in str(caught.value)
    assert text in str(caught.value)


def test_settings_are_every_combination_in_order() -> None:
    made, skipped = settings(RULE, [parse_vary("when.enter=0.5,0.6", RULE), parse_vary("for=1s,2s", RULE)])
    assert [setting.values for setting in made] == [(0.5, 1.0), (0.5, 2.0), (0.6, 1.0), (0.6, 2.0)]
    assert [setting.rule.for_ for setting in made] == [1.0, 2.0, 1.0, 2.0]
    assert not skipped


def test_exit_keeps_its_proportion_to_enter() -> None:
    made, _ = settings(RULE, [parse_vary("when.enter=0.4,0.6,0.8", RULE)])
    assert [setting.rule.when and setting.rule.when.exit for setting in made] == [0.3, 0.45, 0.6]
    assert made[0].follows == {"when.exit": 0.3}
    assert made[1].rule == RULE


def test_exit_stays_where_it_is_varied_too_and_what_is_no_rule_is_told() -> None:
    made, skipped = settings(RULE, [parse_vary("when.enter=0.4,0.6", RULE), parse_vary("when.exit=0.45", RULE)])
    assert [setting.values for setting in made] == [(0.6, 0.45)]
    assert made[0].follows == {}
    assert [one.values for one in skipped] == [(0.4, 0.45)]
    assert "exit <= enter" in skipped[0].why


def test_a_share_has_an_exit_as_well() -> None:
    rule = Rule("crowd", FEAR, scope=Scope.CAMERA, share=Share(at_least=0.4, exit=0.3))
    made, _ = settings(rule, [parse_vary("share.at_least=0.4,0.8", rule)])
    assert [setting.rule.share and setting.rule.share.exit for setting in made] == [0.3, 0.6]


def test_fields_of_conditions_and_of_lists() -> None:
    count = Rule("many", FEAR, scope=Scope.CAMERA, count=Count(at_least=3, within=10.0))
    assert settings(count, [parse_vary("count.at_least=2", count)])[0][0].rule.count == Count(2, 10.0)
    change = Rule("shift", Predicate(value="valence", smooth=Smooth(ema=0.3)), change=Change(zscore=3.0))
    assert settings(change, [parse_vary("change.baseline.over=90s", change)])[0][0].rule.change.baseline.over == 90  # type: ignore[union-attr]
    assert settings(change, [parse_vary("when.smooth.ema=1s", change)])[0][0].rule.when.smooth.ema == 1  # type: ignore[union-attr]
    made, _ = settings(SEQUENCE, [parse_vary("sequence.steps[1].when.enter=0.9", SEQUENCE)])
    steps = made[0].rule.sequence.steps  # type: ignore[union-attr]
    assert (steps[0], steps[1].when.enter) == (STEPS[0], 0.9)


def test_changes_are_checked_together_not_one_after_the_other() -> None:
    made, skipped = settings(
        SEQUENCE,
        [parse_vary("sequence.within=2s", SEQUENCE), parse_vary("sequence.steps[0].for=300ms,1s600ms", SEQUENCE)],
    )
    assert [setting.values for setting in made] == [(2.0, 0.3)]
    assert "sequence.within" in skipped[0].why


def test_none_valid_says_why() -> None:
    with pytest.raises(ConfigError, match="the first says: expected exit <= enter"):
        settings(RULE, [parse_vary("when.exit=0.7,0.8", RULE)])


def test_too_many_combinations_come_with_advice() -> None:
    varies = [parse_vary(f"{name}=0:1:0.01", RULE) for name in ("when.enter", "min_quality")]
    with pytest.raises(ConfigError, match=f"at most {MOST} combinations, got 10201 = 101 x 101; take larger steps"):
        settings(RULE, varies)


def test_a_field_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match="every field once"):
        settings(RULE, [parse_vary("for=1s", RULE), parse_vary("for=2s", RULE)])


@pytest.mark.parametrize("rule", [RULE, SEQUENCE], ids=["sustained", "sequence"])
def test_every_field_that_is_offered_can_be_set_to_what_it_is(rule: Rule) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_vary("qqqqqqqq=1", rule)
    paths = str(caught.value).partition(" has: ")[2].split(", ")
    assert len(paths) > 10
    for path in paths:
        now = field_of(rule, path)
        if now in (None, ""):
            continue
        vary = parse_vary(f"{path}={'1s' if now is None else shown(now, _kind(path, rule))}", rule)
        made, _ = settings(rule, [vary])
        assert made[0].rule == rule, path


def _kind(path: str, rule: Rule) -> str:
    for example in ("1s", "1", "true", "max"):
        try:
            return parse_vary(f"{path}={example}", rule).kind
        except ConfigError:
            continue
    return "choice"


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (1.5, "duration", "1s500ms"),
        (0.6, "number", "0.6"),
        (3, "count", "3"),
        (True, "flag", "true"),
        (None, "duration", "unset"),
    ],
)
def test_shown_as_a_rules_file_has_it(value: float | None, kind: str, text: str) -> None:
    assert shown(value, kind) == text  # type: ignore[arg-type]
