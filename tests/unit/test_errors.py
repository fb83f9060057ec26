"""The exception tree."""

from __future__ import annotations

import pickle

import pytest

from operators.errors import Cause, ConfigError, MienError, SinkError, SourceError


@pytest.mark.parametrize(
    "error",
    [
        ConfigError("mien.yaml:3:1: no"),
        SourceError("no recording here", cause=Cause.NOT_FOUND),
        SinkError("disk full", retryable=False),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_comes_out_of_another_process_as_it_was(error: MienError) -> None:
    # One that can't be read back breaks the whole pool of processes, and says nothing of what went wrong.
    back = pickle.loads(pickle.dumps(error))  # our own
    assert (type(back), str(back), vars(back)) == (type(error), str(error), vars(error))
