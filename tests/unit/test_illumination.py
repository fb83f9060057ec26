import cv2
import numpy as np
import pytest

from operators.illumination import Illumination


def texture(mean=120.0):
    rng = np.random.default_rng(5)
    grain = cv2.GaussianBlur(rng.normal(0, 60, (48, 48)).astype(np.float32), (0, 0), 1.5)
    return cv2.cvtColor(np.clip(mean + grain, 0, 255).astype(np.uint8), cv2.COLOR_GRAY2RGB)


def side_lit(crop):
    return np.clip(crop * np.linspace(0.2, 1.2, 48)[None, :, None], 0, 255).astype(np.uint8)


def imbalance(crop):
    return abs(float(crop[:, :16].mean()) - float(crop[:, 32:].mean()))


def test_with_both_steps_off_the_crop_itself():
    crop = texture()
    assert Illumination(exposure=False).normalise(crop) is crop


def test_homomorphic_filter_evens_out_side_light():
    lit = side_lit(texture())
    assert imbalance(Illumination(homomorphic=True, exposure=False).normalise(lit)) < 0.7 * imbalance(lit)


def test_homomorphic_filter_leaves_even_light_nearly_alone():
    crop = texture()
    assert np.abs(Illumination(homomorphic=True, exposure=False).normalise(crop).astype(int) - crop).mean() < 6


@pytest.mark.parametrize(("mean", "low", "high"), [(20, 55, 90), (240, 160, 200)], ids=["dark", "bright"])
def test_exposure_brings_a_bad_mean_to_the_bound(mean, low, high):
    assert low < Illumination(exposure=True).normalise(texture(mean)).mean() < high


def test_exposure_leaves_a_well_exposed_face_alone():
    crop = texture()
    assert (Illumination(exposure=True).normalise(crop) == crop).all()


def test_colours_keep_their_hue_and_the_input_is_not_changed():
    crop = np.full((20, 20, 3), (20, 10, 5), np.uint8)
    before = crop.copy()
    bright = Illumination(exposure=True).normalise(crop)[0, 0].astype(float)
    assert bright[0] / bright[1] == pytest.approx(2, rel=0.1)
    assert (crop == before).all()


@pytest.mark.parametrize("bad", [{"cutoff": 0}, {"light": 1.5}, {"dark": 200}])
def test_settings_that_make_no_sense_are_refused(bad):
    with pytest.raises(ValueError, match="expected"):
        Illumination(**bad)
