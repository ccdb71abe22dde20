"""HTTP under the hub: what a client gets that reads more slowly than it is answered, or not at all."""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from hub import transport
from hub.live.extension import TRANSPORT_EXTENSION
from tests.processes import PATIENCE_SECONDS, eventually
from tests.test_transport import GET, QUICK_SECONDS, client, running
from tests.test_transport_gone import traces

HIGH_WATER, LOW_WATER = 64 * 1024, 16 * 1024
"""A transport asks for a pause once more than the one waits in it, and ends the pause when no more than the other does
(asyncio, `WriteTransport.set_write_buffer_limits`)."""
PIECE = 16 * 1024


def carrier_of(scope: Scope, *, narrow: bool = True) -> asyncio.Transport:
    """The transport below a request. With a `narrow` one, what the client does not read waits in there: otherwise the
    kernel might take it all."""
    carrier: asyncio.Transport = scope["extensions"][TRANSPORT_EXTENSION]["transport"]
    if narrow:
        carrier.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    return carrier


class Answering:
    """An application that answers with `size` bytes in pieces; it notes the most that has waited for its client."""

    def __init__(self, size: int, piece: int, *, narrow: bool = True) -> None:
        self.size, self.piece, self.narrow = size, piece, narrow
        self.most = 0
        self.carrier: asyncio.Transport | None = None
        self.ended = False

    @property
    def waiting(self) -> int:
        return self.carrier.get_write_buffer_size() if self.carrier else 0

    async def __call__(self, scope: Scope, _: Receive, send: Send) -> None:
        self.carrier = carrier_of(scope, narrow=self.narrow)
        headers = [(b"content-length", b"%d" % self.size)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for left in range(self.size, 0, -self.piece):
            piece = b"x" * min(left, self.piece)
            await send({"type": "http.response.body", "body": piece, "more_body": left > self.piece})
            self.most = max(self.most, self.waiting)
        self.ended = True


@contextmanager
def narrow_client(port: int, request: bytes) -> Iterator[socket.socket]:
    """A client with little room for what it has not read."""
    with socket.socket() as narrow:
        narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        narrow.connect(("127.0.0.1", port))
        narrow.sendall(request)
        yield narrow


CLOSING_GET = GET[:-2] + b"Connection: close\r\n\r\n"


@pytest.mark.parametrize("request_", [GET, CLOSING_GET], ids=["keep-alive", "close"])
@pytest.mark.parametrize("size", [40_000, 8 << 20])
async def test_answer_that_is_not_read_is_not_kept(monkeypatch: pytest.MonkeyPatch, request_: bytes, size: int) -> None:
    monkeypatch.setattr(transport, "UNREAD_SECONDS", QUICK_SECONDS)
    app = Answering(size, size)
    async with running(app, timeout_keep_alive=QUICK_SECONDS) as (server, port):
        with narrow_client(port, request_):
            await eventually(lambda: server.server_state.total_requests)
            await eventually(lambda: not server.server_state.connections)


async def test_answer_that_is_still_being_given_and_not_read_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "UNREAD_SECONDS", QUICK_SECONDS)
    app = Answering(8 << 20, PIECE)
    async with running(app) as (server, port):
        with narrow_client(port, GET):
            await eventually(lambda: app.ended and not server.server_state.connections)
    assert app.most <= HIGH_WATER + PIECE


@pytest.mark.parametrize("then", [b"?", GET[:-2] + b"X-Long: " + b"x" * 200_000], ids=["noise", "head"])
async def test_refusal_that_is_not_read_is_not_kept(monkeypatch: pytest.MonkeyPatch, then: bytes) -> None:
    monkeypatch.setattr(transport, "UNREAD_SECONDS", QUICK_SECONDS)
    app = Answering(40_000, 40_000)
    async with running(app) as (server, port):
        with narrow_client(port, GET) as narrow:
            await eventually(lambda: app.ended)
            narrow.setblocking(False)
            await asyncio.get_running_loop().sock_sendall(narrow, then)
            await eventually(lambda: not server.server_state.connections)


