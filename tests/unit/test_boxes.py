import numpy as np
import pytest

from operators import boxes


def rows(*values):
    return np.array(values, np.float32).reshape(-1, 4)


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ((0, 0, 10, 10), 1.0),
        ((5, 0, 15, 10), 1 / 3),
        ((10, 0, 20, 10), 0.0),
        ((30, 30, 40, 40), 0.0),
        ((3, 3, 3, 3), 0.0),
        ((8, 8, 2, 2), 0.0),
    ],
    ids=["same", "half shifted", "touching", "apart", "empty", "inside out"],
)
def test_iou(other, expected):
    assert boxes.iou(rows(0, 0, 10, 10), rows(*other))[0, 0] == pytest.approx(expected)
    assert not boxes.iou(rows(*other), rows(5, 5, 5, 5)).any()


def test_iou_of_nothing_keeps_its_shape():
    assert boxes.iou(rows(), rows(0, 0, 1, 1)).shape == (0, 1)


def test_nms_keeps_the_most_confident_of_a_cluster_first():
    found = rows((0, 0, 10, 10), (1, 0, 11, 10), (50, 50, 60, 60))
    assert boxes.nms(found, np.array([0.7, 0.9, 0.8], np.float32), 0.5).tolist() == [1, 2]


def test_nms_keeps_a_box_whose_only_rival_was_dropped():
    chain = rows((0, 0, 10, 10), (4, 0, 14, 10), (8, 0, 18, 10))
    assert boxes.nms(chain, np.array([0.9, 0.8, 0.7], np.float32), 0.3).tolist() == [0, 2]


def test_centre_and_longer_side():
    box = rows(-5, 10, 15, 20)
    assert boxes.centre(box).tolist() == [[5, 15]]
    assert boxes.longer_side(box).tolist() == [20]
