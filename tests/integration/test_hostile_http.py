"""Hostile requests over raw connections: whatever is sent, the answer is never a 500 and the hub goes on."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.api import Hub, Sender, assert_problem

MEGABYTES_10 = 10 * 1024 * 1024
SILENCE_SECONDS = 0.3
"""How long to wait for an answer to a request that the hub takes for unfinished."""


async def raw(hub: Hub, request: bytes, more: bytes = b"") -> bytes:
    """What the hub answers to these bytes, to the end of its first answer's head; nothing if it waits for more."""
    reader, writer = await asyncio.open_connection("127.0.0.1", hub.port)
    try:
        writer.write(request)
        if more:
            await writer.drain()
            writer.write(more)
        async with asyncio.timeout(SILENCE_SECONDS):
            return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as ended:
        return ended.partial
    except (ConnectionError, TimeoutError):
        return b""
    finally:
        writer.close()


def status_of(answer: bytes) -> int:
    found = re.match(rb"HTTP/1\.[01] (\d{3}) ", answer)
    assert found is not None, answer[:200]
    return int(found[1])


async def assert_well(hub: Hub, sender: Sender) -> None:
    """Check that the hub answers others as before."""
    assert (await hub.http.get("/readyz")).status_code == 200
    message = await sender.register()
    await sender.hit(message)
    assert (await sender.get(f"/messages/{message['id']}"))["opens"] == 1


GARBAGE = [
    b"",
    b"\r\n\r\n",
    b"\x00" * 1000,
    b"GET\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost x\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: " + b"x" * 10_000 + b"\r\n\r\n",
    b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X-A: b\r\n" * 10_000 + b"\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 200_000 + b"\r\n\r\n",
    b"POST /api/v1/session HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    b"POST /api/v1/session HTTP/1.1\r\nHost: x\r\nContent-Length: nan\r\n\r\n",
    b"POST /api/v1/session HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n{}",
    b"POST /api/v1/session HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}x",
    b"POST /api/v1/session HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"POST /api/v1/session HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n{}",
    b"POST /api/v1/session HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n",
    b"GET /api/v1/ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    b"GET /api/v1/ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 99\r\nSec-WebSocket-Key: short\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: x\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 500,
    b"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET http://evil.example/o/x.gif HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET //evil.example/ HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /api/v1/messages/%c3%28 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xff\r\n\r\n",
    b"GET /api/v1/messages/../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
    b"TRACE / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.0\r\n\r\n",
]


@pytest.mark.parametrize("request_", GARBAGE, ids=lambda request: repr(request[:60]))
async def test_garbage_is_refused_without_harm(hub: Hub, request_: bytes) -> None:
    answer = await raw(hub, request_)
    for line in re.findall(rb"HTTP/1\.[01] (\d{3}) ", answer):
        assert int(line) < 500
    assert b"Traceback" not in answer
    assert b"location: " not in answer.lower()
    assert (await hub.http.get("/healthz")).status_code == 200


@settings(max_examples=80)
@given(st.binary(max_size=300))
async def test_any_bytes_are_refused_without_harm(hub: Hub, request_: bytes) -> None:
    answer = await raw(hub, request_ + b"\r\n\r\n")
    assert not answer or status_of(answer) < 500


@pytest.mark.parametrize("upgrade", ["", "Connection: Upgrade\r\nUpgrade: h2c\r\n"])
async def test_registration_by_a_client_that_offers_another_protocol_is_answered(
    hub: Hub, sender: Sender, upgrade: str
) -> None:
    body = '{"subject": "s", "recipients": [{"address": "anna@example.com"}]}'
    head = f"POST /api/v1/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {sender.token}\r\n{upgrade}"
    assert status_of(await raw(hub, f"{head}Content-Length: {len(body)}\r\n\r\n".encode(), body.encode())) == 201


