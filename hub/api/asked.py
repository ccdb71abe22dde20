"""Requests, read strictly, bodies and queries alike; and their answers.

Promise: what comes out is what the contract describes; anything else is a 422 that names the field, or a 400, 408
or 413 about the whole body. Unknown fields and parameters are errors, so that a misspelt one is not quietly ignored.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable
from typing import TypeVar

import msgspec
from msgspec import Meta, Struct
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from hub.api.problems import FieldError, Problem, invalid, invalid_fields, not_found
from hub.model import MOST_NUMBER, is_id

MOST_BODY_BYTES = 256 * 1024
"""The contract's: more is answered 413."""

DRAINED_BYTES = 16 * 1024 * 1024
"""How much of a body that is too long is read all the same, because a client that is still sending hears no answer."""

BODY_SECONDS = 30.0
"""How long a body may take: as long as Heroku's router gives the answer (see `store.urls`)."""

TURN_SECONDS = 0.005
"""How long the event loop works on one answer before it does something else."""

PAGE_ITEMS = 50
MOST_PAGE_ITEMS = 1000
"""How many items a page has by default, and at the most."""

MOST_NAME = 200
"""Characters of a name, be it a person's, a token's or a template's."""

MOST_ADDRESS = 254
"""Characters of a mail address (RFC 5321 4.5.3.1.3, less the brackets)."""

MOST_TEXT = 200
"""Characters of a text in a query."""

_JOINERS = {ord(joiner): "_" for joiner in "\u200c\u200d"}
_AT = re.compile(r"^(?P<what>.*) - at `(?P<path>[^`]*)`$", re.DOTALL)
_NAMED = re.compile(r"(unknown|missing required) field `(?P<name>[^`]*)`")

Body = TypeVar("Body", bound=Struct)
Item = TypeVar("Item")
Made = TypeVar("Made")


def answer(value: object, status: int = 200) -> Response:
    """A JSON answer."""
    return Response(msgspec.json.encode(value), status, {"cache-control": "no-store"}, "application/json")


async def in_turns(make: Callable[[Item], Made], items: Iterable[Item]) -> list[Made]:
    """What `make` makes of each item, in short turns: a page may have half a million recipients, and a pixel that comes
    meanwhile waits for one turn only.
    """
    clock = asyncio.get_running_loop().time
    made: list[Made] = []
    ends = clock() + TURN_SECONDS
    for item in items:
        made.append(make(item))
        if clock() >= ends:
            await asyncio.sleep(0)
            ends = clock() + TURN_SECONDS
    return made


async def read_bytes(request: Request) -> bytes:
    """The body, read once, however often this is called.

    Raises a 413 `Problem` if it is over 256 KiB, a 408 if it takes too long, and a 400 if it ends early. What is over
    256 KiB is read and thrown away up to a bound, because a client that is still sending when the connection closes
    never sees the answer.
    """
    if not hasattr(request.state, "body"):
        request.state.body = await _read_bytes(request)
    body: bytes = request.state.body
    return body


async def _read_bytes(request: Request) -> bytes:
    body, size = bytearray(), 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                size += len(chunk)
                if size <= MOST_BODY_BYTES:
                    body += chunk
                elif size > DRAINED_BYTES:
                    break
    except ClientDisconnect:
        raise Problem(400, "incomplete", "The body ended early.") from None
    except TimeoutError:
        raise Problem(408, "too-slow", f"The body took more than {BODY_SECONDS:g} s.") from None
    if size > MOST_BODY_BYTES:
        raise Problem(413, "too-large", "A body may have 256 KiB at the most.")
    return bytes(body)


async def refuse_too_much(request: Request) -> None:
    """Raise a 413 `Problem` for a request that announces more than a body may have, whether it is read or not."""
    announced = request.headers.get("content-length", "0")
    if announced.isdigit() and int(announced) > MOST_BODY_BYTES:
        await read_bytes(request)


async def read_body(request: Request, type_: type[Body]) -> Body:
    """The body, as a `type_`, of a call that takes no parameters. Raises a 422 `Problem`, and those of `read_bytes`."""
    Query(request)
    return decode_body(await read_bytes(request), type_)


class Nothing(Struct, forbid_unknown_fields=True):
    """The body of a call that takes none, from a client that always sends an object."""


async def read_nothing(request: Request) -> None:
    """Check that a call has no parameters, and no body but an empty object.

    Raises a 422 `Problem`, and those of `read_bytes`.
    """
    Query(request)
    if body := await read_bytes(request):
        decode_body(body, Nothing)


