"""Bank, rivals, score and table of the temporal heads: all that needs no torch."""

import json
from dataclasses import asdict
from pathlib import Path

import msgspec
import numpy as np
import pytest
from scipy.special import softmax

from models.training.faces import Faces
from models.training.recipe import read_recipe
from models.training.temporal.bank import Answers, build_bank, cached_bank, halves
from models.training.temporal.baselines import HiddenMarkov, Majority, confusion
from models.training.temporal.recipe import BankPlan, TemporalRecipe, TrackPlan
from models.training.temporal.score import alarms, score, stepped
from models.training.temporal.table import (
    ALARMS,
    BEGIN,
    CONDITIONS,
    END,
    SHIPPED,
    Size,
    as_markdown,
    baselines,
    behind,
    rows,
    with_figures,
)
from models.training.temporal.tracks import Track, draw_track
from operators.records import Reading
from operators.temporal import ExpressionFilter
from tests.banks import made_up_bank

LABELS = ("neutral", "happiness", "fear")
BANK = made_up_bank()
RNG = np.random.default_rng(5)
ROOT = Path(__file__).parents[2]


def made_track(labels, *, fps=10.0, truth=None, readable=None) -> Track:
    """Frames that are surely read as `labels`."""
    labels = np.array(labels)
    truth = labels if truth is None else np.array(truth)
    there = np.ones(len(labels), bool) if readable is None else np.array(readable)
    target = np.eye(3, dtype=np.float32)[truth]
    ones = np.ones(len(labels), np.float32)
    return Track(
        ts=np.arange(len(labels)) / fps,
        logits=20 * np.eye(3, dtype=np.float32)[labels],
        intensity=(labels > 0).astype(np.float32),
        features=np.zeros((len(labels), 0), np.float32),
        quality=ones,
        readable=there,
        truth=truth,
        target=target,
        expressed=ones,
    )


def as_read(track):
    return softmax(track.logits, axis=1)


# The bank


def answer(pictures):
    """Brightness is what it sees, and one feature."""
    light = np.array([picture.mean() / 255 for picture in pictures], np.float32)
    return Answers(np.stack([1 - light, light], 1), light, light[:, None])


def faces(count=12):
    images = RNG.integers(0, 256, (count, 48, 48), np.uint8)
    targets = np.eye(2, dtype=np.float32)[np.arange(count) % 2]
    targets[3] = 0
    clear = np.ones(count, bool)
    clear[5] = False
    return Faces(images, {"ferplus": targets}, clear)


def test_a_bank_holds_what_is_beyond_dispute_at_every_size_and_crop():
    plan = BankPlan(sizes=(12, 48), crops=3)
    bank = build_bank(answer, faces(), "ferplus", plan, seed=1)
    assert bank.logits.shape == (10, 2, 3, 2)
    assert bank.features.shape == (10, 2, 3, 1)
    assert bank.truth.tolist() == [0, 1, 0, 0, 0, 1, 0, 1, 0, 1]
    assert (bank.quality[:, 1] >= bank.quality[:, 0]).all(), "a larger face is worth more"
    again = build_bank(answer, faces(), "ferplus", plan, seed=1)
    assert len(again) == len(bank)