HEADERS = [
    *("host", "authorization", "cookie", "origin", "content-type", "content-length", "idempotency-key", "range"),
    *("x-forwarded-for", "x-forwarded-proto", "x-request-id", "last-event-id", "user-agent", "accept", "expect"),
    *("sec-fetch-site", "sec-purpose", "if-none-match"),
]
PATHS = [
    *("/api/v1/me", "/api/v1/messages", "/api/v1/stream?last_event_id=x", "/api/v1/events?after=0", "/o/x.gif"),
    *("/", "/static/client.js", "/metrics", "/readyz", "/api/v1/session"),
]
VALUES = st.one_of(
    st.binary(max_size=60).map(lambda raw: raw.translate(None, b"\r\n\0")),
    st.sampled_from(
        [b"", b"Bearer", b"glimpse=\xff", b"http://[", b"::1, ::, \xff", b"bytes=9-1", b"https, http", b"0"]
    ),
)


@settings(max_examples=150)
@given(
    st.sampled_from(["GET", "POST", "PATCH", "DELETE", "HEAD"]),
    st.sampled_from(PATHS),
    st.lists(st.tuples(st.sampled_from(HEADERS), VALUES), max_size=4),
)
async def test_any_header_is_taken_without_harm(
    hub: Hub, method: str, path: str, headers: list[tuple[str, bytes]]
) -> None:
    lines = [f"{method} {path} HTTP/1.1".encode(), b"Connection: close"]
    lines += [name.encode() + b": " + value for name, value in headers]
    if "host" not in dict(headers):
        lines.append(b"Host: hub.example.com")
    answer = await raw(hub, b"\r\n".join(lines) + b"\r\n\r\n")
    assert not answer or status_of(answer) < 500


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
FIELDS = [
    *("subject", "recipients", "address", "name", "template", "format", "pixels", "sent_at", "provider", "crm"),
    *("muted", "sequence", "realtime_notifications", "email", "password", "current", "new", "url", "system"),
    *("record_id", "message_id"),
]
BODIES = st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=5)


@settings(max_examples=120)
@given(
    st.sampled_from(
        [
            *(("POST", "/messages"), ("PATCH", "/messages/06d80000000000000000000000"), ("PATCH", "/settings")),
            *(("POST", "/seen"), ("POST", "/tokens"), ("PATCH", "/me"), ("POST", "/session")),
        ]
    ),
    BODIES,
)
async def test_any_json_is_taken_or_refused_by_name(hub: Hub, asked: tuple[str, str], body: dict[str, Any]) -> None:
    sender = await shared_sender(hub)
    answer = await sender.http.request(*asked, content=json.dumps(body).encode("utf-8", "surrogatepass"))
    assert answer.status_code < 500, answer.text
    if answer.status_code == 422:
        assert all(each["field"] and each["detail"] for each in assert_problem(answer, 422)["errors"])


async def shared_sender(hub: Hub) -> Sender:
    """One account for all the examples of a test."""
    if not hasattr(hub.app.state, "shared_sender"):
        hub.app.state.shared_sender = await hub.add_sender()
    sender: Sender = hub.app.state.shared_sender
    return sender


@pytest.mark.parametrize("text", ["\ud800", "\udfff x", "a\ud83d"])
@pytest.mark.parametrize("where", ["subject", "address", "name"])
async def test_lone_surrogate_is_a_422_and_never_reaches_the_database(sender: Sender, where: str, text: str) -> None:
    fields = {"subject": "x", "address": "a@example.com", "name": "A"} | {where: text}
    subject = fields.pop("subject")
    content = json.dumps({"subject": subject, "recipients": [fields]}).encode()
    assert b"\\ud" in content
    assert_problem(await sender.http.post("/messages", content=content), 422)


async def test_login_with_a_character_that_no_text_of_the_database_has_is_a_401(hub: Hub) -> None:
    answer = await hub.client().post("/session", json={"email": "a\0b@example.com", "password": "a guess"})
    assert_problem(answer, 401)


@pytest.mark.parametrize("query", ["q=%ed%a0%80", "q=%ff", "template=%00", "cursor=%ed%a0%80", "q=" + "%25" * 200])
async def test_query_of_odd_bytes_is_answered(sender: Sender, query: str) -> None:
    assert (await sender.http.get(f"/messages?{query}")).status_code in (200, 422)


