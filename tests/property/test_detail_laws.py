from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from operators.detail import spans


@given(st.integers(1, 5000), st.integers(16, 2000), st.data())
def test_tiles_cover_every_pixel_share_the_overlap_and_fit(length: int, tile: int, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(1, tile - 1))
    if length / (tile - overlap) > 500:
        return
    cut = list(spans(length, tile=tile, overlap=overlap))
    assert cut[0][0] == 0
    assert cut[-1][1] == length
    assert all(0 <= start < stop <= length and stop - start <= tile for start, stop in cut)
    assert all(earlier[1] - later[0] >= min(overlap, tile) for earlier, later in pairwise(cut))
