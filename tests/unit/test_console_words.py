"""The words of the console: every text in every language, and a word for everything that the pipeline can say."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from operators.errors import Cause
from operators.records import UNKNOWN, Clock, GapReason, Scope, Severity, Status
from operators.rules import EXPRESSIONS
from pipeline.explain import _ANY_STATUS, _REASONS
from pipeline.view import STATE_STYLES
from pipeline.web.app import STATIC

LANGUAGES = {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in (STATIC / "lang").glob("*.json")}
SOURCE = "\n".join(file.read_text(encoding="utf-8") for file in (STATIC / "js").rglob("*.js"))
FAMILIES = {
    "severity": tuple(Severity),
    "status": tuple(Status),
    "scope": tuple(Scope),
    "state": tuple(STATE_STYLES),
    "cause": tuple(Cause),
    "gap": tuple(GapReason),
    "clock": tuple(Clock),
    "expression": (*EXPRESSIONS, UNKNOWN),
    "reason": tuple({reason for _, reason in _REASONS} | _ANY_STATUS.keys()),
    "drop": ("overload", "frozen", "black", "late", "stopped"),
    "detail": ("normal", "far"),
}


def texts(words: Any) -> list[str]:
    return list(words.values()) if isinstance(words, dict) else [words]


def names(words: Any) -> set[str]:
    return {name for text in texts(words) for name in re.findall(r"\{(\w+)\}", text)}


def test_there_are_english_and_chinese():
    assert LANGUAGES.keys() == {"en", "zh"}


@pytest.mark.parametrize("language", sorted(LANGUAGES))
def test_every_language_has_every_text_with_the_same_figures_in_it(language: str):
    english, words = LANGUAGES["en"], LANGUAGES[language]
    assert words.keys() == english.keys()
    assert [key for key in words if not names(words[key]) <= names(english[key])] == []
    assert [key for key in words if names(english[key]) - names(words[key]) - {"n", "last"}] == []
    assert [key for key, text in words.items() if not all(one.strip() for one in texts(text))] == []


def test_chinese_is_not_english():
    same = [key for key, text in LANGUAGES["zh"].items() if text == LANGUAGES["en"][key]]
    assert [key for key in same if re.search("[a-z]{3}", re.sub(r"\{\w+\}", "", str(LANGUAGES["en"][key])))] == []


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_whatever_the_pipeline_says_has_a_word(family: str):
    missing = [word for word in FAMILIES[family] if f"{family}.{word}" not in LANGUAGES["en"]]
    assert missing == []


def test_the_page_uses_no_text_that_is_not_there():
    used = set(re.findall(r"""\bt\(\s*["`]([\w.]+)["`]""", SOURCE))
    assert len(used) > 100
    assert used - LANGUAGES["en"].keys() == set()


def test_no_text_is_there_that_the_page_does_not_use():
    quoted = set(re.findall(r"""["`]([\w. ]+)["`]""", SOURCE))
    starts = {f"{family}." for family in re.findall(r"""term\(\s*["`]([\w.]+)["`]""", SOURCE)}
    starts |= set(re.findall(r"""\bt\(\s*`([\w.]+\.)\$""", SOURCE))
    unused = [key for key in LANGUAGES["en"] if key not in quoted and not key.startswith(tuple(starts))]
    assert unused == []


def test_the_policy_would_allow_every_line_of_the_pages():
    for file in (*STATIC.glob("*.html"), *(STATIC / "js").rglob("*.js")):
        text = file.read_text(encoding="utf-8")
        forbidden = re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text)
        assert forbidden == [], file
    page = (STATIC / "index.html").read_text(encoding="utf-8")
    assert re.findall(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|https?://", page) == []


def test_styles_and_modules_ask_nobody_else():
    for file in (*(STATIC / "css").glob("*.css"), *(STATIC / "js").rglob("*.js")):
        text = file.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert re.findall(r"https?://|@import", text) == [], file


def test_every_module_and_style_is_used():
    page = (STATIC / "index.html").read_text(encoding="utf-8")
    for file in (STATIC / "js").rglob("*.js"):
        assert re.search(rf"""[/"]{re.escape(file.name)}["]""", SOURCE + page), f"nobody imports {file}"
    for file in (STATIC / "css").glob("*.css"):
        assert Path("css") / file.name in [Path(*Path(one).parts[1:]) for one in re.findall(r'href="([^"]+)"', page)]


def test_what_the_first_view_needs_is_asked_for_at_once():
    needed: set[Path] = set()
    open_ = [STATIC / "js" / "main.js"]
    while open_:
        module = open_.pop()
        imports = re.findall(r'^import (?:[^;]*? from )?"([^"]+)";', module.read_text(encoding="utf-8"), re.MULTILINE)
        found = {(module.parent / one).resolve() for one in imports} - needed
        needed |= found
        open_ += found
    page = (STATIC / "index.html").read_text(encoding="utf-8")
    preloaded = {(STATIC.parent / one).resolve() for one in re.findall(r'modulepreload" href="([^"]+)"', page)}
    assert preloaded == needed
