"""The two wire protocols under the hub: uvicorn's, with the gaps closed that were measured in them.

Promise: no peer, however slow or silent, holds a connection for ever or makes it grow without bound, and
the application can reach each connection's transport. Read and measured on uvicorn 0.54, 2026-11-23.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.http11 import Request
from websockets.protocol import State

from hub.live.allowance import TOO_MANY_FRAMES_REASON, Allowance
from hub.live.close_codes import CloseCode
from hub.live.extension import TRANSPORT_EXTENSION, Take

HEAD_BYTES = 64 * 1024
HEAD_PIECE_BYTES = 8 * 1024
"""A head is measured after each piece of this many bytes, beginning with the piece after the one that it began in. So a
head of HEAD_BYTES is always taken, and one that is more than two pieces longer never."""

HEAD_SECONDS = 60.0
"""How long a head may take from its first byte, or from the connection's beginning: a slow line's time, not a day."""

UNREAD_SECONDS = 60.0
UNREAD_BYTES = 64 * 1024
"""In each UNREAD_SECONDS a client has to read this much of an answer that waits for it, or all that is left."""

FRAMES_BYTES = 1024
"""How many bytes of a WebSocket are parsed before its frames are counted: 170 of the smallest, under 1 ms of work."""

CLOSE_SECONDS = 10.0
"""How long a client has to answer a WebSocket's close before its connection is cut."""

LAST_SECONDS = 1.0
"""How long an idle connection is kept when the server ends: its client may be about to ask."""

TOO_LARGE_TEXT = b"Request header too large.\r\n"
TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-type: text/plain; charset=utf-8\r\n"
    b"content-length: %d\r\nconnection: close\r\n\r\n%b" % (len(TOO_LARGE_TEXT), TOO_LARGE_TEXT)
)


class HubState(ServerState):
    """What the connections of one server share. While `draining`, each answer is its connection's last."""

    def __init__(self) -> None:
        super().__init__()
        self.draining = False


class HubHttp(HttpToolsProtocol):
    """HTTP/1.1 whose request heads are bounded in bytes and in time.

    uvicorn with httptools takes a head of any size, and waits for ever for one that never ends. A client
    that opens a connection has HEAD_SECONDS for its first head, and as long for any later one it begins.
    The trailer after a chunked body counts as a head too.
    """

    _reading_head = False
    _head_bytes = 0
    _head_timer: asyncio.TimerHandle | None = None
    _unread_timer: asyncio.TimerHandle | None = None
    _answering: RequestResponseCycle | None = None
    """The request being answered. `cycle` is the one read last: a client may send several before it has an answer."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_head_timer()
        self._stop_watching()
        if self._answering is not None and self._answering is not self.cycle:
            # uvicorn tells only the last request that its client is gone.
            self._answering.disconnected = True
            self._answering.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if len(data) <= HEAD_PIECE_BYTES:
            self._parse(data)
            return
        for start in range(0, len(data), HEAD_PIECE_BYTES):
            self._parse(data[start : start + HEAD_PIECE_BYTES])
            if self.parser is None or self.transport.is_closing():
                # A WebSocket by now, or refused.
                return

    def _parse(self, data: bytes) -> None:
        """Parse a piece. It counts towards a head only if the head began before it: where in a piece a head begins is
        not known."""
        if self._reading_head:
            self._head_bytes += len(data)
        while data:
            data = self._feed(data)
        if self._reading_head and not self.transport.is_closing():
            if self._head_bytes > HEAD_BYTES:
                self._refuse_head()
            else:
                self._start_head_timer()

    def _feed(self, data: bytes) -> bytes:
        """Give `data` to the parser. Returns the bytes that have to be given to it next.

        A request to speak another protocol than WebSocket is taken as if it did not ask (RFC 9110, 7.8). httptools
        does not read its body, which would be taken for the next request: behind a proxy, for one of its next client.
        """
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self._refuse_noise()
        except httptools.HttpParserUpgrade as upgrade:
            if super()._should_upgrade():
                self.handle_websocket_upgrade()
            elif self.scope["method"] == "CONNECT":
                self._refuse_noise()
            else:
                (end_of_head,) = upgrade.args
                return self._head_without_upgrade() + data[end_of_head:]
        return b""

    def _head_without_upgrade(self) -> bytes:
        """The head that was parsed, without its upgrade, for a new parser, which reads the body too."""
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        head = [b"%s %s HTTP/%s" % (self.scope["method"].encode(), self.url, self.scope["http_version"].encode())]
        head += [b"%s: %s" % header for header in self.headers if header[0] != b"upgrade"]
        return b"\r\n".join([*head, b"", b""])

    def _should_upgrade(self) -> bool:
        # uvicorn asks this in order to leave alone a request that httptools gives up. It is to leave each alone, until
        # `_feed` knows where its head ends.
        return True

    def _refuse_noise(self) -> None:
        message = "Invalid HTTP request received."
        self.logger.warning(message)
        self.send_400_response(message)
        self._watch()

    def _refuse_head(self) -> None:
        answering = self._answering
        if answering is None or answering.response_complete or not answering.response_started:
            self.transport.write(TOO_LARGE)
        self.transport.close()
        self._watch()

    def handle_websocket_upgrade(self) -> None:
        self._stop_watching()
        super().handle_websocket_upgrade()
        # The parser refers back to this object: both would stay until the garbage collector looks at old objects.
        self.parser = None  # type: ignore[assignment]

    def on_message_begin(self) -> None:
        # uvicorn does this on any bytes, and a client whose bytes begin no request would never time out again.
        self._unset_keepalive_if_required()
        self._begin_head()
        super().on_message_begin()
        self.scope["extensions"] = {TRANSPORT_EXTENSION: {"transport": self.transport}}

    def on_chunk_header(self) -> None:
        """Next come the chunk's bytes or, after the last chunk, more headers, perhaps without end."""
        self._begin_head()

    def on_chunk_complete(self) -> None:
        self._end_head()

    def on_body(self, body: bytes) -> None:
        if self._reading_head:
            self._end_head()
        super().on_body(body)

    def on_headers_complete(self) -> None:
        self._end_head()
        # An answer that was ready in the midst of this head has started the keep-alive timer.
        self._unset_keepalive_if_required()
        super().on_headers_complete()
        if cast(HubState, self.server_state).draining and self.cycle is not None:
            self.cycle.keep_alive = False

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answering = cycle
        start = super()._start_asgi_task
        take: Take | None = getattr(app, "take", None)
        if take is None or not take(cycle.scope, partial(_write, cycle), partial(start, cycle)):  # type: ignore[arg-type]
            start(cycle, app)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            self._watch()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._watch()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch()

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self.transport.is_closing():
            self._stop_watching()

    def _watch(self) -> None:
        """Make sure that the client reads what was written: a connection is not closed before."""
        if self._unread_timer is None:
            waits = self.transport.get_write_buffer_size()
            self._unread_timer = self.loop.call_later(UNREAD_SECONDS, self._watch_again, waits - UNREAD_BYTES)

    def _watch_again(self, most: int) -> None:
        self._unread_timer = None
        if self.transport.get_write_buffer_size() > most:
            self.transport.abort()
        else:
            self._watch()

    def _stop_watching(self) -> None:
        if self._unread_timer is not None:
            self._unread_timer.cancel()
            self._unread_timer = None

    def shutdown(self) -> None:
        """Close, because the server ends; a request that came is answered first."""
        if self.cycle is None or self.cycle.response_complete:
            self.loop.call_later(LAST_SECONDS, super().shutdown)
        else:
            super().shutdown()

    def _begin_head(self) -> None:
        self._reading_head, self._head_bytes = True, 0

    def _end_head(self) -> None:
        self._reading_head = False
        self._stop_head_timer()

    def _start_head_timer(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_SECONDS, self.transport.abort)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


