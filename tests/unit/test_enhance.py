import pytest

from operators.enhance import EnhanceGate


@pytest.mark.parametrize(("source_px", "wanted"), [(11.9, False), (12, True), (31.9, True), (32, False)])
def test_only_small_faces_are_enlarged(source_px, wanted):
    assert EnhanceGate(enabled=True).wants(source_px) is wanted
    assert not EnhanceGate().wants(source_px)


def test_bounds_in_the_wrong_order_are_refused():
    with pytest.raises(ValueError, match="min_px 40 and max_px 32"):
        EnhanceGate(min_px=40)
