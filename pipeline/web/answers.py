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


def _answers(description: str, message: str) -> dict[str, object]:
    """How the documentation shows a problem; `message` is an example. It is JSON wherever it comes from."""
    shape = {"$ref": "#/components/schemas/ProblemAnswer"}
    shown = {"schema": shape, "example": {"error": {"message": message}}}
    return {"description": description, "content": {"application/json": shown}}


PROBLEMS: dict[int | str, dict[str, object]] = {
    400: _answers("The request can't be read.", "there was an error parsing the body"),
    401: _answers("The token is missing or wrong.", "expected the token, as `Authorization: Bearer TOKEN`"),
    403: _answers("The request comes from another site.", "this request comes from another site"),
    413: _answers("The request is too large.", "expected a request of at most 65536 bytes"),
    421: _answers("The console is not known by that host name.", "this console is not known by that host name"),
    422: _answers("A part of the request is not as expected.", "the request is not as expected: query.limit: ..."),
    503: _answers(
        "Not now: the store can't be read or written, or too many ask.", "store mien.sqlite: the disk is full"
    ),
}
"""What any operation may answer besides its own."""