def _write(cycle: RequestResponseCycle, headers: bytes, body: bytes) -> bool:
    """As `Write`. A client that is gone, or going, needs no answer.

    uvicorn itself checks each header again every time, a third of what the smallest answer costs (26 us; 2026-11-23).
    """
    if cycle.disconnected or cycle.transport.is_closing():
        return True
    if cycle.response_started or cycle.flow.write_paused:
        return False
    own = b"".join([b"%s: %s\r\n" % header for header in cycle.default_headers])
    close = b"" if cycle.keep_alive else b"connection: close\r\n"
    cycle.transport.write(b"".join((b"HTTP/1.1 200 OK\r\n", own, headers, close, b"\r\n", body)))
    cycle.response_started = cycle.response_complete = True
    cycle.message_event.set()
    if not cycle.keep_alive:
        cycle.transport.close()
    cycle.on_response()
    return True


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

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.queue = _Inbox()  # type: ignore[assignment]
        self._allowance = Allowance(self.loop.time())

    def data_received(self, data: bytes) -> None:
        if not self.handshake_initiated:
            super().data_received(data)
            if not self.handshake_initiated and not self.transport.is_closing():
                # uvicorn's HTTP parser took this head, this one refuses it: the answer is ready, but nobody sends it.
                self.transport.write(b"".join(self.conn.data_to_send()))
                self.transport.close()
        else:
            # In pieces: otherwise the parser would read thousands of frames before one of them can be refused.
            for start in range(0, len(data), FRAMES_BYTES):
                if self.transport.is_closing():
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
        """Read nothing more of a peer that sends too many frames; tell it why where a close can be sent."""
        if self.conn.state is not State.OPEN:
            self.transport.abort()
            return
        # What it said now is not used, and its pings are not answered.
        self.conn.events_received()
        self.conn.data_to_send()
        self.conn.fail(CloseCode.TOO_MANY_FRAMES, TOO_MANY_FRAMES_REASON)
        self.close_sent = True
        self.stop_keepalive()
        self.scope["extensions"][TRANSPORT_EXTENSION]["closed"] = CloseCode.TOO_MANY_FRAMES
        self.queue.put_nowait(
            {"type": "websocket.disconnect", "code": CloseCode.TOO_MANY_FRAMES, "reason": TOO_MANY_FRAMES_REASON}
        )
        self.transport.write(b"".join(self.conn.data_to_send()))
        # Closing while the peer still sends would cause a reset, which can overtake the code.
        if not self.read_paused:
            self.transport.pause_reading()
        self.read_paused = False
        self.close_timer = self.loop.call_later(LAST_SECONDS, self.transport.abort)

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        # By now uvicorn has made the task that runs the application, but the task has not begun.
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
        if message["type"] == "websocket.http.response.body" and not message.get("more_body", False):
            # A refusal completes the handshake too; otherwise uvicorn would log each as an error.
            self.handshake_complete = True
        if message["type"] == "websocket.close" and self.close_timer is not None:
            self.close_timer.cancel()
            self.close_timer = self.loop.call_later(CLOSE_SECONDS, self.transport.abort)
