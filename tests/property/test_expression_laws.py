from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models.expression import SIDE, ExpressionOptions, probabilities, to_face

LOGITS = arrays(np.float32, st.tuples(st.integers(1, 5), st.just(4)), elements=st.floats(-50, 50, width=32))
PRIORS = (0.5, 0.3, 0.15, 0.05)


@given(LOGITS, st.floats(0.2, 5), st.floats(0, 2))
def test_rows_are_distributions(logits: np.ndarray, temperature: float, tau: float) -> None:
    probs = probabilities(logits, ExpressionOptions(temperature=temperature, tau=tau, priors=PRIORS))
    assert probs.dtype == np.float32
    assert ((probs >= 0) & (probs <= 1)).all()
    np.testing.assert_allclose(probs.sum(axis=1), 1, rtol=1e-5)


@given(LOGITS, st.floats(-100, 100, width=32))
def test_adding_a_constant_changes_nothing(logits: np.ndarray, constant: float) -> None:
    plain, moved = (probabilities(x, ExpressionOptions()) for x in (logits, logits + np.float32(constant)))
    np.testing.assert_allclose(plain, moved, atol=1e-3)


@given(LOGITS, st.floats(0, 1), st.floats(0, 1))
def test_a_stronger_correction_favours_the_rarest_class(logits: np.ndarray, one: float, other: float) -> None:
    weak, strong = sorted((one, other))
    rarest = [probabilities(logits, ExpressionOptions(tau=tau, priors=PRIORS))[:, 3] for tau in (weak, strong)]
    assert (rarest[1] >= rarest[0] - 1e-6).all()


@given(arrays(np.uint8, st.tuples(st.integers(1, 120), st.integers(1, 120), st.just(3)), fill=st.just(40)))
def test_faces_have_one_shape_and_range(crop: np.ndarray) -> None:
    face = to_face(crop)
    assert face.shape == (1, SIDE, SIDE)
    assert face.dtype == np.float32
    assert 0 <= face.min() <= face.max() <= 1
