"""The dead-letter boundary: what one record brings about stops no other."""

from __future__ import annotations

import pytest

from operators.errors import DecodeError
from pipeline.boundary import attempt, told


def refuse(number: int, *, why: str) -> int:
    raise DecodeError(f"expected no {number}: {why}")


def test_what_is_returned_or_raised():
    assert attempt(divmod, 7, 2) == (3, 1)
    error = attempt(refuse, 7, why="bad luck")
    assert isinstance(error, DecodeError)
    assert told(error) == "DecodeError: expected no 7: bad luck"


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_process_still_does(kind: type[BaseException]):
    def end() -> None:
        raise kind

    with pytest.raises(kind):
        attempt(end)