@pytest.mark.parametrize("character", ["\0", "\u202e", "\ufffe", "\U0010ffff", "\x1f", "\u2028"])
async def test_odd_characters_are_kept_as_they_are_or_refused(sender: Sender, character: str) -> None:
    body = {"subject": f"a{character}b", "recipients": [{"address": "a@example.com", "name": character}]}
    answer = await sender.http.post("/messages", json=body)
    if character == "\0":
        assert_problem(answer, 422)
        return
    assert answer.status_code == 201
    kept = await sender.get(f"/messages/{answer.json()['id']}")
    assert (kept["subject"], kept["recipients"][0]["name"]) == (body["subject"], character)
    assert (await sender.get("/messages", q=f"a{character}b"))["items"]


async def test_10_mb_body_is_a_413_that_its_sender_sees(hub: Hub, sender: Sender) -> None:
    for content_length in (True, False):
        content: Any = b" " * MEGABYTES_10 if content_length else chunks()
        assert_problem(await sender.http.post("/messages", content=content), 413)
    await assert_well(hub, sender)


async def chunks() -> Any:
    for _ in range(MEGABYTES_10 // 65536):
        yield b" " * 65536


async def test_10_mb_body_without_credentials_is_not_taken_in(hub: Hub, sender: Sender) -> None:
    head = b"POST /api/v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % MEGABYTES_10
    answer = await raw(hub, head, b" " * MEGABYTES_10)
    assert not answer or status_of(answer) in (401, 413)
    await assert_well(hub, sender)


async def test_body_that_never_comes_holds_nobody_up(hub: Hub, sender: Sender) -> None:
    head = f"POST /api/v1/messages HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {sender.token}\r\n"
    waiting = []
    for _ in range(20):
        _, writer = await asyncio.open_connection("127.0.0.1", hub.port)
        writer.write(head.encode() + b"Content-Length: 9\r\n\r\n{")
        waiting.append(writer)
    await assert_well(hub, sender)
    for writer in waiting:
        writer.close()
        await writer.wait_closed()
    await assert_well(hub, sender)
    assert len((await sender.get("/messages"))["items"]) == 2


async def test_reader_that_goes_away_in_the_middle_of_a_pixel_harms_nobody(hub: Hub, sender: Sender) -> None:
    message = await sender.register()
    path = message["pixels"][0]["url"].removeprefix(hub.origin)
    for _ in range(20):
        _, writer = await asyncio.open_connection("127.0.0.1", hub.port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        writer.transport.abort()
    await assert_well(hub, sender)


DEEP = [b"[" * 100_000, b'{"a":' * 40_000, b'{"subject":' + b"[" * 100_000 + b"]" * 100_000 + b"}"]


@pytest.mark.parametrize("body", DEEP, ids=["lists", "objects", "in a field"])
@pytest.mark.parametrize("path", ["/messages", "/seen", "/tokens", "/session"])
async def test_deep_nesting_is_a_422(sender: Sender, path: str, body: bytes) -> None:
    assert_problem(await sender.http.post(path, content=body), 422)


NUMBERS = [b"1e999", b"-0", b"1" * 5000, b"0x10", b"1.0", b"Infinity", b"9223372036854775808", b"-1", b"1e2"]


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number[:20].decode())
async def test_odd_number_is_a_422(sender: Sender, number: bytes) -> None:
    answer = await sender.http.post("/seen", content=b'{"sequence":' + number + b"}")
    assert answer.status_code == 422 or (number in (b"-0",) and answer.status_code == 204), answer.text


async def test_same_field_twice_is_read_once(sender: Sender) -> None:
    content = b'{"subject":"a","subject":"b","recipients":[{"address":"a@example.com"}]}'
    answer = await sender.http.post("/messages", content=content)
    assert (answer.status_code, answer.json()["subject"]) == (201, "b")
