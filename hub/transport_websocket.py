"""The WebSocket under the hub: uvicorn's, with the gaps closed that were measured in it.

Promise: as in `transport`. Read and measured on uvicorn 0.54, 2026-11-23.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request
from websockets.protocol import State

from hub.live.allowance import TOO_MANY_FRAMES_REASON, Allowance
from hub.live.close_codes import CloseCode
from hub.live.extension import TRANSPORT_EXTENSION

FRAMES_BYTES = 1024
"""How many bytes are parsed before their frames are counted: 170 of the smallest, under 1 ms of work."""

EARLY_BYTES = 64 * 1024
"""The most that a client may say before it is let in."""

CLOSE_SECONDS = 10.0
"""How long a client has to answer a close before its connection is cut."""

REFUSED_SECONDS = 1.0
"""How long a client that is refused, for a mistake or too many frames, has to read why and to end the connection."""

DROPPED_BYTES = 8 * 1024 * 1024
"""How much a client that is refused may send meanwhile; it is dropped."""


class _Inbox:
    """The part of an `asyncio.Queue` that uvicorn uses, at a tenth of its size; only one task may read it."""

    __slots__ = ("_messages", "_reader")

    def __init__(self) -> None:
        self._messages: list[Any] = []
        self._reader: asyncio.Future[None] | None = None

    def put_nowait(self, message: Any) -> None:
        self._messages.append(message)
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    async def get(self) -> Any:
        while not self._messages:
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        return self._messages.pop(0)

    def empty(self) -> bool:
        return not self._messages


class HubWebSocket(WebSocketsSansIOProtocol):
    """A WebSocket that lets go of a peer that is gone, and of one that says too much.

    To end a connection, uvicorn waits until the peer has read all that was written, which a dead or stuck peer never
    does; here an overdue connection is aborted. uvicorn answers every ping, however many come and whether or not the
    answers are read; here all frames are counted. And a peer's mistake puts no traceback in the log.
    """

    _early = b""
    """What the peer said before it was let in: nothing, nearly always."""

    _to_drop: int | None = None
    """How many more bytes of a peer that is refused are dropped; None of any other."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.queue = _Inbox()  # type: ignore[assignment]
        self._allowance = Allowance(self.loop.time())

    def data_received(self, data: bytes) -> None:
        if self._to_drop is not None:
            self._drop(data)
        elif not self.handshake_initiated:
            super().data_received(data)
            if not self.handshake_initiated:
                # uvicorn's HTTP parser took this head, this one refuses it: the answer is ready, but nobody sends it.
                self.transport.write(b"".join(self.conn.data_to_send()))
                self.transport.close()
        elif not self.handshake_complete:
            # It should have waited for the answer (RFC 6455, 4.1), and no answer may come before that.
            self._early += data
            if len(self._early) > EARLY_BYTES:
                self.transport.abort()
        else:
            # In pieces: otherwise the parser would read thousands of frames before one of them can be refused.
            for start in range(0, len(data), FRAMES_BYTES):
                if self.transport.is_closing() or self._to_drop is not None:
                    break
                super().data_received(data[start : start + FRAMES_BYTES])
        if self.transport.is_closing() and self.close_timer is None:
            self.close_timer = self.loop.call_later(CLOSE_SECONDS, self.transport.abort)

    def handle_events(self) -> None:
        frames = len(self.conn.events) if self.handshake_initiated else 0
        if self._allowance.take(frames, self.loop.time()):
            super().handle_events()
        else:
            self._refuse_more()

    def _refuse_more(self) -> None:
        """Take nothing more of a peer that sends too many frames; tell it why where a close can be sent."""
        if self.conn.state is not State.OPEN:
            self.transport.abort()
            return
        # What it said now is not used, and its pings are not answered.
        self.conn.events_received()
        self.conn.data_to_send()
        self.conn.fail(CloseCode.TOO_MANY_FRAMES, TOO_MANY_FRAMES_REASON)
        self.handle_parser_exception()

    def handle_parser_exception(self) -> None:
        """Write the close that a peer's mistake has caused, and tell the application of it; take nothing more."""
        close = self.conn.close_sent
        if close is None or self.close_sent:
            self.transport.abort()
            return
        self.close_sent = True
        self.stop_keepalive()
        self.scope["extensions"][TRANSPORT_EXTENSION]["closed"] = close.code
        self.queue.put_nowait({"type": "websocket.disconnect", "code": close.code, "reason": close.reason})
        self.transport.write(b"".join(self.conn.data_to_send()))
        # Closing while the peer still sends would cause a reset, which can overtake the code. So only the way to the
        # peer is closed (RFC 6455, 7.1.1), and what still comes is read, until the peer closes its own.
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._to_drop = DROPPED_BYTES
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        self.close_timer = self.loop.call_later(REFUSED_SECONDS, self.transport.abort)

    def _drop(self, data: bytes) -> None:
        assert self._to_drop is not None
        self._to_drop -= len(data)
        if self._to_drop < 0:
            self.transport.abort()

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        # By now uvicorn has made the task that runs the application, but the task has not begun. Without a scope the
        # client was refused.
        if scope := getattr(self, "scope", None):
            scope["extensions"][TRANSPORT_EXTENSION] = {"transport": self.transport, "frame": self.write_frame}

    def write_frame(self, frame: bytes) -> bool:
        """Write whole frames at once; False if the peer does not read fast enough or the socket is not open."""
        if self.close_sent or not self.handshake_complete or not self.writable.is_set() or self.transport.is_closing():
            return False
        self.transport.write(frame)
        return True

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self.transport.abort()

    def send_receive_event_to_app(self) -> None:
        """Pass a message on; a text that is not UTF-8 is the peer's mistake, and needs no traceback in the log."""
        if self.curr_msg_data_type == "text" and not self.close_sent:
            try:
                b"".join(self.frames).decode()
            except UnicodeDecodeError:
                self.frames = []
                self.conn.send_close(CloseCode.NOT_UTF_8)
                self.handle_parser_exception()
                return
        super().send_receive_event_to_app()

    async def send(self, message: Any) -> None:
        await super().send(message)
        if message["type"] == "websocket.accept":
            # Nobody asks for these again, and the socket may be open for days.
            del self.request, self.response
            if early := self._early:
                del self._early
                self.data_received(early)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body", False):
            # A refusal completes the handshake too; otherwise uvicorn would log each as an error.
            self.handshake_complete = True
        if message["type"] == "websocket.close" and self.close_timer is not None:
            self.close_timer.cancel()
            self.close_timer = self.loop.call_later(CLOSE_SECONDS, self.transport.abort)
