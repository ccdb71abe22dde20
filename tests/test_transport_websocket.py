"""The WebSocket under the hub: what stuck, dead and greedy peers get."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from hub import transport_websocket
from hub.live.allowance import FRAMES_AT_ONCE
from hub.live.close_codes import CloseCode
from hub.live.extension import TRANSPORT_EXTENSION
from hub.live.notices import text_frame
from tests.processes import PATIENCE_SECONDS, eventually
from tests.test_transport import QUICK_SECONDS, client, gone, running, status

HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: hub.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
HIGH_WATER = 64 * 1024
"""A transport that more waits in asks for a pause (asyncio, `WriteTransport.set_write_buffer_limits`)."""


class Writer:
    """A WebSocket application that writes until `enough` bytes wait for its client, then closes if asked to."""

    def __init__(self, enough: int, *, closes: bool) -> None:
        self.enough = enough
        self.closes = closes
        self.waiting = 0
        self.ended = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        carrier = scope["extensions"][TRANSPORT_EXTENSION]["transport"]
        while (waiting := carrier.get_write_buffer_size()) < self.enough:
            await send({"type": "websocket.send", "text": "x" * 1024})
        self.waiting = waiting
        if self.closes:
            await send({"type": "websocket.close", "code": 4008})
        while (await receive())["type"] != "websocket.disconnect":
            pass
        self.ended = True


def stuck_client(port: int) -> socket.socket:
    """A WebSocket client that reads nothing, with little room for what is sent to it."""
    stuck = socket.socket()
    stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    stuck.connect(("127.0.0.1", port))
    stuck.sendall(HANDSHAKE)
    return stuck


async def test_peer_that_answers_no_ping_is_let_go_with_what_waits_for_it() -> None:
    app = Writer(1 << 15, closes=False)
    async with running(app, ws_ping_interval=QUICK_SECONDS, ws_ping_timeout=QUICK_SECONDS) as (server, port):
        with stuck_client(port):
            await eventually(lambda: app.waiting)
            await eventually(lambda: app.ended and not server.server_state.connections)


async def test_peer_that_reads_and_answers_no_ping_is_told_why() -> None:
    options = {"ws_ping_interval": QUICK_SECONDS, "ws_ping_timeout": QUICK_SECONDS}
    async with running(Listening(), **options) as (_, port), client(port) as (reader, writer):
        writer.write(HANDSHAKE)
        await reader.readuntil(b"\r\n\r\n")
        heard = [each async for each in frames(reader)]
        assert [head for head, _payload in heard] == [PING, CLOSE]
        assert int.from_bytes(heard[-1][1][:2]) == 1011


async def test_socket_that_is_open_is_not_cut_off_however_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_websocket, "CLOSE_SECONDS", QUICK_SECONDS)
    async with running(Listening(), ws_ping_interval=QUICK_SECONDS) as (_, port), client(port) as (reader, writer):
        writer.write(HANDSHAKE)
        await reader.readuntil(b"\r\n\r\n")
        heard = frames(reader)
        for _number in range(3):
            head, payload = await anext(heard)
            assert head == PING
            writer.write(frame(PONG, payload))


async def test_frame_is_written_at_once_while_its_socket_is_open() -> None:
    app = Listening()
    app.accepts.clear()
    async with running(app) as (_, port):
        async with client(port) as (reader, writer):
            writer.write(HANDSHAKE)
            await eventually(lambda: app.scope)
            assert not app.write(b"early")
            app.accepts.set()
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
            assert app.write(b"now")
            heard = frames(reader)
            assert await anext(heard) == (TEXT, b"now")
            app.closes.set()
            assert (await anext(heard))[0] == CLOSE
            assert not app.write(b"late")
        async with client(port) as (reader, writer):
            app.closes.clear()
            writer.write(HANDSHAKE)
            await reader.readuntil(b"\r\n\r\n")
            writer.write(frame(CLOSE))
            await gone(reader)
        assert not app.write(b"too late")


async def test_frame_is_not_written_while_the_client_has_not_read_enough() -> None:
    app = Listening()
    async with running(app) as (_, port):
        with stuck_client(port) as stuck:
            await eventually(lambda: app.accepted)
            while app.write(b"x" * 1000):
                assert app.carrier.get_write_buffer_size() <= HIGH_WATER + 1004
            stuck.setblocking(False)
            while not app.write(b"x"):
                await asyncio.get_running_loop().sock_recv(stuck, 4096)


async def test_peer_that_does_not_take_the_close_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_websocket, "CLOSE_SECONDS", QUICK_SECONDS)
    app = Writer(1 << 15, closes=True)
    async with running(app, ws_ping_interval=None) as (server, port):
        with stuck_client(port):
            await eventually(lambda: app.waiting)
            await eventually(lambda: app.ended and not server.server_state.connections)


TEXT, BEGUN, CONTINUED, CLOSE, PING, PONG = 0x81, 0x01, 0x00, 0x88, 0x89, 0x8A


def frame(head: int, payload: bytes = b"") -> bytes:
    """A frame as a client sends it, masked with zeros."""
    return bytes([head, 0x80 | len(payload)]) + bytes(4) + payload


async def frames(reader: asyncio.StreamReader) -> AsyncIterator[tuple[int, bytes]]:
    """The frames that come until the connection ends, each with its head."""
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionResetError):
        while True:
            head, length = await reader.readexactly(2)
            yield head, await reader.readexactly(length)


class Listening:
    """A WebSocket application that notes what it receives. It accepts, and closes, when told to by an event."""

    def __init__(self) -> None:
        self.accepts, self.closes = asyncio.Event(), asyncio.Event()
        self.accepts.set()
        self.heard: list[dict[str, Any]] = []
        self.scope: Scope = {}
        self.accepted = False

    @property
    def carrier(self) -> asyncio.Transport:
        carrier: asyncio.Transport = self.scope["extensions"][TRANSPORT_EXTENSION]["transport"]
        return carrier

    def write(self, payload: bytes) -> bool:
        """Write a text frame at once, if that can be."""
        return bool(self.scope["extensions"][TRANSPORT_EXTENSION]["frame"](text_frame(payload)))

    @property
    def ended(self) -> bool:
        return bool(self.heard) and self.heard[-1]["type"] == "websocket.disconnect"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope, self.heard = scope, []
        await receive()
        await self.accepts.wait()
        await send({"type": "websocket.accept"})
        self.accepted = True
        closing = asyncio.create_task(self.close(send))
        while not self.ended:
            self.heard.append(dict(await receive()))
        closing.cancel()

    async def close(self, send: Send) -> None:
        await self.closes.wait()
        await send({"type": "websocket.close", "code": 4008})


FLOODS = {
    "ping": frame(PING, b"x" * 125) * 50_000,
    "empty ping": frame(PING) * 50_000,
    "pong": frame(PONG) * 50_000,
    "text": frame(TEXT, b"x") * 50_000,
    "fragment": frame(BEGUN) + frame(CONTINUED) * 50_000,
}


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS)
async def test_frames_beyond_the_allowance_are_closed_with_4429(monkeypatch: pytest.MonkeyPatch, flood: bytes) -> None:
    monkeypatch.setattr(transport_websocket, "REFUSED_SECONDS", QUICK_SECONDS)
    app = Listening()
    async with running(app) as (server, port), client(port) as (reader, writer):
        writer.write(HANDSHAKE)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(flood)
        heard = [each async for each in frames(reader)]
        assert heard[-1][0] == CLOSE
        assert int.from_bytes(heard[-1][1][:2]) == CloseCode.TOO_MANY_FRAMES
        assert len(heard) - 1 <= FRAMES_AT_ONCE
        await eventually(lambda: app.ended and not server.server_state.connections)
        told = app.heard[-1]["code"], app.scope["extensions"][TRANSPORT_EXTENSION]["closed"]
        assert told == (CloseCode.TOO_MANY_FRAMES, CloseCode.TOO_MANY_FRAMES)
        assert len(app.heard) - 1 <= FRAMES_AT_ONCE


async def test_what_comes_before_the_first_frame_too_many_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_websocket, "REFUSED_SECONDS", QUICK_SECONDS)
    async with running(Listening()) as (_, port), client(port) as (reader, writer):
        writer.write(HANDSHAKE)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(FLOODS["ping"])
        heard = [head async for head, _payload in frames(reader)]
    in_a_piece = transport_websocket.FRAMES_BYTES // 125
    assert FRAMES_AT_ONCE - in_a_piece <= heard.count(PONG) <= FRAMES_AT_ONCE


@pytest.mark.parametrize("kind", [PING, TEXT], ids=["ping", "text"])
async def test_peer_that_said_too_much_is_heard_and_told_nothing_more_and_may_end_at_once(
    monkeypatch: pytest.MonkeyPatch, kind: int
) -> None:
    monkeypatch.setattr(transport_websocket, "REFUSED_SECONDS", 2 * PATIENCE_SECONDS)
    app = Listening()
    async with running(app) as (server, port), client(port) as (reader, writer):
        writer.write(HANDSHAKE)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(frame(kind, b"x" * 125) * 1000)
        heard = [head async for head, _payload in frames(reader)]
        assert heard.index(CLOSE) == len(heard) - 1
        await eventually(lambda: app.ended)
        before = len(app.heard)
        writer.write(frame(kind, b"x" * 125) * 1000)
        assert not app.write(b"late")
        writer.write_eof()
        await eventually(lambda: not server.server_state.connections)
        assert len(app.heard) == before


async def test_peer_that_is_refused_and_sends_on_for_too_long_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_websocket, "REFUSED_SECONDS", 2 * PATIENCE_SECONDS)
    async with running(Listening()) as (server, port), client(port) as (reader, writer):
        writer.write(HANDSHAKE)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(MISTAKES["not masked"][0])
        assert [head async for head, _payload in frames(reader)] == [CLOSE]
        writer.write(bytes(transport_websocket.DROPPED_BYTES))
        await writer.drain()
        assert server.server_state.connections
        writer.write(b"x")
        await eventually(lambda: not server.server_state.connections)


MISTAKES = {
    "too long": (bytes([TEXT, 0xFF]) + (1 << 23).to_bytes(8) + bytes(4) + b"x" * (1 << 23), CloseCode.TOO_LONG),
    "not UTF-8": (frame(TEXT, b"\xff"), CloseCode.NOT_UTF_8),
    "not masked": (b"\x81\x01x", CloseCode.NOT_A_FRAME),
}


@pytest.mark.parametrize(("mistake", "code"), MISTAKES.values(), ids=MISTAKES)
async def test_peer_that_makes_a_mistake_and_sends_on_is_told_the_code(mistake: bytes, code: int) -> None:
    app = Listening()
    async with running(app, ws_max_size=1 << 16) as (server, port), client(port) as (reader, writer):
        writer.write(HANDSHAKE)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(mistake)
        heard = [each async for each in frames(reader)]
        assert [(head, int.from_bytes(payload[:2])) for head, payload in heard] == [(CLOSE, code)]
        await eventually(lambda: app.ended and not server.server_state.connections)
        assert (app.heard[-1]["code"], app.scope["extensions"][TRANSPORT_EXTENSION]["closed"]) == (code, code)


async def test_pings_within_the_allowance_are_each_answered() -> None:
    app = Listening()
    async with running(app) as (_, port), client(port) as (reader, writer):
        writer.write(HANDSHAKE)
        await reader.readuntil(b"\r\n\r\n")
        sent = [b"%d" % number for number in range(FRAMES_AT_ONCE - 1)]
        writer.write(b"".join(frame(PING, each) for each in sent) + frame(TEXT, b"x"))
        answered = frames(reader)
        assert [await anext(answered) for _ in sent] == [(PONG, each) for each in sent]
        await eventually(lambda: [each.get("text") for each in app.heard] == ["x"])


@pytest.mark.parametrize("apart", [True, False])
async def test_frames_sent_before_the_handshake_is_answered_are_heard_after_it(apart: bool) -> None:
    app = Listening()
    app.accepts.clear()
    texts = [b"x" * 125] * (FRAMES_AT_ONCE - 1)
    early = frame(PING, b"early") + b"".join(frame(TEXT, each) for each in texts)
    async with running(app) as (_, port), client(port) as (reader, writer), asyncio.timeout(PATIENCE_SECONDS):
        writer.write(HANDSHAKE + (b"" if apart else early))
        await eventually(lambda: app.scope)
        if apart:
            writer.write(early[:-1])
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        app.accepts.set()
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        if apart:
            writer.write(early[-1:])
        assert await anext(frames(reader)) == (PONG, b"early")
        await eventually(lambda: [each.get("text", "").encode() for each in app.heard] == texts)


def flooding(stuck: socket.socket, flood: bytes) -> bool:
    """Send as much as there is room for; True once the connection is cut off."""
    try:
        while True:
            stuck.send(flood, socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:
        return True


@pytest.mark.parametrize("when", ["open", "not accepted", "closing"])
async def test_peer_that_only_sends_pings_and_reads_nothing_is_cut_off(
    monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    # Only one whose socket is open is told why, and so given the time to read it.
    monkeypatch.setattr(
        transport_websocket, "REFUSED_SECONDS", QUICK_SECONDS if when == "open" else 2 * PATIENCE_SECONDS
    )
    app = Listening()
    async with running(app) as (server, port):
        if when == "not accepted":
            app.accepts.clear()
        with stuck_client(port) as stuck:
            await eventually(lambda: app.scope)
            if when == "closing":
                app.closes.set()
                await eventually(lambda: app.heard)
            most = 0

            def cut_off() -> bool:
                nonlocal most
                most = max(most, app.carrier.get_write_buffer_size())
                return flooding(stuck, frame(PING, b"x" * 125) * 100) and not server.server_state.connections

            await eventually(cut_off)
            assert most <= FRAMES_AT_ONCE * 127 + 1024
        app.accepts.set()
        await eventually(lambda: not server.server_state.tasks)


@pytest.mark.parametrize("last", [frame(CLOSE), b"\xff" * 10], ids=["close", "noise"])
async def test_peer_that_ends_and_does_not_take_what_waits_is_let_go(
    monkeypatch: pytest.MonkeyPatch, last: bytes
) -> None:
    monkeypatch.setattr(transport_websocket, "CLOSE_SECONDS", QUICK_SECONDS)
    app = Writer(1 << 15, closes=False)
    async with running(app, ws_ping_interval=None) as (server, port):
        with stuck_client(port) as stuck:
            await eventually(lambda: app.waiting)
            stuck.sendall(last)
            await eventually(lambda: app.ended and not server.server_state.connections)


async def test_socket_that_is_closed_before_it_is_accepted_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    async def app(_: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.close", "code": 4008})

    async with running(app) as (server, port), client(port) as (reader, writer):
        writer.write(HANDSHAKE)
        assert await status(reader) == b"403"
        await gone(reader)
        await eventually(lambda: not server.server_state.tasks)
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


async def test_upgrade_with_a_header_too_long_for_a_websocket_is_refused() -> None:
    async with running(Listening()) as (server, port), client(port) as (reader, writer):
        writer.write(HANDSHAKE[:-2] + b"Cookie: " + b"x" * 20_000 + b"\r\n\r\n")
        assert await status(reader) == b"431"
        await gone(reader)
        await eventually(lambda: not server.server_state.connections)
