"""Errors as answers: `{"error": {"message": ...}}` with a plain sentence, never a traceback, never what was sent."""

from __future__ import annotations

import logging
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from operators.errors import SinkError
from pipeline.web.answers import Problem, ProblemAnswer

__all__ = ["install", "problem"]

log = logging.getLogger(__name__)

_NO_BODY = "expected a body as the documentation describes it (/api/openapi.json)"


def problem(status: int, message: str, **fields: str) -> JSONResponse:
    """The answer for a request that was not done."""
    said = ProblemAnswer(error=Problem(message=message, fields=fields))
    return JSONResponse(said.model_dump(exclude_defaults=True), status)


def install(app: FastAPI) -> None:
    """Make every error of `app` an answer of that shape."""
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(SinkError, _no_store)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(500, _broken)


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 -- as installed; so do the others
    standard = HTTPStatus(error.status_code).phrase
    message = error.detail if error.detail != standard else f"{standard.lower()}: see /api/openapi.json"
    answer = problem(error.status_code, message)
    answer.headers.update(error.headers or {})
    return answer


async def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    found = {".".join(str(step) for step in one["loc"]): one["msg"] for one in error.errors()}
    said = "; ".join(f"{place}: {text}" for place, text in found.items())
    return problem(422, f"the request is not as expected: {said or _NO_BODY}"[:1000], **found)


async def _no_store(_: Request, error: Exception) -> Response:
    return problem(503, str(error))


async def _gone(_: Request, __: Exception) -> Response:
    return problem(400, "the request has ended before all of it had come")  # which is no fault of mien to be logged


async def _broken(request: Request, error: Exception) -> Response:
    log.error("request failed path=%s error=%s", request.url.path, type(error).__name__)
    return problem(500, "this request failed by a fault of mien: the log says more, please report it")
