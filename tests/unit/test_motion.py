import numpy as np
import pytest

from operators.motion import MotionGate

STILL = np.full((180, 320, 3), 100, np.uint8)


def with_face(x):
    image = STILL.copy()
    image[60:80, x : x + 16] = 180
    return image


def looked(frames, **settings):
    gate, state, out = MotionGate(enabled=True, **settings), None, []
    for ts, image in frames:
        state, moved = gate.step(state, image, ts=ts)
        out.append(moved)
    return out


def test_every_frame_is_looked_at_while_it_is_off():
    assert MotionGate().step(None, STILL, ts=0) == (None, True)


def test_a_still_picture_is_looked_at_once_per_floor():
    assert looked([(i / 4, STILL) for i in range(9)]) == [True, False, False, False] * 2 + [True]


def test_a_small_face_that_moves_opens_the_gate():
    assert looked([(0, with_face(100)), (0.1, with_face(108)), (0.2, with_face(108))]) == [True, True, False]


def test_slow_motion_adds_up():
    assert any(looked([(i / 30, with_face(100 + i)) for i in range(12)])[1:])


def test_sensor_noise_does_not_open_the_gate():
    rng = np.random.default_rng(1)
    noisy = [np.clip(STILL + rng.normal(0, 6, STILL.shape), 0, 255).astype(np.uint8) for _ in range(4)]
    assert looked([(i / 10, image) for i, image in enumerate(noisy)]) == [True, False, False, False]


def test_a_new_resolution_or_a_clock_set_back_is_looked_at():
    assert looked([(5, STILL), (5.1, STILL[:90]), (3, STILL[:90])]) == [True, True, True]


@pytest.mark.parametrize("bad", [{"floor": -1}, {"threshold": 256}, {"area": 2}])
def test_settings_that_make_no_sense_are_refused(bad):
    with pytest.raises(ValueError, match="expected"):
        MotionGate(**bad)
