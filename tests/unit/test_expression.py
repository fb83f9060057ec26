from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from models.expression import (
    SIDE,
    ExpressionClassifier,
    ExpressionOptions,
    intensity,
    probabilities,
    site_shares,
    to_face,
)
from models.registry import load
from models.session import Session
from operators.errors import ModelError
from operators.records import Reading
from tests.networks import expression_network

LABELS = ("neutral", "happiness", "surprise", "sadness", "anger", "disgust", "fear", "contempt")
RNG = np.random.default_rng(3)
LOGITS = RNG.normal(0, 2, (6, 8)).astype(np.float32)
PRIORS = (0.4, 0.3, 0.1, 0.05, 0.05, 0.05, 0.04, 0.01)


def crops(*sizes: tuple[int, int]) -> list[np.ndarray]:
    return [RNG.integers(0, 256, (*size, 3), np.uint8) for size in sizes]


def classifier(**options: object) -> ExpressionClassifier:
    session = Session(expression_network(), outputs=["ferplus"])
    return ExpressionClassifier(session, LABELS, ExpressionOptions(**options))


def with_intensity(**options: object) -> ExpressionClassifier:
    session = Session(expression_network(), outputs=["ferplus", "intensity"])
    return ExpressionClassifier(session, LABELS, ExpressionOptions(**options))


def probs_of(readings: list[Reading]) -> np.ndarray:
    return np.stack([one.probs for one in readings])


def test_probabilities_of_faces_of_any_size() -> None:
    probs = probs_of(classifier()(crops((48, 48), (9, 30), (200, 100), (1, 1))))
    assert probs.shape == (4, 8)
    assert probs.dtype == np.float32
    np.testing.assert_allclose(probs.sum(axis=1), 1, rtol=1e-5)
    assert (probs >= 0).all()


@pytest.mark.parametrize(
    ("shape", "fits"),
    [
        (["n", 1, 48, 48], True),
        (["n", 1, "h", "w"], True),
        (["n", 1, 64, 64], False),
        (["n", 3, 48, 48], False),
        (["n", 48, 48], False),
    ],
    ids=["48 px", "any size", "64 px", "colour", "no channel"],
)
def test_a_network_for_other_pictures_is_refused(shape: list[int | str], fits: bool) -> None:
    session = Session(averaging_network(shape))
    if fits:
        assert len(ExpressionClassifier(session, ("a",), ExpressionOptions())(crops((9, 9)))) == 1
    else:
        with pytest.raises(ModelError, match=r"should read faces \(n, 1, 48, 48\), one input; it reads x \(n, .*\)"):
            ExpressionClassifier(session, ("a",), ExpressionOptions())


def averaging_network(shape: list[int | str]) -> bytes:
    """Input `x` of the shape; its mean is the logit of one class."""
    axes = list(range(1, len(shape)))
    node = helper.make_node("ReduceMean", ["x"], ["mean"], axes=axes, keepdims=0)
    column = helper.make_node("Unsqueeze", ["mean", "last"], ["y"])
    last = numpy_helper.from_array(np.array([1], np.int64), "last")
    source, result = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, dims) for name, dims in (("x", shape), ("y", ["n", 1]))
    )
    graph = helper.make_graph([node, column], "test", [source], [result], [last])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model.SerializeToString()


def test_no_faces() -> None:
    assert classifier()([]) == []


