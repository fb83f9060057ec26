"""The table of temporal models: all on the same synthetic tracks, made of stills that none has learnt from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import msgspec
import numpy as np

from models.training.temporal.bank import Bank
from models.training.temporal.baselines import HiddenMarkov, Majority, confusion
from models.training.temporal.recipe import TrackPlan
from models.training.temporal.score import Method, alarms, score, stepped
from models.training.temporal.tracks import NEUTRAL, Track, draw_script, draw_track, frame_times, play
from operators.temporal import ExpressionFilter

__all__ = [
    "ALARMS",
    "BEGIN",
    "CONDITIONS",
    "END",
    "Chosen",
    "Size",
    "as_markdown",
    "baselines",
    "markdown",
    "rows",
    "with_figures",
]

Progress = Callable[[str], None]
Row = dict[str, Any]

CONDITIONS: Mapping[str, Mapping[str, Any]] = {
    "5 fps": {"fps": (5.0, 5.0), "dropped": None},
    "10 fps": {"fps": (10.0, 10.0), "dropped": None},
    "25 fps": {"fps": (25.0, 25.0), "dropped": None},
    "10 fps, 30 % dropped": {"fps": (10.0, 10.0), "dropped": (0.3, 0.3)},
}
"""What differs between the camera of one column and the next; the rest is as the recipe has it."""

ALARMS = "alarms"
"""The condition of the rows about alarms."""
BEGIN, END = "<!-- written by python -m models.training.temporal -->", "<!-- end -->"

SHIPPED = "average, 0.5 s (shipped)"
_DECIDE = {"accuracy": -1, "switches": 1, "delay_median_s": 1, "delay_p90_s": 1, "never_found": 1}
"""What the default is decided by, and whether less is better."""

_TIME_CONSTANTS_S = (0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0, 1.5)
_WINDOWS_S = (0.3, 0.5, 0.8, 1.2, 2.0)
_RATES = (0.05, 0.1, 0.2, 0.4, 0.8)
_TRUSTS = (0.15, 0.3, 0.6, 1.0)
_ALARM_DWELL_S = (4.0, 8.0)
_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Size:
    """How many tracks: to choose settings on, per condition, and for the alarms."""

    chosen_on: int = 150
    tracks: int = 400
    alarms: int = 400


@dataclass(frozen=True, slots=True)
class Chosen:
    """The settings of the rivals that were most accurate on the validation stills."""

    time_constant_s: float
    window_s: float
    rate: float
    trust: float


def baselines(
    learnt: Bank, validation: Bank, plan: TrackPlan, *, size: Size, seed: int, progress: Progress = lambda _: None
) -> tuple[dict[str, Method], Chosen]:
    """The rivals by name, each with the settings that read the validation stills best."""
    rng = np.random.default_rng([seed, 10])
    tracks = [draw_track(validation, plan, rng, seconds=_SECONDS) for _ in range(size.chosen_on)]
    emission, prior = confusion(learnt)

    def best(make: Callable[..., Any], choices: Sequence[tuple[float, ...]]) -> tuple[float, ...]:
        progress(f"settings of {make.__name__}")
        return max(choices, key=lambda given: score(stepped(make(*given)), tracks).accuracy)

    def markov(rate: float, trust: float) -> HiddenMarkov:
        return HiddenMarkov(emission, prior, rate, trust)

    (tau,) = best(ExpressionFilter, [(one,) for one in _TIME_CONSTANTS_S])
    (window,) = best(Majority, [(one,) for one in _WINDOWS_S])
    rate, trust = best(markov, [(one, other) for one in _RATES for other in _TRUSTS])
    methods = {
        "raw": stepped(ExpressionFilter(time_constant=0.0)),
        SHIPPED: stepped(ExpressionFilter()),
        f"average, {tau:g} s": stepped(ExpressionFilter(time_constant=tau)),
        f"majority, {window:g} s": stepped(Majority(window)),
        f"HMM, {rate:g}/s": stepped(markov(rate, trust)),
    }
    return methods, Chosen(tau, window, rate, trust)


def rows(
    methods: Mapping[str, Method],
    test: Bank,
    plan: TrackPlan,
    *,
    labels: Sequence[str],
    size: Size,
    seed: int,
    progress: Progress = lambda _: None,
) -> Iterator[Row]:
    """A row for each model and condition, then one for each model with its alarms."""
    for number, (condition, changed) in enumerate(CONDITIONS.items()):
        rng = np.random.default_rng([seed, 20, number])
        camera = msgspec.structs.replace(plan, **changed)
        tracks = [draw_track(test, camera, rng, seconds=_SECONDS) for _ in range(size.tracks)]
        for name, method in methods.items():
            progress(f"{condition}: {name}")
            yield {"model": name, "condition": condition, **_rounded(asdict(score(method, tracks)))}
    tracks = _alarm_tracks(test, plan, size.alarms, seed)
    for name, method in methods.items():
        progress(f"alarms: {name}")
        found = asdict(alarms(method, tracks, labels, interval=0.1))
        yield {"model": name, "condition": ALARMS, **_rounded(found)}


def with_figures(page: str, figures: Mapping[str, Any]) -> str:
    """The page with the figures between BEGIN and END."""
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{as_markdown(figures)}\n{END}{rest.partition(END)[2]}"


def as_markdown(figures: Mapping[str, Any]) -> str:
    """What the figures depend on, and the table."""
    size, stills, chosen = figures["size"], figures["stills"], figures["chosen"]
    learnt = ", ".join(f"{name} {count:,}" for name, count in figures["parameters"].items())
    about = (
        f"Classifier `{figures['classifier']}`; bank of {stills['training']:,} stills to learn from, "
        f"{stills['validation']:,} to choose by and {stills['test']:,} to measure on; {size['tracks']} tracks of 20 s "
        f"per camera. Parameters: {learnt}. Chosen by accuracy on {size['chosen_on']} tracks: a time constant of "
        f"{chosen['time_constant_s']:g} s, a window of {chosen['window_s']:g} s, a hidden Markov model that changes "
        f"{chosen['rate']:g} times per second and trusts a reading to the power of {chosen['trust']:g}. Commit "
        f"`{figures['commit']}`, seed {figures['seed']}, {figures['machine']}, data `{figures['data_sha256'][:16]}`."
    )
    verdicts = " ".join(_verdict(figures["rows"], name) for name in figures["parameters"])
    return f"{about}\n\n{markdown(figures['rows'])}\n{verdicts}\n"


def markdown(found: Sequence[Row]) -> str:
    """The table as a document shows it."""
    head = ["", "accuracy", "macro recall", "switches / 100", "delay p50", "p90", "never found"]
    lines = []
    for condition in dict.fromkeys(row["condition"] for row in found):
        here = [row for row in found if row["condition"] == condition]
        if condition == ALARMS:
            lines += ["", *_alarm_lines(here)]
            continue
        lines += ["", _line([condition, *head[1:]]), _line(["---"] + ["---:"] * (len(head) - 1))]
        lines += [_line([row["model"], *_cells(row)]) for row in here]
    return "\n".join(lines[1:]) + "\n"


def behind(found: Sequence[Row], model: str) -> dict[str, list[str]]:
    """Where a model is no better than the shipped filter: the columns of each condition, of those that decide."""
    by = {(row["model"], row["condition"]): row for row in found}
    return {
        condition: [
            column
            for column, sign in _DECIDE.items()
            if not sign * by[model, condition][column] < sign * by[SHIPPED, condition][column]
        ]
        for condition in CONDITIONS
        if (model, condition) in by
    }


def _verdict(found: Sequence[Row], model: str) -> str:
    names = {column: column.removesuffix("_s").replace("_", " ") for column in _DECIDE}
    places = [
        f"{', '.join(names[column] for column in columns)} ({where})"
        for where, columns in behind(found, model).items()
        if columns
    ]
    wins = "better than the shipped filter on accuracy, switches and delay (median, p90, never found) everywhere"
    return f"`{model}` is {wins}." if not places else f"`{model}` is not {wins}: no better on {'; '.join(places)}."


def _cells(row: Row) -> list[str]:
    shares = [f"{100 * row[name]:.1f} %" for name in ("accuracy", "macro_recall")]
    delays = [f"{row[name]:.2f} s" for name in ("delay_median_s", "delay_p90_s")]
    return [*shares, f"{row['switches']:.1f}", *delays, f"{100 * row['never_found']:.1f} %"]


def _alarm_lines(found: Sequence[Row]) -> list[str]:
    lines = [_line(["`fear` for 3 s, 10 fps", "missed", "false", "false per hour"]), _line(["---"] + ["---:"] * 3)]
    for row in found:
        missed = f"{row['missed']} of {row['episodes']}"
        lines.append(_line([row["model"], missed, str(row["false"]), f"{row['false'] / row['hours']:.1f}"]))
    return lines


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _alarm_tracks(test: Bank, plan: TrackPlan, count: int, seed: int) -> list[Track]:
    """Neutral and long expressions in turn, all expressions alike: a seventh of them is fear."""
    rng = np.random.default_rng([seed, 30])
    staged = msgspec.structs.replace(
        plan, fps=(10.0, 10.0), dropped=None, dwell=_ALARM_DWELL_S, direct=0.0, steady=0.0, balance=1.0
    )
    tracks = []
    for _ in range(count):
        ts = frame_times(staged, rng, seconds=2 * _SECONDS)
        tracks.append(play(test, draw_script(test, staged, rng, float(ts[-1]) + 1, first=NEUTRAL), ts, staged, rng))
    return tracks


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 4) if isinstance(value, float) else value for name, value in values.items()}
