"""Texts with names in braces."""

from __future__ import annotations

import pytest

from operators.rules.template import NUMBERS, WORDS, Template

FILLED_WORDS = {name: name.upper() for name in WORDS}
FILLED_NUMBERS = dict.fromkeys(NUMBERS, 0.8764)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("plain", "plain"),
        ("{camera}/{zone}: for {duration}", "CAMERA/ZONE: for DURATION"),
        ("peak {value.max:.2f}, {coverage:.0%} seen", "peak 0.88, 88% seen"),
        ("{value.mean}", "0.876"),
        ("{{camera}} {rule}", "{camera} RULE"),
    ],
)
def test_names_are_filled_in(text: str, expected: str) -> None:
    assert Template.parse(text).render(FILLED_WORDS, FILLED_NUMBERS) == expected


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{person}", "expected one of camera, coverage"),
        ("{}", "expected one of"),
        ("{camera.__init__.__globals__}", "expected one of"),
        ("{camera!r}", "expected one of"),
        ("{value.max:>99999999}", "expected a format"),
        ("{value.max:{coverage}}", "braces in pairs"),
        ("{camera:.2f}", "expected a format"),
        ("{camera", "braces in pairs"),
        ("camera}", "braces in pairs"),
    ],
)
def test_everything_else_is_refused_when_loaded(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Template.parse(text)