def decode_body(body: bytes, type_: type[Body]) -> Body:
    """`body` as a `type_`. Raises a 422 `Problem` that names the field."""
    try:
        return msgspec.json.decode(body, type=type_)
    except msgspec.ValidationError as error:
        raise invalid(*_field_and_detail(str(error))) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise invalid("body", "is not valid JSON in UTF-8") from None


def _field_and_detail(text: str) -> tuple[str, str]:
    match = _AT.match(text)
    detail, path = (match["what"], match["path"].removeprefix("$").lstrip(".")) if match else (text, "")
    if named := _NAMED.search(detail):
        path = f"{path}.{named['name']}".lstrip(".")
    return path or "body", detail


def is_name(text: str) -> bool:
    """Whether `text` can be a name: 1 to 200 characters, all of them printable and not all of them blank.

    The joiners are allowed, because words of Persian and of India's languages contain them, and so do emoji.
    """
    return 0 < len(text) <= MOST_NAME and not text.isspace() and text.translate(_JOINERS).isprintable()


def is_mail_address(text: str) -> bool:
    """Whether it looks like a mail address, of any length: printable text without blanks on both sides of an @."""
    local, _, domain = text.rpartition("@")
    return bool(local and domain) and text.isprintable() and " " not in text


def path_id(request: Request, what: str) -> str:
    """The id in the path of `what`. Raises a 404 `Problem` if it cannot be an id."""
    text: str = request.path_params["id"]
    if not is_id(text):
        raise not_found(what)
    return text


def length(most: int, least: int = 0) -> Meta:
    """How long a text may be, for the document only: `Checks` enforces it, and tells of all fields at once."""
    return Meta(extra_json_schema={"minLength": least, "maxLength": most})


class Checks:
    """Collects what is wrong with the fields of a body, to answer all of it at once."""

    def __init__(self) -> None:
        self._errors: list[FieldError] = []

    def text(self, field: str, value: str | None, most: int, least: int = 0) -> None:
        """`value` must have between `least` and `most` characters, and no NUL, which PostgreSQL cannot keep."""
        if value is None:
            return
        if not least <= len(value) <= most:
            self.wrong(field, f"has {len(value)} characters; it may have {least} to {most}")
        elif "\0" in value:
            self.wrong(field, "has a NUL character")

    def name(self, field: str, value: str) -> None:
        """`value` must be a name: see `is_name`."""
        if not is_name(value):
            self.wrong(field, f"must have 1 to {MOST_NAME} printable characters")

    def wrong(self, field: str, detail: str) -> None:
        """Note an error."""
        self._errors.append(FieldError(field, detail))

    def done(self) -> None:
        """Raise a 422 `Problem` if anything was wrong."""
        if self._errors:
            raise invalid_fields(self._errors)


class Query:
    """The parameters of a query, each read once."""

    def __init__(self, request: Request, *allowed: str) -> None:
        """Raises a 422 `Problem` for a parameter that is not `allowed`, or is given twice."""
        items = request.query_params.multi_items()
        names = [name for name, _ in items]
        for name in names:
            if name not in allowed:
                raise invalid(name[:100], f"is not a parameter here; there are: {', '.join(allowed) or 'none'}")
            if names.count(name) > 1:
                raise invalid(name, "is given more than once")
        self._values = dict(items)

    def whole(self, name: str, default: int, *, least: int = 0, most: int = MOST_NUMBER) -> int:
        """A whole number between `least` and `most`."""
        text = self._values.get(name)
        if text is None:
            return default
        if not (text.isascii() and text.isdigit() and len(text) <= 16) or not least <= int(text) <= most:
            raise invalid(name, f"must be a whole number from {least} to {most}")
        return int(text)

    def limit(self, default: int = PAGE_ITEMS) -> int:
        """How many items a page is to have."""
        return self.whole("limit", default, least=1, most=MOST_PAGE_ITEMS)

    def flag(self, name: str) -> bool | None:
        """`true`, `false`, or None if it is not given."""
        text = self._values.get(name)
        if text not in (None, "true", "false"):
            raise invalid(name, "must be true or false")
        return None if text is None else text == "true"

    def text(self, name: str) -> str | None:
        """A text, or None if it is not given."""
        value = self._values.get(name)
        if value is not None and (len(value) > MOST_TEXT or "\0" in value):
            raise invalid(name, f"may have {MOST_TEXT} characters, and no NUL")
        return value

    def cursor(self) -> str | None:
        """Where a page begins, as an earlier answer's `next` said."""
        value = self._values.get("cursor")
        if value is not None and not is_id(value):
            raise invalid("cursor", "is not one that an answer gave as `next`")
        return value
