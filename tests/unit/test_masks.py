import numpy as np
import pytest

from operators.masks import black_out, checked_polygon

LEFT_HALF = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ([[0, 0], [1, 1]], "at least 3 points"),
        ([[0, 0], [1, 0], [1, 1.2]], r"between 0 and 1, got \[1, 1.2\]"),
        ([[0, 0], [1, 0], [1, float("nan")]], "between 0 and 1"),
        ([[0, 0], [1, 0, 3], [1, 1]], r"points \[x, y\]"),
        ([[0, 0], [0.5, 0.5], [1, 1]], "on one line"),
    ],
)
def test_polygons_that_cannot_be_meant_are_refused(points, message):
    with pytest.raises(ValueError, match=message):
        checked_polygon(points)


def test_black_out_covers_the_polygon_and_leaves_the_rest_and_the_input():
    image = np.full((40, 60, 3), 200, np.uint8)
    masked = black_out(image, [LEFT_HALF])
    assert not masked[:, :30].any()
    assert (masked[:, 33:] == 200).all()
    assert (image == 200).all()


def test_the_overlap_of_two_masks_stays_black():
    image = np.full((40, 60, 3), 200, np.uint8)
    assert not black_out(image, [LEFT_HALF, LEFT_HALF])[:, :30].any()


def test_without_masks_nothing_is_copied():
    image = np.zeros((4, 4, 3), np.uint8)
    assert black_out(image, []) is image
