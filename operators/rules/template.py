"""Texts with names in braces, for titles and summaries.

An own formatter, because `str.format` lets a text walk through attributes: here every name and every format is on a
list, a bad text fails when it is loaded, and a loaded one can't fail.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["NUMBERS", "WORDS", "Template"]

WORDS = ("camera", "duration", "group", "rule", "severity", "zone")
"""Names that stand for text."""
NUMBERS = ("coverage", "dips", "gaps", "samples", "value.last", "value.max", "value.mean")
"""Names that stand for a number and may carry a format."""
_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_FORMAT = re.compile(r"\.\d[f%]")
_PLAIN = ".3g"


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed text: pieces of `(literal, name, format)`, the literal before the name."""

    pieces: tuple[tuple[str, str, str], ...]

    @classmethod
    def parse(cls, text: str) -> Template:
        """Check and split `text`; `{{` and `}}` are braces. Raises ValueError for what is not on the lists."""
        pieces = []
        end = 0
        literal = ""
        for match in _TOKEN.finditer(text):
            literal += text[end : match.start()]
            end = match.end()
            if match[0] in ("{{", "}}"):
                literal += match[0][0]
            elif match[1] is None:
                raise ValueError(f"expected braces in pairs in {text!r}; a brace itself is written {match[0] * 2}")
            else:
                pieces.append((literal, *_field(match[1])))
                literal = ""
        return cls((*pieces, (literal + text[end:], "", "")))

    def render(self, words: Mapping[str, str], numbers: Mapping[str, float]) -> str:
        """The text with every name filled in; both mappings hold all their names."""
        parts = []
        for literal, name, spec in self.pieces:
            parts.append(literal)
            if name:
                parts.append(format(numbers[name], spec) if spec else words[name])
        return "".join(parts)


def _field(inner: str) -> tuple[str, str]:
    name, _, spec = inner.partition(":")
    if name in WORDS and not spec:
        return name, ""
    if name in NUMBERS and (not spec or _FORMAT.fullmatch(spec)):
        return name, spec or _PLAIN
    if name in WORDS or name in NUMBERS:
        raise ValueError(f"expected a format such as .2f or .0% after a number, got {inner!r}")
    raise ValueError(f"expected one of {', '.join(sorted(WORDS + NUMBERS))} in braces, got {inner!r}")