@pytest.mark.parametrize("tta", ["none", "flip"])
def test_a_batch_is_the_same_as_one_by_one(tta: str) -> None:
    some = crops(*[(side, side + 3) for side in range(20, 31)])
    whole, split = classifier(tta=tta), classifier(tta=tta, max_batch=4)
    single = np.concatenate([probs_of(whole([crop])) for crop in some])
    np.testing.assert_allclose(probs_of(whole(some)), single, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(probs_of(split(some)), single, rtol=1e-5, atol=1e-6)


def test_flip_averaging_does_not_see_left_and_right() -> None:
    (crop,) = crops((48, 48))
    mirrored = np.ascontiguousarray(crop[:, ::-1])
    assert not np.allclose(probs_of(classifier()([crop])), probs_of(classifier()([mirrored])))
    both = with_intensity(tta="flip")
    (one,), (other,) = both([crop]), both([mirrored])
    np.testing.assert_allclose(one.probs, other.probs, rtol=1e-5, atol=1e-6)
    assert one.intensity == pytest.approx(other.intensity, rel=1e-5)


def test_a_network_without_an_intensity_says_none() -> None:
    assert [one.intensity for one in classifier()(crops((20, 20), (60, 60)))] == [None, None]


def test_intensity_is_read_beside_the_classes_and_changes_nothing_of_them() -> None:
    some = crops(*[(side, side) for side in range(20, 29)])
    plain, both = classifier(tau=0.5, priors=PRIORS)(some), with_intensity(tau=0.5, priors=PRIORS, max_batch=4)(some)
    np.testing.assert_allclose(probs_of(plain), probs_of(both), rtol=1e-5)
    shares = [one.intensity for one in both]
    assert all(0 <= share <= 1 for share in shares)
    assert len(set(shares)) == len(shares)


def test_intensity_has_a_temperature_of_its_own() -> None:
    logits = np.array([[0.0, 2.0], [1.0, -1.0]], np.float32)
    expected = np.exp(logits[:, 1]) / np.exp(logits).sum(axis=1)
    np.testing.assert_allclose(intensity(logits, ExpressionOptions(temperature=9)), expected, rtol=1e-5)
    softer = intensity(logits, ExpressionOptions(intensity_temperature=3))
    assert (np.abs(softer - 0.5) < np.abs(expected - 0.5)).all()


def test_a_grey_picture_of_the_right_size_is_read_as_it_is() -> None:
    grey = RNG.integers(0, 256, (SIDE, SIDE), np.uint8)
    face = to_face(np.repeat(grey[..., None], 3, axis=2))
    np.testing.assert_allclose(face[0] * 255, grey, atol=1e-3)


def test_colour_is_red_green_blue() -> None:
    red = np.zeros((48, 48, 3), np.uint8)
    red[..., 0] = 255
    assert to_face(red).mean() == pytest.approx(0.299, abs=0.01)


def test_large_faces_are_averaged_not_sampled() -> None:
    board = np.tile(np.array([[0, 255], [255, 0]], np.uint8), (96, 96))
    face = to_face(np.repeat(board[..., None], 3, axis=2))
    np.testing.assert_allclose(face, 0.5, atol=0.01)


def test_small_faces_are_interpolated() -> None:
    face = to_face(np.repeat(np.array([[0, 255]], np.uint8)[..., None], 3, axis=2))
    assert len(np.unique(face)) > 10


@pytest.mark.parametrize(
    "crop",
    [np.zeros((48, 48), np.uint8), np.zeros((48, 48, 3), np.float32), np.zeros((0, 5, 3), np.uint8)],
    ids=["no colour axis", "not bytes", "no pixel"],
)
def test_what_is_not_a_crop(crop: np.ndarray) -> None:
    with pytest.raises(ModelError, match="a crop should be"):
        classifier()([crop])


def test_softmax() -> None:
    expected = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(probabilities(LOGITS, ExpressionOptions()), expected, rtol=1e-5)


def test_huge_logits_do_not_overflow() -> None:
    probs = probabilities(np.array([[1e4, 0, -1e4]], np.float32), ExpressionOptions())
    np.testing.assert_allclose(probs, [[1, 0, 0]], atol=1e-6)


def test_temperature_softens_and_keeps_the_order() -> None:
    sharp, soft = (probabilities(LOGITS, ExpressionOptions(temperature=t)) for t in (1.0, 3.0))
    assert (soft.max(axis=1) < sharp.max(axis=1)).all()
    np.testing.assert_array_equal(np.argsort(soft), np.argsort(sharp))


def test_full_prior_correction_is_bayes_rule() -> None:
    plain = probabilities(LOGITS, ExpressionOptions())
    expected = plain / np.array(PRIORS)
    corrected = probabilities(LOGITS, ExpressionOptions(tau=1, priors=PRIORS))
    np.testing.assert_allclose(corrected, expected / expected.sum(axis=1, keepdims=True), rtol=1e-4)


def test_a_site_as_the_training_changes_nothing_and_takes_the_place_of_tau() -> None:
    plain = probabilities(LOGITS, ExpressionOptions())
    options = ExpressionOptions(tau=1, priors=PRIORS)
    np.testing.assert_allclose(probabilities(LOGITS, options, np.array(PRIORS)), plain, rtol=1e-4)


def test_what_is_frequent_at_a_site_is_read_more_often() -> None:
    some = crops(*[(30, 30)] * 6)
    plain, there = probs_of(classifier()(some)), probs_of(classifier(priors=PRIORS, site={"neutral": 0.9})(some))
    assert (there[:, 0] > plain[:, 0]).all()
    expected = plain * np.append(0.9 / 0.4, [0.1 / 0.6] * 7)
    np.testing.assert_allclose(there, expected / expected.sum(axis=1, keepdims=True), rtol=1e-4)


def test_shares_of_a_site_leave_the_rest_as_in_training() -> None:
    assert site_shares({"a": 0.4}, ("a", "b", "c"), (0.7, 0.2, 0.1)) == pytest.approx([0.4, 0.4, 0.2])
    assert site_shares({"a": 0.5, "b": 0.5}, ("a", "b"), (0.7, 0.3)) == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize(
    ("site", "message"),
    [
        ({"envy": 0.1}, "no share can be given for envy: the network reads neutral"),
        ({"fear": 1.0}, "leave something for other labels: got fear 1"),
        ({"fear": -0.1}, "above 0"),
        (dict.fromkeys(LABELS, 0.1), "leave something"),
    ],
)
def test_shares_that_no_site_has(site: dict[str, float], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        classifier(priors=PRIORS, site=site)


def test_priors_alone_change_nothing() -> None:
    plain, given = probabilities(LOGITS, ExpressionOptions()), probabilities(LOGITS, ExpressionOptions(priors=PRIORS))
    np.testing.assert_array_equal(plain, given)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0}, "temperatures must be above 0, got 0"),
        ({"intensity_temperature": -1}, "temperatures must be above 0, got 1.0 and -1"),
        ({"tau": -0.1}, "tau must be 0 or more"),
        ({"tau": 0.5}, "tau and site need priors"),
        ({"site": {"fear": 0.1}}, "tau and site need priors"),
        ({"priors": (0.5, 0.0)}, "priors must be above 0"),
        ({"tta": "crop"}, "tta must be none or flip, got 'crop'"),
        ({"max_batch": 0}, "max_batch must be 1 or more"),
    ],
)
def test_bad_options(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ExpressionOptions(**options)


def test_priors_of_another_model() -> None:
    with pytest.raises(ModelError, match="expected 8 priors, one per label, got 2"):
        classifier(priors=(0.5, 0.5))


@pytest.mark.parametrize(("name", "count"), [("expression", 8), ("expression-fer2013", 7)])
def test_both_heads_from_one_file(tmp_path: Path, name: str, count: int) -> None:
    file = tmp_path / "own.onnx"
    file.write_bytes(expression_network())
    model = load(name, path=file, tau=0.5)
    assert len(model.labels) == count
    assert probs_of(model(crops((20, 20), (60, 60)))).shape == (2, count)
    assert model.provider == "CPUExecutionProvider"


def test_resize_is_the_one_of_training() -> None:
    """Training shrinks with INTER_AREA and enlarges with INTER_LINEAR; another filter costs accuracy."""
    small = RNG.integers(0, 256, (20, 20), np.uint8)
    expected = cv2.resize(small, (48, 48), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(to_face(np.repeat(small[..., None], 3, axis=2))[0] * 255, expected, atol=1e-3)
