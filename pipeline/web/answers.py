"""What all answers of the API have in common, and the words for what goes wrong."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["PROBLEMS", "Answer", "Problem", "ProblemAnswer"]


class Answer(BaseModel):
    """A shape of the API: its fields are documented where they stand."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class Problem(Answer):
    """Why a request was not done."""

    message: str = Field(examples=["there is no camera called lobby: the cameras are quay, door"])
    """One plain sentence: what was expected, what came, what to do."""
    fields: dict[str, str] = {}
    """What is wrong with which part of the request, where that is known."""


class ProblemAnswer(Answer):
    """The answer to every request that was not done."""

    error: Problem


PROBLEMS: dict[int | str, dict[str, object]] = {
    401: {"model": ProblemAnswer, "description": "The token is missing or wrong."},
    403: {"model": ProblemAnswer, "description": "The request comes from another site."},
    413: {"model": ProblemAnswer, "description": "The request is too large."},
    421: {"model": ProblemAnswer, "description": "The console is not known by that host name."},
    422: {"model": ProblemAnswer, "description": "A part of the request is not as expected."},
    503: {"model": ProblemAnswer, "description": "The store can't be read or written now."},
}
"""What any operation may answer besides its own."""
