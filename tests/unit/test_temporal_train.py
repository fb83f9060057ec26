"""Training and export of temporal heads. Needs torch, which CI hasn't got."""

import msgspec
import numpy as np
import pytest

pytest.importorskip("torch", reason="trainings need the extra `train`")

import torch

from models.session import Session
from models.temporal import TEMPORAL_OUTPUTS, TemporalHead, TemporalOptions
from models.training.recipe import Optimizer, Schedule
from models.training.temporal.arch import FRESH_S, Lstm, TimedGru, parameters
from models.training.temporal.export import as_onnx, export
from models.training.temporal.recipe import Model, TemporalRecipe, TrackPlan
from models.training.temporal.score import score, stepped
from models.training.temporal.tracks import draw_track
from models.training.temporal.train import Banks, Head, follow, load_head, train
from operators.errors import ConfigError
from operators.temporal import ExpressionFilter
from tests.banks import made_up_bank

LABELS = ("neutral", "happiness", "fear")
BANKS = Banks(*(made_up_bank(seed=seed, noise=1.5) for seed in (1, 2, 3)), labels=LABELS, sha256="made up")
RECIPE = TemporalRecipe(
    name="gru_test.made-up",
    batch_size=8,
    batches=6,
    frames=40,
    averaging=0.8,
    model=Model(hidden=12, width=12),
    optimizer=Optimizer(learning_rate=0.02),
    schedule=Schedule(epochs=6, warmup=0),
)


def changed(**fields) -> TemporalRecipe:
    return msgspec.structs.replace(RECIPE, **fields)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gru")
    list(train(RECIPE, BANKS, folder))
    return folder


def tracks(count=10, **fields):
    rng = np.random.default_rng(9)
    plan = msgspec.structs.replace(TrackPlan(), **fields)
    return [draw_track(BANKS.test, plan, rng, seconds=10.0) for _ in range(count)]


def test_it_learns(run):
    head = load_head(run)
    assert head.labels == LABELS
    found = score(lambda track: follow(head.model, [track])[0], tracks(30))
    assert found.accuracy > 0.6, "by chance it would be below a half"
    assert found.switches < score(stepped(ExpressionFilter(time_constant=0.0)), tracks(30)).switches
    assert len((run / "log.csv").read_text().splitlines()) == 7


def test_a_training_that_was_cut_off_goes_on_to_the_same_end(run, tmp_path):
    cut = train(RECIPE, BANKS, tmp_path)
    next(cut)
    cut.close()
    list(train(RECIPE, BANKS, tmp_path))
    track = tracks(1)[0]
    whole, resumed = (follow(load_head(folder).model, [track])[0] for folder in (run, tmp_path))
    np.testing.assert_allclose(whole, resumed, atol=1e-4)


def test_the_runtime_does_what_training_did(run, tmp_path):
    """One track through torch as a whole, and step by step through ONNX: gaps, pauses and resets included."""
    sha256 = export(run, tmp_path / "head.onnx")
    assert len(sha256) == 64
    session = Session(tmp_path / "head.onnx", threads=1, outputs=TEMPORAL_OUTPUTS)
    model = load_head(run).model
    runtime = stepped(TemporalHead(session, LABELS, TemporalOptions()))
    seen = tracks(8, gaps=20.0, pauses=10.0, pause=(1.0, 4.0))
    for track, expected in zip(seen, follow(model, seen), strict=True):
        kept = track.readable
        np.testing.assert_allclose(runtime(track)[kept], expected[kept], atol=1e-4)


def test_the_lstm_reads_features_and_stays_here(tmp_path):
    recipe = changed(name="lstm_test.made-up", model=Model(arch="lstm", hidden=8), schedule=Schedule(epochs=1))
    list(train(recipe, BANKS, tmp_path))
    head = load_head(tmp_path)
    assert isinstance(head.model, Lstm)
    assert follow(head.model, tracks(1))[0].shape[1] == 3
    with pytest.raises(ConfigError, match="reads the features of a classifier"):
        as_onnx(head)


def test_the_lstm_needs_a_classifier_with_features(tmp_path):
    plain = Banks(*(made_up_bank(features=0) for _ in range(3)), labels=LABELS, sha256="")
    with pytest.raises(ConfigError, match="name a training run as the classifier"):
        list(train(changed(model=Model(arch="lstm")), plain, tmp_path))


def test_a_head_is_small():
    assert parameters(TimedGru(8, Model())) < 100_000
    assert parameters(Lstm(8, 240, Model(arch="lstm", hidden=64))) < 100_000


@torch.no_grad()
def step(model, probs, *, dt, memory):
    """One step of a reading of good quality."""
    cell = torch.ones(1, 1)
    return model(torch.tensor([probs]), 0.5 * cell, cell, dt * cell, memory)


def test_a_fresh_face_has_no_past():
    model = TimedGru(3, RECIPE.model).eval()
    for past in (torch.zeros(1, model.remembered), torch.full((1, model.remembered), 0.3)):
        probs, intensity, _ = step(model, [0.2, 0.3, 0.5], dt=FRESH_S, memory=past)
        assert probs.tolist()[0] == pytest.approx([0.2, 0.3, 0.5])
        assert intensity.item() == pytest.approx(0.5)


def test_standing_still_in_time_changes_nothing():
    model = TimedGru(3, RECIPE.model).eval()
    memory = torch.full((1, model.remembered), 0.3)
    assert torch.equal(step(model, [0.2, 0.3, 0.5], dt=0.0, memory=memory)[2], memory)


def test_the_answer_is_a_mean_of_the_readings_whatever_was_learnt():
    torch.manual_seed(1)
    model = TimedGru(3, RECIPE.model).eval()
    for weights in model.parameters():
        weights.data.mul_(5)
    memory, dt = torch.zeros(1, model.remembered), FRESH_S
    for number in range(30):
        probs, _, memory = step(model, [0.5, 0.5, 0.0] if number % 3 else [0.1, 0.9, 0.0], dt=dt, memory=memory)
        dt = 0.1
        assert probs.sum().item() == pytest.approx(1, abs=1e-5)
        assert 0.1 - 1e-5 <= probs[0, 0].item() <= 0.5 + 1e-5
        assert probs[0, 2].item() == pytest.approx(0, abs=1e-6)


def test_expressions_are_all_alike_to_it():
    torch.manual_seed(1)
    model = TimedGru(3, RECIPE.model).eval()
    rng, order = np.random.default_rng(1), [2, 0, 1]
    one, other, dt = torch.zeros(1, model.remembered), torch.zeros(1, model.remembered), FRESH_S
    for _ in range(10):
        probs = rng.dirichlet(np.ones(3)).astype(np.float32)
        a, _, one = step(model, probs.tolist(), dt=dt, memory=one)
        b, _, other = step(model, probs[order].tolist(), dt=dt, memory=other)
        dt = 0.2
        assert a[0, order].tolist() == pytest.approx(b[0].tolist(), abs=1e-5)


def test_an_exported_head_is_the_same_file_again(run):
    head = load_head(run)
    assert as_onnx(head) == as_onnx(Head(head.model, head.recipe, head.labels))