@pytest.mark.parametrize(
    ("request_", "piece"), [(GET, PIECE), (CLOSING_GET, 8 << 20)], ids=["being answered", "answered"]
)
async def test_client_that_leaves_its_answer_unread_is_forgotten(request_: bytes, piece: int) -> None:
    app = Answering(8 << 20, piece)
    async with running(app) as (server, port):
        with narrow_client(port, request_):
            await eventually(lambda: app.waiting > HIGH_WATER)
            kept = traces(server)
        await eventually(lambda: app.ended and not server.server_state.connections)
        app.carrier = None
        await eventually(lambda: gc.collect() is not None and not any(each() for each in kept))


async def test_connection_that_waits_for_nothing_outlives_the_limit_on_what_is_not_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transport, "UNREAD_SECONDS", QUICK_SECONDS)
    app = Answering(40_000, 40_000)
    async with running(app) as (server, port), client(port) as (reader, writer):
        writer.write(GET)
        await reader.readexactly(40_000)
        with narrow_client(port, CLOSING_GET):
            await eventually(lambda: len(server.server_state.connections) == 2)
            await eventually(lambda: len(server.server_state.connections) == 1)
        writer.write(GET)
        await reader.readexactly(40_000)


async def test_last_answer_whose_end_is_not_read_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "UNREAD_SECONDS", 2 * QUICK_SECONDS)
    app = Answering(2 * HIGH_WATER, 2 * HIGH_WATER)
    async with running(app) as (server, port):
        with narrow_client(port, CLOSING_GET) as narrow:
            narrow.setblocking(False)
            await eventually(lambda: app.ended)
            while app.waiting > LOW_WATER:
                await asyncio.get_running_loop().sock_recv(narrow, 4096)
            assert app.waiting > 0
            await eventually(lambda: not server.server_state.connections)


@pytest.mark.parametrize("pieces", [1, 2048])
async def test_answer_that_is_read_slowly_is_given_whole(monkeypatch: pytest.MonkeyPatch, pieces: int) -> None:
    monkeypatch.setattr(transport, "UNREAD_SECONDS", QUICK_SECONDS)
    size = 32 << 20
    app = Answering(size, size // pieces, narrow=False)
    async with running(app) as (_, port), client(port) as (reader, writer), asyncio.timeout(PATIENCE_SECONDS):
        writer.write(GET)
        await reader.readuntil(b"\r\n\r\n")
        began, left = asyncio.get_running_loop().time(), size
        while left:
            left -= len(await reader.readexactly(min(left, 1 << 20)))
            await asyncio.sleep(QUICK_SECONDS / 10)
        assert asyncio.get_running_loop().time() - began > 2 * QUICK_SECONDS


class Taking:
    """An application that answers at once, without a task, as long as it can."""

    def __init__(self) -> None:
        self.most = self.waited = 0

    def take(self, scope: Scope, write: Callable[[bytes, bytes], bool], run: Callable[[ASGIApp], None]) -> bool:
        carrier = carrier_of(scope)
        if not write(b"content-length: 1000\r\n", b"x" * 1000):
            self.waited += 1
            run(self)
        self.most = max(self.most, carrier.get_write_buffer_size())
        return True

    async def __call__(self, _: Scope, __: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1000")]})
        await send({"type": "http.response.body", "body": b"x" * 1000})


async def test_answers_without_a_task_wait_for_a_client_that_does_not_read() -> None:
    app, count = Taking(), 1000
    async with running(app) as (_, port):
        with narrow_client(port, GET * count) as narrow:
            await eventually(lambda: app.waited)
            reader, writer = await asyncio.open_connection(sock=narrow)
            async with asyncio.timeout(PATIENCE_SECONDS):
                for _number in range(count):
                    await reader.readuntil(b"\r\n\r\n")
                    assert await reader.readexactly(1000) == b"x" * 1000
            writer.close()
    assert app.most <= HIGH_WATER + 2000
    assert app.waited < count / 4, "the others need no task"
