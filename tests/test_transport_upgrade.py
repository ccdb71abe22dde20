"""HTTP under the hub: how requests that ask for another protocol are answered."""

from __future__ import annotations

import asyncio
import re

import pytest
from starlette.types import Receive, Scope, Send

from hub.transport import HEAD_PIECE_BYTES, HubState
from tests.processes import PATIENCE_SECONDS, eventually
from tests.test_transport import GET, client, gone, running, status
from tests.test_transport_websocket import HANDSHAKE, Listening

H2C = b"Host: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
BODY = b'{"subject": "x"}' * 8
SIZED = b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n" + b"10\r\n%s\r\n" % BODY[:16] * 8 + b"0\r\n\r\n"
SMUGGLED = b"\r\n" * 4 + b"POST /smuggled HTTP/1.1\r\nHost: a\r\nX-Swallow: "
LAST = b"GET /last HTTP/1.1\r\nHost: a\r\n\r\n"


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the method, the path and the body."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    told = b"<%s %s %s>" % (scope["method"].encode(), scope["path"].encode(), body)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(told))]})
    await send({"type": "http.response.body", "body": told})


async def answers(port: int, *pieces: bytes) -> list[bytes]:
    """Send each piece on its own, and then LAST. Returns the answers to all requests before LAST."""
    async with client(port) as (reader, writer), asyncio.timeout(PATIENCE_SECONDS):
        for piece in (*pieces, LAST):
            writer.write(piece)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        told = await reader.readuntil(b"<GET /last >")
    *before, last = re.findall(rb"\r\n\r\n(<.*?>)", told, re.DOTALL)
    assert last == b"<GET /last >"
    return before


def cut(request: bytes, size: int) -> list[bytes]:
    return [request[start : start + size] for start in range(0, len(request), size)]


@pytest.mark.parametrize("size", [1, 7, 50, 10_000])
@pytest.mark.parametrize("body", [SIZED, CHUNKED], ids=["sized", "chunked"])
async def test_body_of_a_request_for_another_protocol_is_read(body: bytes, size: int) -> None:
    async with running(echo) as (_, port):
        assert await answers(port, *cut(b"POST /x HTTP/1.1\r\n" + H2C + body, size)) == [b"<POST /x %s>" % BODY]


@pytest.mark.parametrize(
    "upgrade",
    [
        H2C,
        b"Host: a\r\nConnection: upgrade\r\nUPGRADE: h2c\r\nupgrade: TLS/1.0, h2c\r\n",
        b"Host: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n",
        b"Host: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nUpgrade: websocket\r\n",
        b"Host: a\r\nConnection: Upgrade\r\nUpgrade:\r\nUpgrade: \r\n",
        b"Host: a\r\nConnection: Upgrade\r\nUpgrade: websocket, h2c\r\nX-Empty:\r\nX-Long: " + b"x" * 20_000 + b"\r\n",
    ],
    ids=["h2c", "several", "websocket and another", "another and websocket", "empty", "long"],
)
@pytest.mark.parametrize("apart", [True, False])
async def test_body_of_a_request_for_another_protocol_is_no_second_request(upgrade: bytes, apart: bool) -> None:
    head = b"POST /x HTTP/1.1\r\n" + upgrade + b"Content-Length: %d\r\n\r\n" % len(SMUGGLED)
    async with running(echo) as (_, port):
        pieces = [head, SMUGGLED] if apart else [head + SMUGGLED]
        assert await answers(port, *pieces) == [b"<POST /x %s>" % SMUGGLED]


@pytest.mark.parametrize("count", [1, 500])
async def test_requests_that_follow_one_for_another_protocol_are_answered(count: int) -> None:
    async with running(echo) as (_, port):
        asked = (b"GET /x HTTP/1.1\r\n" + H2C + b"\r\n") * count
        assert await answers(port, asked + GET) == [b"<GET /x >"] * count + [b"<GET / >"]


async def test_request_for_another_protocol_behind_one_that_waits_changes_nothing_for_it() -> None:
    async with running(echo) as (_, port):
        waits = b"POST /first HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n"
        assert await answers(port, waits, b"xGET /x HTTP/1.1\r\n" + H2C + b"\r\n") == [b"<POST /first x>", b"<GET /x >"]


async def test_request_for_a_websocket_behind_one_that_waits_is_answered_after_it() -> None:
    async with running(echo) as (_, port):
        waits = b"POST /first HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n"
        assert await answers(port, waits, b"x" + HANDSHAKE) == [b"<POST /first x>", b"<GET / >"]


@pytest.mark.parametrize(
    "instead",
    [b"Sec-WebSocket-Version: 8", b"Sec-WebSocket-Version: 13, 8", b"X: 13", b"Sec-WebSocket-Version:"],
)
async def test_request_for_another_version_of_websocket_is_answered_as_any_other(instead: bytes) -> None:
    asked = HANDSHAKE.replace(b"Sec-WebSocket-Version: 13", instead)
    assert asked != HANDSHAKE
    async with running(echo) as (_, port):
        assert await answers(port, asked) == [b"<GET / >"]