def test_the_far_face_jitters_more():
    plan = BankPlan(sizes=(12, 48), crops=8, noise=0.0, jpeg=0.0)
    step = np.tile(np.linspace(0, 255, 48, dtype=np.uint8), (20, 48, 1))
    shown = Faces(step, {"ferplus": np.eye(2, dtype=np.float32)[np.zeros(20, int)]}, np.ones(20, bool))

    def edge(pictures):
        light = np.array([one[:, : len(one) // 4].mean() / 255 for one in pictures], np.float32)
        return Answers(np.stack([light, light], 1), light, light[:, None])

    spread = build_bank(edge, shown, "ferplus", plan, seed=1).intensity.astype(float).std(2).mean(0)
    assert spread[0] > 1.3 * spread[1]


def test_a_bank_is_made_once_for_each_identity(tmp_path):
    made = []

    def build():
        made.append(1)
        return BANK

    first, digest = cached_bank(tmp_path, {"classifier": "a"}, BankPlan(), build)
    again, same = cached_bank(tmp_path, {"classifier": "a"}, BankPlan(), build)
    _, other = cached_bank(tmp_path, {"classifier": "b"}, BankPlan(), build)
    assert (len(made), digest == same, digest == other) == (2, True, False)
    assert first.logits.tobytes() == again.logits.tobytes() == BANK.logits.tobytes()
    assert not list(tmp_path.glob("*.partial*"))


def test_equal_pictures_are_in_the_same_half():
    learnt, validation = halves(BANK, 0.3)
    assert len(learnt) + len(validation) == len(BANK)
    assert 0 < len(validation) < len(learnt)
    assert not set(learnt.key.tolist()) & set(validation.key.tolist())


# The rivals


def test_a_majority_is_of_its_window_and_weighs_quality():
    state, model = None, Majority(1.0)
    for ts, label in [(0.0, 0), (0.4, 1), (0.8, 1), (1.2, 0)]:
        state, shown = model.step(state, ts=ts, reading=Reading(np.eye(2, dtype=np.float32)[label]), quality=1.0)
    assert shown.probs == pytest.approx([1 / 3, 2 / 3])
    _, shown = model.step(None, ts=0, reading=None, quality=0)
    assert shown is None


def test_a_markov_filter_is_bayes_rule():
    emission, prior = np.array([[0.8, 0.2], [0.3, 0.7]]), np.array([0.5, 0.5])
    model = HiddenMarkov(emission, prior, rate=0.5, trust=1.0)
    seen = Reading(np.array([0, 1], np.float32))
    state, first = model.step(None, ts=0.0, reading=seen, quality=1.0)
    assert first.probs == pytest.approx([0.2 / 0.9, 0.7 / 0.9])
    _, second = model.step(state, ts=2.0, reading=seen, quality=1.0)
    stays = np.exp(-1.0)
    before = stays * np.array([0.2, 0.7]) / 0.9 + (1 - stays) * 0.5
    assert second.probs == pytest.approx(before * emission[:, 1] / (before @ emission[:, 1]), abs=1e-6)
    _, far = model.step(state, ts=1e6, reading=seen, quality=1.0)
    assert far.probs == pytest.approx(first.probs, abs=1e-6), "after a long time only the reading counts"


def test_confusion_is_of_true_classes():
    emission, prior = confusion(BANK)
    assert emission.sum(1) == pytest.approx([1, 1, 1])
    assert (emission.diagonal() > 0.8).all()
    assert prior == pytest.approx([1 / 3] * 3)


# The score


def test_a_perfect_method_scores_perfectly():
    track = made_track([0] * 10 + [1] * 10 + [0] * 10)
    found = score(as_read, [track])
    assert (found.accuracy, found.switches, found.never_found, found.delay_p90_s) == (1.0, 0.0, 0.0, 0.0)
    assert (found.frames, found.changes) == (30, 2)


def test_delay_switches_and_changes_that_were_never_found():
    late = made_track([0] * 13 + [1] * 7 + [1] * 10, truth=[0] * 10 + [1] * 10 + [2] * 10)
    found = score(as_read, [late])
    assert found.delay_median_s == pytest.approx(0.3)
    assert found.never_found == 0.5
    assert found.switches == 0
    flickering = made_track([0, 1] * 10, truth=[0] * 20)
    assert score(as_read, [flickering]).switches == pytest.approx(100 * 19 / 20)


def test_what_cannot_be_read_is_no_mistake():
    track = made_track([0, 1, 1, 0], truth=[0, 0, 0, 0], readable=[True, False, False, True])
    assert score(as_read, [track]).accuracy == 1.0


def test_a_method_is_stepped_as_the_analyzer_does():
    track = draw_track(BANK, TrackPlan(), np.random.default_rng(1), frames=60)
    kept = track.readable
    raw = stepped(ExpressionFilter(time_constant=0.0))(track)
    np.testing.assert_allclose(raw[kept], softmax(track.logits, axis=1)[kept], atol=1e-6)
    assert score(stepped(ExpressionFilter(time_constant=0.5)), [track]).switches <= score(as_read, [track]).switches


@pytest.mark.parametrize(
    ("labels", "truth", "expected"),
    [
        ([0] * 20 + [2] * 60 + [0] * 20, None, (1, 0, 0)),
        ([0] * 100, [0] * 20 + [2] * 60 + [0] * 20, (1, 1, 0)),
        ([0] * 20 + [2] * 60 + [0] * 20, [0] * 20 + [1] * 60 + [0] * 20, (0, 0, 1)),
        ([0] * 20 + [2] * 20 + [0] * 60, None, (0, 0, 0)),
    ],
    ids=["found", "missed", "false", "too short to count"],
)
def test_alarms(labels, truth, expected):
    found = alarms(as_read, [made_track(labels, truth=truth)], LABELS, interval=0.1)
    assert (found.episodes, found.missed, found.false) == expected


# The table

SMALL = Size(chosen_on=3, tracks=3, alarms=2)


def test_the_table_has_every_method_in_every_condition():
    methods, chosen = baselines(BANK, BANK, TrackPlan(), size=SMALL, seed=1)
    found = list(rows(methods, BANK, TrackPlan(), labels=LABELS, size=SMALL, seed=1))
    assert len(found) == len(methods) * (len(CONDITIONS) + 1)
    assert f"average, {chosen.time_constant_s:g} s" in methods
    assert {row["condition"] for row in found} == {*CONDITIONS, ALARMS}
    text = as_markdown(json.loads(json.dumps(figures_of(found, asdict(chosen)))))
    assert all(text.count(f"| {name} |") == len(CONDITIONS) + 1 for name in methods)
    assert "| 10 fps, 30 % dropped | accuracy |" in text


def test_the_verdict_names_where_a_model_is_no_better():
    good = {"accuracy": 0.8, "switches": 1.0, "delay_median_s": 0.3, "delay_p90_s": 0.9, "never_found": 0.1}
    worse = {"accuracy": 0.7, "switches": 2.0, "delay_median_s": 0.4, "delay_p90_s": 1.0, "never_found": 0.2}
    first, second, *_ = CONDITIONS
    found = [
        {"model": SHIPPED, "condition": first, **worse},
        {"model": "head", "condition": first, **good},
        {"model": SHIPPED, "condition": second, **worse},
        {"model": "head", "condition": second, **good, "switches": 2.0, "accuracy": 0.6},
    ]
    assert behind(found, "head") == {first: [], second: ["accuracy", "switches"]}


def figures_of(found, chosen):
    origin = {"classifier": "a run", "commit": "abc", "machine": "here", "data_sha256": "0" * 64, "seed": 1}
    stills = {"training": 1, "validation": 1, "test": 1}
    return {**origin, "size": asdict(SMALL), "stills": stills, "chosen": chosen, "parameters": {}, "rows": found}


def test_a_page_gets_its_figures_twice_the_same():
    row = {"model": "a", "condition": ALARMS, "episodes": 2, "missed": 1, "false": 3, "hours": 0.5}
    figures = figures_of([row], {"time_constant_s": 0.1, "window_s": 0.3, "rate": 1.0, "trust": 1.0})
    once = with_figures(f"before\n{BEGIN}\nold\n{END}\nafter\n", figures)
    assert once == with_figures(once, figures)
    assert once.startswith("before\n")
    assert once.endswith("\nafter\n")
    assert "| a | 1 of 2 | 3 | 6.0 |" in once
    assert "old" not in once


def test_the_page_has_not_drifted():
    page, file = (ROOT / "docs" / name for name in ("temporal.md", "figures/temporal.json"))
    text = page.read_text("utf-8")
    expected = with_figures(text, json.loads(file.read_text("utf-8"))) if file.exists() else without_figures(text)
    assert text == expected, "run `python -m models.training.temporal`"


def without_figures(text):
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{END}{rest.partition(END)[2]}"


def test_recipes_are_valid():
    for name in ("temporal_gru", "temporal_lstm"):
        recipe = read_recipe(ROOT / f"models/training/recipes/{name}.yaml", TemporalRecipe)
        assert recipe.task == "temporal"
        assert msgspec.to_builtins(recipe)["model"]["arch"] == name.removeprefix("temporal_")
