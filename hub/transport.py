"""The wire protocol under the hub: uvicorn's HTTP, with the gaps closed that were measured in it.

Promise: no peer, however slow or silent, holds a connection for ever or makes it grow without bound, and
the application can reach each connection's transport. Read and measured on uvicorn 0.54, 2026-11-23. A connection that
becomes a WebSocket goes on in `transport_websocket`, which keeps the same promise.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

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

LAST_SECONDS = 1.0
"""How long an idle connection is kept when the server ends: its client may be about to ask."""

WEBSOCKET_VERSION = b"13"

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
        if self._answering is not None:
            # uvicorn tells only the request read last that its client is gone.
            self._answering.disconnected = True
            self._answering.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        for start in range(0, len(data), HEAD_PIECE_BYTES):
            self._parse(data[start : start + HEAD_PIECE_BYTES])

    def _parse(self, data: bytes) -> None:
        """Parse a piece. It counts towards a head only if the head began before it: where in a piece a head begins is
        not known, so the count begins anew after that piece."""
        self._head_bytes += len(data)
        while data and not self.transport.is_closing():
            data = self._feed(data)
        if self._reading_head and not self.transport.is_closing():
            if self._head_bytes > HEAD_BYTES:
                self._refuse_head()
            else:
                self._start_head_timer()

    def _feed(self, data: bytes) -> bytes:
        """Give `data` to the parser. Returns the bytes that have to be given to it next.

        A request to speak another protocol than WebSocket is taken as if it did not ask (RFC 9110, 7.8). So is one for
        a WebSocket while an earlier request waits for its answer, which would end up among the frames. httptools does
        not read the body of either, which would be taken for the next request: behind a proxy, for one of its next
        client.
        """
        if self.parser is None:
            # The connection is a WebSocket's by now.
            cast(asyncio.Protocol, self.transport.get_protocol()).data_received(data)
            return b""
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self._refuse_noise()
        except httptools.HttpParserUpgrade as upgrade:
            (end_of_head,) = upgrade.args
            if super()._should_upgrade() and (self.cycle is None or self.cycle.response_complete):
                self.handle_websocket_upgrade()
                return data[end_of_head:]
            if self.scope["method"] != "CONNECT":
                return self._head_without_upgrade() + data[end_of_head:]
            self._refuse_noise()
        return b""

    def _head_without_upgrade(self) -> bytes:
        """The head that was parsed, without its upgrade, for a new parser, which reads the body too."""
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        head = [b"%s %s HTTP/%s" % (self.scope["method"].encode(), self.url, self.scope["http_version"].encode())]
        head += [b"%s: %s" % header for header in self.headers if header[0] != b"upgrade"]
        return b"\r\n".join([*head, b"", b""])

    def _get_upgrade(self) -> bytes | None:
        """What the request asks to speak. A header's lines are one list (RFC 9110, 5.3): uvicorn reads only one.

        Whoever asks by another method than GET, or for another version of WebSocket, asks for nothing that is spoken
        here (RFC 6455, 4.2.1).
        """

        def listed(header: bytes) -> list[bytes]:
            lines = [value for name, value in self.headers if name == header]
            return [item.strip().lower() for item in b",".join(lines).split(b",") if item.strip()]

        asked = self.scope["method"] == "GET" and listed(b"sec-websocket-version") == [WEBSOCKET_VERSION]
        return b", ".join(listed(b"upgrade")) if asked and b"upgrade" in listed(b"connection") else None

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
        if self.parser.should_upgrade():
            self._shorten_url()
        super().on_headers_complete()
        if cast(HubState, self.server_state).draining and self.cycle is not None:
            self.cycle.keep_alive = False

    def _shorten_url(self) -> None:
        """Leave path and query of a whole address, which a client may send (RFC 6455, 4.1; RFC 9112, 3.2.2). uvicorn
        does so by itself, but not for a WebSocket.
        """
        parts = httptools.parse_url(self.url)
        self.url = (parts.path or b"/") + (b"" if parts.query is None else b"?" + parts.query)

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
