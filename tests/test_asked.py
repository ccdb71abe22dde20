"""The bodies and queries of requests, read strictly."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct
from starlette.requests import Request

from hub.api.asked import (
    DRAINED_BYTES,
    MOST_BODY_BYTES,
    Checks,
    Query,
    decode_body,
    in_turns,
    read_bytes,
    read_nothing,
)
from hub.api.problems import Problem
from hub.model import MOST_NUMBER, new_id
from tests.api import Sender, assert_problem


class Part(Struct, forbid_unknown_fields=True):
    number: int


class Whole(Struct, forbid_unknown_fields=True):
    name: str
    parts: list[Part] = []


def a_request(query: str = "", chunks: Iterable[bytes] = (), cut: bool = False) -> Request:
    messages: list[dict[str, Any]] = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    messages.append({"type": "http.disconnect"} if cut else {"type": "http.request", "body": b"", "more_body": False})
    feed = iter(messages)

    async def receive() -> dict[str, Any]:
        return next(feed)

    scope = {"type": "http", "method": "POST", "path": "/", "headers": [], "query_string": query.encode()}
    return Request(scope, receive)


def fields_of(problem: Problem) -> list[str]:
    assert problem.status == 422
    return [error.field for error in problem.errors or ()]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", "body"),
        (b"nonsense", "body"),
        (b'{"name":"a"} and more', "body"),
        (b'{"name":"\xff"}', "body"),
        (b'{"name":"\\udfff"}', "body"),
        (b'{"name":"a","parts":[{"number":NaN}]}', "body"),
        (b"[1]", "body"),
        (b"{}", "name"),
        (b'{"name":null}', "name"),
        (b'{"name":"a","nmae":"b"}', "nmae"),
        (b'{"name":"a","parts":[{}]}', "parts[0].number"),
        (b'{"name":"a","parts":[{"number":1,"x":2}]}', "parts[0].x"),
        (b'{"name":"a","parts":{"number":1}}', "parts"),
        (b'{"name":"a","parts":' + b"[" * 100_000, "parts[0]"),
    ],
)
def test_body_that_is_wrong_names_its_field(body: bytes, field: str) -> None:
    with pytest.raises(Problem) as caught:
        decode_body(body, Whole)
    assert fields_of(caught.value) == [field]


@given(st.binary(max_size=200))
def test_body_of_any_bytes_is_read_or_refused(body: bytes) -> None:
    outcome: Whole | int
    try:
        outcome = decode_body(body, Whole)
    except Problem as problem:
        outcome = problem.status
    assert outcome == 422 or isinstance(outcome, Whole)


async def test_page_is_made_in_turns_with_other_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub.api.asked.TURN_SECONDS", 0)
    order: list[str] = []

    def made(item: str) -> str:
        order.append(item)
        asyncio.get_running_loop().call_soon(order.append, f"after {item}")
        return item.upper()

    assert await in_turns(made, "ab") == ["A", "B"]
    assert order == ["a", "after a", "b", "after b"]


async def test_body_in_chunks_is_put_together() -> None:
    assert await read_bytes(a_request(chunks=[b"ab", b"", b"c"])) == b"abc"


async def test_body_of_256_kib_is_taken_and_one_byte_more_is_not() -> None:
    assert len(await read_bytes(a_request(chunks=[b"x" * MOST_BODY_BYTES]))) == MOST_BODY_BYTES
    with pytest.raises(Problem) as caught:
        await read_bytes(a_request(chunks=[b"x" * MOST_BODY_BYTES, b"x"]))
    assert caught.value.status == 413


async def test_body_without_end_is_not_read_to_its_end() -> None:
    read = 0

    def endless() -> Iterable[bytes]:
        nonlocal read
        for _ in range(4 * DRAINED_BYTES // MOST_BODY_BYTES):
            read += MOST_BODY_BYTES
            yield b"x" * MOST_BODY_BYTES

    request = a_request()
    feed = iter(endless())

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": next(feed), "more_body": True}

    request._receive = receive
    with pytest.raises(Problem) as caught:
        await read_bytes(request)
    assert caught.value.status == 413
    assert read <= DRAINED_BYTES + MOST_BODY_BYTES


async def test_body_that_ends_early_is_a_400() -> None:
    with pytest.raises(Problem) as caught:
        await read_bytes(a_request(chunks=[b"half"], cut=True))
    assert caught.value.status == 400


def test_checks_answer_everything_that_is_wrong_at_once() -> None:
    checks = Checks()
    checks.text("fine", "abc", 3)
    checks.text("absent", None, 3, 1)
    checks.text("long", "abcd", 3)
    checks.text("short", "", 3, 1)
    checks.text("nul", "a\0b", 3)
    checks.wrong("own", "is wrong")
    with pytest.raises(Problem) as caught:
        checks.done()
    assert fields_of(caught.value) == ["long", "short", "nul", "own"]


def test_checks_with_nothing_wrong_raise_nothing() -> None:
    checks = Checks()
    checks.text("subject", "", 10)
    checks.done()


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limitt=5", "limitt"),
        ("limit=5&limit=6", "limit"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=-1", "limit"),
        ("limit=", "limit"),
        ("limit=5.0", "limit"),
        ("limit=%20+5", "limit"),
        ("limit=%D9%A5", "limit"),
        ("limit=00000000000000005", "limit"),
        (f"after={MOST_NUMBER + 1}", "after"),
        ("all=yes", "all"),
        ("all=True", "all"),
        ("cursor=", "cursor"),
        ("cursor=abc", "cursor"),
        pytest.param(f"cursor={new_id().upper()}", "cursor", id="cursor in capitals-cursor"),
        ("q=%00", "q"),
        ("q=" + "x" * 201, "q"),
    ],
)
def test_query_that_is_wrong_names_its_parameter(query: str, field: str) -> None:
    def ask() -> None:
        asked = Query(a_request(query), "limit", "after", "all", "cursor", "q")
        asked.limit(), asked.whole("after", 0), asked.flag("all"), asked.cursor(), asked.text("q")

    with pytest.raises(Problem) as caught:
        ask()
    assert fields_of(caught.value) == [field]


def test_query_that_is_right_is_read() -> None:
    cursor = new_id()
    asked = Query(
        a_request(f"limit=1000&after={MOST_NUMBER}&all=false&cursor={cursor}&q=a%20b"),
        *("limit", "after", "all", "cursor", "q"),
    )
    assert (asked.limit(), asked.whole("after", 0)) == (1000, MOST_NUMBER)
    assert (asked.flag("all"), asked.cursor(), asked.text("q")) == (False, cursor, "a b")


def test_query_may_have_the_least_and_the_most() -> None:
    asked = Query(a_request("limit=1&all=true&q=" + "x" * 200), "limit", "all", "q")
    assert (asked.limit(), asked.flag("all"), asked.text("q")) == (1, True, "x" * 200)


@pytest.mark.parametrize(("allowed", "said"), [(("limit", "after"), "limit, after"), ((), "none")])
def test_parameter_that_is_not_known_is_answered_with_those_that_are(allowed: tuple[str, ...], said: str) -> None:
    with pytest.raises(Problem) as caught:
        Query(a_request("limitt=5"), *allowed)
    assert [error.detail for error in caught.value.errors or ()] == [f"is not a parameter here; there are: {said}"]


def test_query_that_is_empty_gives_the_defaults() -> None:
    asked = Query(a_request(), "limit", "after", "all", "cursor", "q")
    assert (asked.limit(), asked.limit(200), asked.whole("after", 7)) == (50, 200, 7)
    assert (asked.flag("all"), asked.cursor(), asked.text("q")) == (None, None, None)


# Calls that take no body.

BODYLESS = (
    ("POST", "/messages/mute-all"),
    ("POST", "/messages/{id}/viewing"),
    ("DELETE", "/tokens/{id}"),
    ("DELETE", "/sessions/{id}"),
    ("DELETE", "/session"),
)


@pytest.mark.parametrize("chunks", [(), (b"",), (b"{}",), (b" {", b"} ")])
async def test_body_of_a_call_that_takes_none_may_be_empty(chunks: tuple[bytes, ...]) -> None:
    await read_nothing(a_request(chunks=chunks))


@pytest.mark.parametrize(("method", "path"), BODYLESS)
@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b'{"until": "tomorrow"}', 422, "until"),
        (b"[]", 422, "body"),
        (b"null", 422, "body"),
        (b"nonsense", 422, "body"),
        (b"\xff", 422, "body"),
        (b" " * (MOST_BODY_BYTES + 1), 413, None),
    ],
)
async def test_body_of_a_call_that_takes_none_is_refused(
    sender: Sender, method: str, path: str, body: bytes, status: int, field: str | None
) -> None:
    head = await sender.head()
    answer = await sender.http.request(method, path.format(id=new_id()), content=body)
    problem = assert_problem(answer, status)
    assert [error["field"] for error in problem.get("errors", ())] == [field][: field is not None]
    assert await sender.head() == head


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/messages", {"subject": "x", "recipients": [{"address": "a@example.com"}]}),
        ("PATCH", "/messages/{id}", {"muted": True}),
        ("POST", "/messages/{id}/viewing", None),
        ("POST", "/messages/mute-all", None),
        ("PATCH", "/settings", {"realtime_notifications": False}),
        ("PATCH", "/me", {"name": "x"}),
        ("POST", "/seen", {"sequence": 1}),
        ("POST", "/tokens", {"name": "x"}),
        ("DELETE", "/tokens/{token}", None),
        ("DELETE", "/sessions/{id}", None),
        ("POST", "/session", {"email": "a@example.com", "password": "x"}),
    ],
)
async def test_call_that_changes_something_takes_no_parameters(
    sender: Sender, method: str, path: str, body: object
) -> None:
    message = await sender.register()
    before = await sender.get("/me"), await sender.get("/tokens"), await sender.get(f"/messages/{message['id']}")
    path = path.format(id=message["id"], token=sender.token_id)
    answer = await sender.http.request(method, path, params={"dry_run": "true"}, json=body)
    assert [error["field"] for error in assert_problem(answer, 422)["errors"]] == ["dry_run"]
    after = await sender.get("/me"), await sender.get("/tokens"), await sender.get(f"/messages/{message['id']}")
    assert after == before


@pytest.mark.parametrize("body", [b"", b"{}"])
async def test_call_that_takes_no_body_does_its_work(sender: Sender, body: bytes) -> None:
    message = await sender.register()
    assert (await sender.http.post(f"/messages/{message['id']}/viewing", content=body)).status_code == 204
    assert (await sender.http.post("/messages/mute-all", content=body)).status_code == 200
    assert (await sender.http.request("DELETE", f"/tokens/{sender.token_id}", content=body)).status_code == 204
