"""HTTP under the hub: what slow, silent and greedy peers get."""

from __future__ import annotations

import asyncio
import contextlib
import math
import re
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from hub import transport
from hub.transport import HEAD_BYTES, HEAD_PIECE_BYTES, TOO_LARGE, HubHttp, HubState
from hub.transport_websocket import HubWebSocket
from tests.processes import PATIENCE_SECONDS, eventually

GET = b"GET / HTTP/1.1\r\nHost: hub.example.com\r\n\r\n"
QUICK_SECONDS = 0.2


class Server(uvicorn.Server):
    """uvicorn on the test's own loop, with our protocols, and without handlers for signals."""

    def __init__(self, app: Any, **options: Any) -> None:
        config = uvicorn.Config(
            app,
            http=HubHttp,
            ws=HubWebSocket,
            log_config=None,
            lifespan="off",
            access_log=False,
            # With them the application would be hidden behind uvicorn's own, which has no `take`.
            proxy_headers=False,
            **options,
        )
        super().__init__(config)
        self.server_state = HubState()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def main_loop(self) -> None:
        """Wait for the end. uvicorn looks whether it has come only ten times a second."""
        await self.on_tick(0)
        await eventually(lambda: self.should_exit, math.inf)


@contextlib.asynccontextmanager
async def running(app: Any, **options: Any) -> AsyncIterator[tuple[Server, int]]:
    """A server and its port."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = Server(app, **{"timeout_graceful_shutdown": 1, "timeout_keep_alive": 60, **options})
    task = asyncio.create_task(server.serve([listener]))
    await eventually(lambda: server.started)
    try:
        yield server, listener.getsockname()[1]
    finally:
        server.should_exit = True
        await task


@contextlib.asynccontextmanager
async def client(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def answer(_: Scope, receive: Receive, send: Send) -> None:
    """Read the body and answer with its length."""
    length, more = 0, True
    while more:
        message = await receive()
        length += len(message.get("body", b""))
        more = message.get("more_body", False)
    body = b"%d" % length
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def status(reader: asyncio.StreamReader) -> bytes:
    return (await reader.readline()).split(b" ")[1]


async def gone(reader: asyncio.StreamReader) -> None:
    """Wait until the server has ended the connection."""
    with contextlib.suppress(ConnectionResetError):
        while await reader.read(65536):
            pass


async def test_endless_request_head_is_refused() -> None:
    async with running(answer) as (_, port), client(port) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: hub.example.com\r\nX-Long: ")
        await writer.drain()
        for _ in range(HEAD_BYTES // 1024 + 600):
            writer.write(b"x" * 1024)
            with contextlib.suppress(ConnectionResetError):
                await writer.drain()
        assert await status(reader) == b"431"
        await gone(reader)


async def test_refusal_of_a_head_does_not_break_into_an_answer() -> None:
    async def app(_: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"10")]})
        await send({"type": "http.response.body", "body": b"part", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass

    async with running(app) as (_, port), client(port) as (reader, writer):
        writer.write(GET)
        await reader.readuntil(b"part")
        # Piece by piece, and no more than is read: what the server leaves unread would reset the connection.
        head = long_head(HEAD_BYTES + 2 * HEAD_PIECE_BYTES + 1)
        for start in range(0, len(head), HEAD_PIECE_BYTES):
            writer.write(head[start : start + HEAD_PIECE_BYTES])
            for _turn in range(10):
                await asyncio.sleep(0)
        assert await reader.read() == b""


async def test_long_noise_is_refused_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    async with running(answer) as (_, port), client(port) as (reader, writer):
        writer.write(b"?" * 3 * HEAD_PIECE_BYTES)
        assert await status(reader) == b"400"
        await gone(reader)
    assert [record.getMessage() for record in caplog.records].count("Invalid HTTP request received.") == 1


def test_refusal_of_a_head_is_as_long_as_it_says() -> None:
    head, _, body = TOO_LARGE.partition(b"\r\n\r\n")
    assert b"content-length: %d\r\n" % len(body) in head


async def test_large_body_is_not_taken_for_a_head() -> None:
    async with running(answer) as (_, port), client(port) as (reader, writer):
        size = 4 * HEAD_BYTES
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)
        assert await status(reader) == b"200"
        assert (await reader.readuntil(b"\r\n\r\n") and await reader.readexactly(6)) == b"%d" % size


async def split(server: Server, port: int, first: bytes, rest: bytes) -> list[bytes]:
    """Send two pieces, the second once the server is in the middle of a head. Returns the statuses of the answers."""
    async with client(port) as (reader, writer):
        writer.write(first)
        await eventually(lambda: any(getattr(each, "_reading_head", False) for each in server.server_state.connections))
        writer.write(rest)
        answers = b""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not (answers.endswith(b"last") or b"HTTP/1.1 431" in answers):
                answers += await reader.read(65536)
    return re.findall(rb"HTTP/1.1 (\d+)", answers)


async def answer_last(scope: Scope, receive: Receive, send: Send) -> None:
    """Read the body and answer with the path."""
    while (await receive()).get("more_body", False):
        pass
    body = scope["path"].strip("/").encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


LARGE = b"x" * (HEAD_BYTES + 40_000)
POST = b"POST /%s HTTP/1.1\r\nHost: hub.example.com\r\nContent-Length: %d\r\n\r\n%s"
LARGE_POST = POST % (b"last", len(LARGE), LARGE)
HEAD_END = LARGE_POST.index(b"\r\n\r\n") + 2
SMALL_POST = POST % (b"first", 3000, b"x" * 3000)


@pytest.mark.parametrize(
    ("pieces", "count"),
    [
        ((LARGE_POST[:40], LARGE_POST[40:]), 1),
        ((LARGE_POST[:HEAD_END], LARGE_POST[HEAD_END:]), 1),
        ((SMALL_POST + LARGE_POST[:40], LARGE_POST[40:]), 2),
        ((SMALL_POST[:40], SMALL_POST[40:] + SMALL_POST * 30 + LARGE_POST), 32),
        ((SMALL_POST[:40], SMALL_POST[40:] + GET * 2000 + POST % (b"last", 0, b"")), 2002),
    ],
    ids=["body", "end of the head", "second request", "requests with bodies", "requests"],
)
async def test_bytes_that_come_with_the_rest_of_a_head_are_not_taken_for_it(
    pieces: tuple[bytes, bytes], count: int
) -> None:
    async with running(answer_last) as (server, port):
        assert await split(server, port, *pieces) == [b"200"] * count


def long_head(size: int) -> bytes:
    """A request with a head of `size` bytes."""
    start = b"POST /last HTTP/1.1\r\nContent-Length: 10\r\nX-Long: "
    return start + b"x" * (size - len(start) - 4) + b"\r\n\r\n" + b"x" * 10


@pytest.mark.parametrize("first", [20, 50_000, 100_000])
@pytest.mark.parametrize(
    ("size", "expected"), [(HEAD_BYTES, b"200"), (HEAD_BYTES + 2 * HEAD_PIECE_BYTES + 1, b"431"), (200_000, b"431")]
)
async def test_head_is_measured_however_it_comes(first: int, size: int, expected: bytes) -> None:
    head = long_head(size)
    async with running(answer_last) as (_, port), client(port) as (reader, writer):
        writer.write(head[:first])
        await asyncio.sleep(0)
        writer.write(head[first:])
        assert await status(reader) == expected


CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("size", [1, 1000, 4 * HEAD_BYTES])
async def test_chunked_body_and_what_follows_it_are_taken(size: int) -> None:
    body = b"x" * 4 * HEAD_BYTES
    count = 100 if size == 1 else len(body) // size
    chunks = (b"%x\r\n%s\r\n" % (size, body[:size])) * count
    async with running(answer) as (_, port), client(port) as (reader, writer):
        for _ in range(2):
            writer.write(CHUNKED + chunks + b"0\r\nX-Sum: 1\r\n\r\n")
            told = b"%d" % (size * count)
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
            assert await reader.readexactly(len(told)) == told


@pytest.mark.parametrize("endless", [b"x" * 1024, b"X-More: x\r\n" * 100], ids=["one header", "headers"])
async def test_endless_headers_after_a_chunked_body_are_cut_off(endless: bytes) -> None:
    async with running(answer) as (server, port), client(port) as (reader, writer):
        writer.write(CHUNKED + b"1\r\nx\r\n0\r\nX-Long: x")
        for _ in range(HEAD_BYTES // 1024 + 600):
            writer.write(endless)
            with contextlib.suppress(ConnectionResetError):
                await writer.drain()
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await status(reader) == b"431"
            await gone(reader)
        await eventually(lambda: not server.server_state.connections)


@pytest.mark.parametrize("begun", [b"", b"GET / HTTP/1.1\r\nHost:", GET + b"GET / HT", CHUNKED + b"1\r\nx\r\n0\r\nX-"])
async def test_request_head_that_never_ends_is_cut_off(monkeypatch: pytest.MonkeyPatch, begun: bytes) -> None:
    monkeypatch.setattr(transport, "HEAD_SECONDS", QUICK_SECONDS)
    async with running(answer) as (server, port), client(port) as (reader, writer):
        writer.write(begun)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await gone(reader)
        await eventually(lambda: not server.server_state.connections)


async def test_connection_kept_alive_outlives_the_limit_on_heads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "HEAD_SECONDS", 5 * QUICK_SECONDS)
    async with running(answer) as (_, port), client(port) as (reader, writer):
        writer.write(GET)
        await reader.readuntil(b"\r\n\r\n0")
        async with client(port) as (silent, _writer):
            await gone(silent)
        writer.write(GET)
        assert await status(reader) == b"200"


async def test_request_that_begins_within_the_time_of_an_idle_connection_may_come_later() -> None:
    async with running(answer, timeout_keep_alive=QUICK_SECONDS) as (_, port), client(port) as (reader, writer):
        writer.write(GET)
        await reader.readuntil(b"\r\n\r\n0")
        writer.write(GET[:20])
        async with client(port) as (idle, writes):
            writes.write(GET)
            await gone(idle)
        writer.write(GET[20:])
        assert await status(reader) == b"200"


async def test_chunk_may_come_more_slowly_than_a_head(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "HEAD_SECONDS", QUICK_SECONDS)
    async with running(answer) as (server, port), client(port) as (reader, writer):
        writer.write(CHUNKED + b"5\r\n")
        await eventually(lambda: any(getattr(each, "_reading_head", False) for each in server.server_state.connections))
        writer.write(b"xx")
        async with client(port) as (silent, _writer):
            await gone(silent)
        writer.write(b"xxx\r\n0\r\n\r\n")
        assert await status(reader) == b"200"


async def test_request_that_began_before_the_last_answer_is_not_cut_off_while_it_is_carried_out() -> None:
    lets = asyncio.Semaphore(0)
    asked = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        asked.append(scope["path"])
        if scope["path"] == "/slow":
            await lets.acquire()
        await answer(scope, receive, send)

    slow = GET.replace(b"/ ", b"/slow ")
    async with running(app, timeout_keep_alive=QUICK_SECONDS) as (server, port), client(port) as (reader, writer):
        writer.write(slow)
        await eventually(lambda: asked)
        writer.write(slow[:20])
        await eventually(lambda: any(getattr(each, "_reading_head", False) for each in server.server_state.connections))
        lets.release()
        await reader.readuntil(b"\r\n\r\n0")
        writer.write(slow[20:])
        await eventually(lambda: len(asked) == 2)
        async with client(port) as (idle, writes):
            writes.write(GET)
            await gone(idle)
        lets.release()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await reader.readuntil(b"\r\n\r\n0")


async def test_answers_while_draining_are_the_last_on_their_connection() -> None:
    async with running(answer) as (server, port), client(port) as (reader, writer):
        writer.write(GET)
        assert b"connection: close" not in await reader.readuntil(b"\r\n\r\n0")
        assert isinstance(server.server_state, HubState)
        server.server_state.draining = True
        writer.write(GET)
        assert b"connection: close" in await reader.readuntil(b"\r\n\r\n0")
        assert await reader.read() == b""


@pytest.mark.parametrize("asked_before", [False, True])
async def test_request_just_as_the_server_ends_is_answered(asked_before: bool) -> None:
    async with running(answer) as (server, port), client(port) as (reader, writer):
        if asked_before:
            writer.write(GET)
            await reader.readuntil(b"\r\n\r\n0")
        await eventually(lambda: server.server_state.connections)
        assert isinstance(server.server_state, HubState)
        server.server_state.draining = server.should_exit = True
        await eventually(lambda: not server.servers[0].is_serving())
        writer.write(GET)
        assert b"connection: close" in await reader.readuntil(b"\r\n\r\n0")


async def test_server_that_ends_closes_each_connection_with_its_last_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "LAST_SECONDS", QUICK_SECONDS)
    lets = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/slow":
            await lets.wait()
        await answer(scope, receive, send)

    async with (
        running(app, timeout_graceful_shutdown=2 * PATIENCE_SECONDS) as (server, port),
        client(port) as (asks, asking),
        client(port) as (idles, idling),
        asyncio.timeout(PATIENCE_SECONDS),
    ):
        idling.write(GET)
        await idles.readuntil(b"\r\n\r\n0")
        asking.write(GET.replace(b"/ ", b"/slow "))
        await eventually(lambda: server.server_state.tasks)
        server.should_exit = True
        await gone(idles)
        lets.set()
        assert b"connection: close" in await asks.readuntil(b"\r\n\r\n0")
        await gone(asks)


async def answer_at_once(_: Scope, __: Receive, send: Send) -> None:
    """Answer without reading the body."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1")]})
    await send({"type": "http.response.body", "body": b"x"})


@pytest.mark.parametrize(
    "then", [b"", b"\r\n", b"x", b"G"], ids=["nothing", "line", "byte of a body", "byte of a head"]
)
async def test_connection_that_asks_nothing_more_is_let_go(monkeypatch: pytest.MonkeyPatch, then: bytes) -> None:
    monkeypatch.setattr(transport, "HEAD_SECONDS", QUICK_SECONDS)
    head = GET.replace(b"\r\n\r\n", b"\r\nContent-Length: 10\r\n\r\n") if then == b"x" else GET
    async with running(answer_at_once, timeout_keep_alive=QUICK_SECONDS) as (server, port):
        async with client(port) as (reader, writer), asyncio.timeout(PATIENCE_SECONDS):
            writer.write(head)
            await reader.readuntil(b"\r\n\r\nx")
            writer.write(then)
            await gone(reader)
        await eventually(lambda: not server.server_state.connections)
