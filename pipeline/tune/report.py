"""The study as one document of plain values, and as a page that needs nothing but a browser.

The document is the page's data and the content of `--json`; the same study gives the same bytes. The page is
`report.html` with the document put in: drawing, sorting and choosing happen there.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from importlib.resources import files
from typing import Any

from operators.rules import rule_version
from pipeline.tune.score import Fired, Miss, Score
from pipeline.tune.study import Study
from pipeline.tune.vary import Setting, field_of, shown

__all__ = ["SCHEMA", "as_document", "as_html"]

SCHEMA = 1
MANY = 20_000
"""Alerts of all settings together up to which the page knows each of them, not only those it shows first."""
_EPOCH = 1e8
"""Times below it are seconds of a file that has no wall clock."""


def as_document(study: Study, *, command: str = "") -> dict[str, Any]:
    """Everything that was asked and found; times of alerts and incidents in seconds from `recording.first`."""
    of, proposal, seen = study.candidates, study.proposal, study.seen
    shown_first = {of.current, proposal.index}
    all_alerts = sum(score.alerts for score in of.scores) <= MANY
    return {
        "schema": SCHEMA,
        "command": command,
        "rule": {
            "id": study.rule.id,
            "scope": study.rule.scope,
            "condition": study.rule.condition,
            "for_s": study.rule.for_,
            "version": rule_version(study.rule, study.question.ruleset),
        },
        "recording": {
            "folder": str(study.question.recording),
            "purpose": study.manifest.purpose,
            "mien": study.manifest.mien,
            "created_at": study.manifest.created_at,
            "models": {task: model.name for task, model in sorted(study.manifest.models.items())},
            "wall_clock": seen.first > _EPOCH,
            "first": seen.first,
            "last": seen.last,
            "records": seen.records,
            "faces": seen.faces,
            "observed_s": {camera: round(seconds, 3) for camera, seconds in seen.observed.items()},
        },
        "place": of.place,
        "places": {place: round(seconds, 3) for place, seconds in study.observed.items()},
        "labels": str(study.question.labels or ""),
        "tolerance_s": study.question.tolerance,
        "incidents": [
            {"place": one.place, "start": _at(one.start, study), "end": _at(one.end, study), "label": one.label}
            for one in study.incidents
        ],
        "outside": study.outside,
        "vary": [
            {
                "path": vary.path,
                "kind": vary.kind,
                "values": vary.values,
                "shown": [shown(value, vary.kind) for value in vary.values],
            }
            for vary in of.varies
        ],
        "current": of.current,
        "proposal": asdict(proposal),
        "change": _change(study),
        "settings": [
            _setting(setting, score, study, alerts=all_alerts or index in shown_first, missed=index in shown_first)
            for index, (setting, score) in enumerate(zip(of.settings, of.scores, strict=True))
        ],
        "skipped": [
            {"shown": [shown(v, vary.kind) for v, vary in zip(one.values, of.varies, strict=True)], "why": one.why}
            for one in study.skipped
        ],
    }


def as_html(document: dict[str, Any]) -> str:
    """The page: one file, no network, no library."""
    data = json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    safe = data.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    page = files("pipeline.tune").joinpath("report.html").read_text(encoding="utf-8")
    return page.replace("__TITLE__", f"Tuning {document['rule']['id']}").replace('"__DATA__"', safe)


def _setting(setting: Setting, score: Score, study: Study, *, alerts: bool, missed: bool) -> dict[str, Any]:
    varies = study.candidates.varies
    told: dict[str, Any] = {
        "values": setting.values,
        "shown": [shown(value, vary.kind) for value, vary in zip(setting.values, varies, strict=True)],
        "follows": dict(setting.follows),
        "score": _figures(score, setting.rule.for_),
    }
    if alerts:
        told["alerts"] = [_alert(one, study) for one in score.fired]
    if missed:
        told["missed"] = {index: _miss(miss, study) for index, miss in score.missed.items()}
        told["nearest"] = [_miss(miss, study) for miss in score.nearest]
    return told


def _figures(score: Score, for_: float) -> dict[str, Any]:
    figures: dict[str, Any] = {
        "alerts": score.alerts,
        "per_hour": score.per_hour,
        "inhibited": score.inhibited,
        "lasted_median": score.lasted_median,
        "lasted_p95": score.lasted_p95,
        "pending": score.pending,
        "broken": dict(score.broken),
        "nearest_s": score.nearest[0].lasted if score.nearest else None,
        "nearest_share": score.nearest[0].lasted / for_ if score.nearest and for_ else None,
    }
    figures |= asdict(score.against) if score.against else {}
    return {name: round(value, 4) if isinstance(value, float) else value for name, value in figures.items()}


def _alert(one: Fired, study: Study) -> dict[str, Any]:
    told = {"place": one.place, "start": _at(one.starts_at, study), "fired": _at(one.fired_at, study)}
    told |= {"end": _at(one.ends_at, study)}
    return told | ({"verdict": one.verdict, "incident": one.incident} if one.verdict else {})


def _miss(miss: Miss | None, study: Study) -> dict[str, Any] | None:
    if miss is None:
        return None
    start, end = _at(miss.starts_at, study), _at(miss.ends_at, study)
    return {"place": miss.place, "start": start, "end": end, "lasted": round(miss.lasted, 3), "reason": miss.reason}


def _change(study: Study) -> list[dict[str, str]]:
    """The lines of the rule that the proposal changes, as a rules file has them."""
    of = study.candidates
    after, before = of.settings[study.proposal.index], of.settings[of.current]
    lines = [
        {"path": vary.path, "now": shown(old, vary.kind), "then": shown(new, vary.kind)}
        for vary, old, new in zip(of.varies, before.values, after.values, strict=True)
        if old != new
    ]
    moved = [(path, value, field_of(study.rule, path)) for path, value in after.follows.items()]
    return lines + [{"path": path, "now": f"{old:g}", "then": f"{new:g}"} for path, new, old in moved if old != new]


def _at(ts: float, study: Study) -> float:
    return round(ts - study.seen.first, 3)
