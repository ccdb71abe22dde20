"""HTTP under the hub: what slow, silent and greedy peers get."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import uvicorn
import uvloop
from starlette.types import ASGIApp, Receive, Scope, Send

from hub import transport
from hub.transport import HEAD_BYTES, HubHttp, HubState, HubWebSocket
from tests.processes import eventually

GET = b"GET / HTTP/1.1\r\nHost: hub.example.com\r\n\r\n"
QUICK_SECONDS = 0.2


class Server(uvicorn.Server):
    """uvicorn on the test's own loop, with our protocols, and without handlers for signals."""

    def __init__(self, app: Any, **options: Any) -> None:
        config = uvicorn.Config(
            app, http=HubHttp, ws=HubWebSocket, log_config=None, lifespan="off", access_log=False, **options
        )
        super().__init__(config)
        self.server_state = HubState()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def running(app: Any, **options: Any) -> AsyncIterator[tuple[Server, int]]:
    """A server and its port."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = Server(app, timeout_graceful_shutdown=1, timeout_keep_alive=60, **options)
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


async def test_large_body_is_not_taken_for_a_head() -> None:
    async with running(answer) as (_, port), client(port) as (reader, writer):
        size = 4 * HEAD_BYTES
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)
        assert await status(reader) == b"200"
        assert (await reader.readuntil(b"\r\n\r\n") and await reader.readexactly(6)) == b"%d" % size


@pytest.mark.parametrize("begun", [b"", b"GET / HTTP/1.1\r\nHost:", GET + b"GET / HT"])
async def test_request_head_that_never_ends_is_cut_off(monkeypatch: pytest.MonkeyPatch, begun: bytes) -> None:
    monkeypatch.setattr(transport, "HEAD_SECONDS", QUICK_SECONDS)
    async with running(answer) as (server, port), client(port) as (reader, writer):
        writer.write(begun)
        async with asyncio.timeout(10):
            await gone(reader)
        await eventually(lambda: not server.server_state.connections)


async def test_connection_kept_alive_outlives_the_limit_on_heads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "HEAD_SECONDS", QUICK_SECONDS)
    async with running(answer) as (_, port), client(port) as (reader, writer):
        writer.write(GET)
        await reader.readuntil(b"\r\n\r\n0")
        async with client(port) as (silent, _writer):
            await gone(silent)
        writer.write(GET)
        assert await status(reader) == b"200"


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


class Later:
    """An application that answers as many requests as it is let; without a task of its own if it `takes`."""

    def __init__(self, *, takes: bool) -> None:
        self.lets = asyncio.Semaphore(0)
        self.asked = self.answered = 0
        self.waiting: set[asyncio.Task[None]] = set()
        if takes:
            self.take = self._take

    def _take(self, _: Scope, write: Callable[[bytes, bytes], bool], run: Callable[[ASGIApp], None]) -> bool:
        async def wait() -> None:
            await self.lets.acquire()
            if not write(b"content-length: 1\r\n", b"x"):
                run(answer)
            self.answered += 1

        self.asked += 1
        self.waiting.add(asyncio.create_task(wait()))
        return True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked += 1
        await self.lets.acquire()
        await answer(scope, receive, send)
        self.answered += 1


@pytest.mark.parametrize("takes", [True, False])
@pytest.mark.parametrize("requests", [1, 3])
def test_client_that_goes_away_before_it_is_answered_is_no_error(
    caplog: pytest.LogCaptureFixture, takes: bool, requests: int
) -> None:
    async def leave() -> None:
        app = Later(takes=takes)
        async with running(app) as (server, port):
            async with client(port) as (reader, writer):
                writer.write(GET * requests)
                await eventually(lambda: app.asked)
                if requests > 1:
                    app.lets.release()
                    await reader.readuntil(b"\r\n\r\n")
            await eventually(lambda: not server.server_state.connections)
            app.lets.release()
            await eventually(lambda: app.answered == app.asked and not server.server_state.tasks)
            assert app.asked == min(requests, 2)

    # As the hub is run: uvloop, unlike asyncio, raises where something is written to a closed transport.
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(leave())
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
