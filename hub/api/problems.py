"""Problems: every error of the API as RFC 9457 `application/problem+json`.

Promise: an error says what is wrong and what to do, in the same shape everywhere, and shows nothing of
the inside.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus

import msgspec
from msgspec import UNSET, Struct, UnsetType
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from hub.store.away import RowLocked

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"

TITLES = {413: "Content Too Large", 422: "Unprocessable Content"}
"""The titles that RFC 9110 gives these; Python has them only from 3.13 on."""


class FieldError(Struct, frozen=True):
    """What is wrong with one field of a body or one parameter of a query."""

    field: str
    detail: str


class ProblemView(Struct):
    """The body of every error answer."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[FieldError] | UnsetType = UNSET


class Problem(Exception):
    """An error to be answered. `kind` names it for programs, `detail` says it to people."""

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str,
        *,
        errors: list[FieldError] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.detail = detail
        self.errors = errors
        self.headers = dict(headers or {})

    def response(self) -> Response:
        """The answer."""
        view = ProblemView(
            type=f"urn:glimpse:problem:{self.kind}",
            title=TITLES.get(self.status) or HTTPStatus(self.status).phrase,
            status=self.status,
            detail=self.detail,
            errors=UNSET if self.errors is None else self.errors,
        )
        return Response(
            msgspec.json.encode(view), self.status, {"cache-control": "no-store", **self.headers}, MEDIA_TYPE
        )


def invalid(field: str, detail: str) -> Problem:
    """A body or query that is wrong in one field."""
    return invalid_fields([FieldError(field, detail)])


def invalid_fields(errors: list[FieldError]) -> Problem:
    """A body or query that is wrong in these fields."""
    return Problem(422, "invalid", "; ".join(f"{e.field}: {e.detail}" for e in errors), errors=errors)


def not_found(what: str) -> Problem:
    """There is no such thing, or it is not the asker's: both get the same answer."""
    return Problem(404, "not-found", f"There is no such {what}.")


def nowhere() -> Problem:
    """There is nothing at this address."""
    return Problem(404, "not-found", "There is nothing at this address.")


def unavailable(detail: str) -> Problem:
    """Something the answer needs is away for now."""
    return Problem(503, "unavailable", detail, headers={"retry-after": "2"})


def going_down() -> Problem:
    """The server is about to end."""
    return unavailable("The server is going down; come back in a moment.")


async def on_problem(_request: Request, error: Exception) -> Response:
    """Starlette's handler for `Problem`."""
    assert isinstance(error, Problem)
    return error.response()


async def on_database_away(_request: Request, error: Exception) -> Response:
    """Starlette's handler for a database that cannot answer now."""
    logger.warning("the database is away: %s", error)
    if isinstance(error, RowLocked):
        return unavailable("Another change holds up this one in the database; try again in a moment.").response()
    return unavailable("The database cannot be reached now; try again in a moment.").response()


async def on_http_exception(_request: Request, error: Exception) -> Response:
    """Starlette's handler for what the router itself refuses."""
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return nowhere().response()
    kind, detail = "refused", str(error.detail)
    if error.status_code == 405:
        kind, detail = "method-not-allowed", "This address does not take that method."
    return Problem(error.status_code, kind, detail, headers=error.headers).response()


async def on_exception(_request: Request, _error: Exception) -> Response:
    """Starlette's handler for a defect of ours; Starlette logs the traceback itself."""
    return Problem(500, "internal", "Something went wrong here; it has been logged.").response()
