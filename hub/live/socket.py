"""One open socket: what is sent to it, and when it is over.

Promise: a socket that has nothing to send costs a timer, and no task but the server's own. What can be sent at once is;
what has to wait is sent in order by a task, which ends when nothing waits. No send lasts longer than the deadline.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.websockets import WebSocket, WebSocketDisconnect

from hub.live.close_codes import CloseCode
from hub.live.connections import Connections
from hub.live.extension import drop, extension
from hub.live.frames import Heartbeat
from hub.live.listener import Listener
from hub.live.notices import text_frame
from hub.wire import encode

GONE = (WebSocketDisconnect, RuntimeError, OSError)
"""What Starlette raises for a send to a client that has left, depending on when that was noticed."""


class CloseSocket(Exception):
    """The socket is to be closed with this code."""

    def __init__(self, code: CloseCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Disconnected(Exception):
    """The client is gone."""


class Socket:
    """One WebSocket with a deadline on every send."""

    __slots__ = ("_loop", "_send_seconds", "_websocket", "_write_frame", "spoke_at")

    def __init__(self, websocket: WebSocket, send_seconds: float) -> None:
        self._websocket = websocket
        self._send_seconds = send_seconds
        self._loop = asyncio.get_running_loop()
        self.spoke_at = self._loop.time()
        """When something was sent last, on the event loop's clock."""
        self._write_frame: Callable[[bytes], bool] | None = extension(websocket.scope).get("frame")

    async def receive(self) -> str | None:
        """The next frame's text; None for a binary one. Raises `Disconnected`."""
        message = await self._websocket.receive()
        if message["type"] == "websocket.disconnect":
            raise Disconnected
        text: str | None = message.get("text")
        return text

    def write(self, frames: bytes) -> bool:
        """Send whole frames at once; False if the server has no such way, or the client does not read fast enough."""
        if self._write_frame is None or not self._write_frame(frames):
            return False
        self.spoke_at = self._loop.time()
        return True

    async def send(self, payload: bytes) -> None:
        """Send a text frame with this payload. Raises `Disconnected`, or TimeoutError if the client does not read."""
        if self.write(text_frame(payload)):
            return
        async with asyncio.timeout(self._send_seconds):
            try:
                await self._websocket.send({"type": "websocket.send", "text": payload.decode()})
            except GONE:
                raise Disconnected from None
        self.spoke_at = self._loop.time()

    async def close(self, code: int, reason: str) -> None:
        """Close with a code; a client that does not even read that is cut off."""
        try:
            async with asyncio.timeout(min(2.0, self._send_seconds)):
                # A close has room for 123 bytes (RFC 6455, 5.5).
                await self._websocket.close(code, reason.encode()[:120].decode(errors="ignore"))
        except TimeoutError:
            self.abort()
        except GONE:
            pass

    def abort(self) -> None:
        """Drop the connection at once, with what is still buffered for it, where the server lets us."""
        drop(self._websocket.scope)


class Writer:
    """Sends a listener's events and heartbeats to its socket, from now until `stop`."""

    __slots__ = (
        *("_connections", "_group", "_heartbeat_due", "_heartbeat_seconds", "_listener", "_loop", "_sending"),
        *("_socket", "_timer"),
    )

    def __init__(
        self,
        socket: Socket,
        listener: Listener,
        connections: Connections,
        group: asyncio.TaskGroup,
        heartbeat_seconds: float,
    ) -> None:
        """Errors in sending, and the reason why the listener is closed, are raised in `group`."""
        self._socket = socket
        self._listener = listener
        self._connections = connections
        self._group = group
        self._heartbeat_seconds = heartbeat_seconds
        self._loop = asyncio.get_running_loop()
        self._sending = False
        self._heartbeat_due = False
        """Whether a heartbeat waits for its turn. If something else is sent before, it need not be sent."""
        listener.on_work = self._work
        listener.write = socket.write
        self._timer = self._loop.call_later(heartbeat_seconds, self._beat)
        if listener.has_work:
            self._work()

    def stop(self) -> None:
        """Send nothing more."""
        self._timer.cancel()
        self._listener.on_work = self._listener.write = None

    def _work(self) -> None:
        if not self._sending:
            self._sending = True
            self._listener.write = None
            self._group.create_task(self._send())

    async def _send(self) -> None:
        """Send what waits; nothing may overtake it meanwhile."""
        listener = self._listener
        while listener.has_work or self._heartbeat_due:
            if listener.closing is not None:
                raise CloseSocket(listener.closing.code, listener.closing.reason)
            if listener.behind:
                await self._connections.catch_up(listener)
            for notice in listener.take():
                await self._socket.send(notice.payload)
                self._heartbeat_due = False
            # Not after an end that left something unsent: a client goes on from the sequence that it is told.
            if self._heartbeat_due and listener.closing is None:
                self._heartbeat_due = False
                await self._socket.send(encode(Heartbeat(listener.position)))
        listener.write = self._socket.write
        self._sending = False

    def _beat(self) -> None:
        """Send a heartbeat if nothing was sent for `heartbeat_seconds`, and look again when the next may be due."""
        now = self._loop.time()
        spoke_at = self._socket.spoke_at
        if spoke_at + self._heartbeat_seconds <= now:
            if not self._sending and self._socket.write(text_frame(encode(Heartbeat(self._listener.position)))):
                spoke_at = self._socket.spoke_at
            else:
                spoke_at, self._heartbeat_due = now, True
                self._work()
        self._timer = self._loop.call_at(spoke_at + self._heartbeat_seconds, self._beat)