@pytest.mark.parametrize("more", [b"", b"Connection: keep-alive\r\n"])
@pytest.mark.parametrize("apart", [True, False])
async def test_request_for_a_websocket_by_another_method_is_answered_as_any_other(more: bytes, apart: bool) -> None:
    head = HANDSHAKE.replace(b"GET", b"POST").replace(b"Host", b"%sContent-Length: %d\r\nHost" % (more, len(BODY)), 1)
    async with running(echo) as (_, port):
        pieces = [head, BODY] if apart else [head + BODY]
        assert await answers(port, *pieces) == [b"<POST / %s>" % BODY]


async def test_client_that_waits_to_be_told_to_send_its_body_is_told() -> None:
    async with running(echo) as (_, port), client(port) as (reader, writer), asyncio.timeout(PATIENCE_SECONDS):
        writer.write(b"POST /x HTTP/1.1\r\n" + H2C + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"ab")
        await reader.readuntil(b"<POST /x ab>")


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
async def test_request_for_another_protocol_that_is_to_be_the_last_is_the_last(version: bytes) -> None:
    head = b"POST /x HTTP/%s\r\nConnection: close, Upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\n" % version
    async with running(echo) as (_, port), client(port) as (reader, writer), asyncio.timeout(PATIENCE_SECONDS):
        writer.write(head + b"ab" + GET)
        told = await reader.read()
        assert told.count(b"HTTP/1.1") == 1
        assert told.endswith(b"<POST /x ab>")


@pytest.mark.parametrize("target", [b"a:80", b"x://h/path"])
async def test_connect_is_refused_and_nothing_after_it_is_read(target: bytes) -> None:
    async with running(echo) as (_, port), client(port) as (reader, writer), asyncio.timeout(PATIENCE_SECONDS):
        writer.write(b"CONNECT %s HTTP/1.1\r\n" % target + H2C + b"\r\n" + GET)
        told = await reader.read()
        assert re.findall(rb"HTTP/1.1 (\d+)", told) == [b"400"]


WEBSOCKETS = {
    "bad key": HANDSHAKE.replace(b"dGhl", b"?"),
    "no key": HANDSHAKE.replace(b"Sec-WebSocket-Key", b"X-Key"),
    "with a body": HANDSHAKE.replace(b"\r\nHost", b"\r\nContent-Length: %d\r\nHost" % len(SMUGGLED), 1),
    "chunked": HANDSHAKE.replace(b"\r\nHost", b"\r\nTransfer-Encoding: chunked\r\nHost", 1),
}


@pytest.mark.parametrize("others", [[b"keep-alive"], [b"close, x", b"keep-alive"]])
@pytest.mark.parametrize("first", [True, False])
async def test_handshake_may_have_several_lines_about_its_connection(others: list[bytes], first: bool) -> None:
    line, more = b"Connection: Upgrade\r\n", b"".join(b"Connection: %s\r\n" % other for other in others)
    handshake = HANDSHAKE.replace(line, line + more if first else more + line)
    async with running(Listening()) as (_, port), client(port) as (reader, writer), asyncio.timeout(PATIENCE_SECONDS):
        writer.write(handshake)
        assert await status(reader) == b"101"


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"http://hub.example.com/api/v1/ws", "/api/v1/ws", b""),
        (b"WS://hub.example.com:8000/api/v1/%77s?a=%2F&b", "/api/v1/ws", b"a=%2F&b"),
        (b"http://hub.example.com", "/", b""),
        (b"/a//b?", "/a//b", b""),
    ],
)
async def test_address_of_a_handshake_may_be_whole(target: bytes, path: str, query: bytes) -> None:
    app = Listening()
    async with running(app) as (_, port), client(port) as (reader, writer), asyncio.timeout(PATIENCE_SECONDS):
        writer.write(HANDSHAKE.replace(b"/", target, 1))
        assert await status(reader) == b"101"
        assert (app.scope["path"], app.scope["query_string"]) == (path, query)


async def test_handshake_at_an_address_that_cannot_be_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    async with running(Listening()) as (_, port), client(port) as (reader, writer), asyncio.timeout(PATIENCE_SECONDS):
        writer.write(HANDSHAKE.replace(b"/", b"http://hub.example.com:99999/", 1))
        assert await status(reader) == b"400"
        await gone(reader)
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def test_handshake_while_draining_is_left_to_the_application() -> None:
    async with running(Listening()) as (server, port), client(port) as (reader, writer):
        assert isinstance(server.server_state, HubState)
        server.server_state.draining = True
        writer.write(HANDSHAKE)
        assert await status(reader) == b"101"


async def test_much_right_behind_a_handshake_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    app = Listening()
    async with running(app) as (_, port), client(port) as (reader, writer), asyncio.timeout(PATIENCE_SECONDS):
        writer.write(HANDSHAKE + b"x" * 3 * HEAD_PIECE_BYTES)
        assert await status(reader) == b"101"
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


@pytest.mark.parametrize("apart", [True, False])
@pytest.mark.parametrize("handshake", WEBSOCKETS.values(), ids=WEBSOCKETS)
async def test_handshake_that_fails_ends_its_connection(handshake: bytes, apart: bool) -> None:
    app = Listening()
    async with running(app) as (server, port), client(port) as (reader, writer), asyncio.timeout(PATIENCE_SECONDS):
        writer.write(handshake + (b"" if apart else SMUGGLED + LAST))
        if apart:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            writer.write(SMUGGLED + LAST)
        await gone(reader)
        await eventually(lambda: not server.server_state.connections)
        assert app.scope.get("type") in (None, "websocket")
