"""A TCP proxy that misbehaves on request, for tests of what a link does when the network is bad.

It never loses or reorders bytes by itself: like a real network it can be late, silent, refused, reset or
closed in one direction. It runs on the event loop of whoever enters it.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from types import TracebackType
from typing import Literal, Self, cast

CHUNK_BYTES = 65536
SSL_REQUEST = struct.pack("!ii", 8, 80877103)


class ToxicProxy:
    """Forwards to `host`:`port` from `self.port` on loopback. `delay` is seconds, for every chunk.

    With `tls` it speaks TLS to its clients and plain text to the server.
    """

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> None:
        self.port = 0
        self.delay = 0.0
        self.accepted = 0
        self._upstream = (host, port)
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._links: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._half_closed: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def lead_to(self, port: int) -> None:
        """Make new links lead to another port from now on."""
        self._upstream = (self._upstream[0], port)

    @property
    def open(self) -> int:
        """How many links are open."""
        return len(self._links)

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close_listener()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def listen(self) -> None:
        """Accept connections; after `refuse`, on the same port again."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]

    def refuse(self) -> None:
        """Reset every link and refuse new ones, as when the other machine's process is gone."""
        self._close_listener()
        self.reset()

    def reset(self) -> None:
        """Reset every link (RST, not FIN)."""
        for link in list(self._links):
            for writer in link:
                _reset(writer)

    def go_silent(self) -> None:
        """Keep every link open and accept new ones, but forward nothing."""
        self._flowing.clear()

    def speak(self) -> None:
        """End the silence: what was held back flows again."""
        self._flowing.set()

    def half_close(self, toward: Literal["client", "server"]) -> None:
        """End one direction of every link (FIN), and drop what follows in it; the other direction goes on."""
        for client, server in list(self._links):
            writer = client if toward == "client" else server
            self._half_closed.add(writer)
            if writer.can_write_eof() and not writer.is_closing():
                writer.write_eof()

    def _close_listener(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = cast("asyncio.Task[None]", asyncio.current_task())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.accepted += 1
        try:
            await self._flowing.wait()
            await self._greet(reader, writer)
            upstream_reader, upstream = await asyncio.open_connection(*self._upstream)
        except (OSError, EOFError, asyncio.CancelledError):
            _reset(writer)
            return
        link = (writer, upstream)
        self._links.add(link)
        try:
            pumps = [
                asyncio.create_task(self._pump(reader, upstream)),
                asyncio.create_task(self._pump(upstream_reader, writer)),
            ]
            try:
                await asyncio.gather(*pumps)
            finally:
                for pump in pumps:
                    pump.cancel()
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._links.discard(link)
            self._half_closed.difference_update(link)
            for each in link:
                _reset(each)

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """What a client and this proxy say to each other before anything is forwarded."""

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Copy one direction until it ends, then pass the end on."""
        while chunk := await reader.read(CHUNK_BYTES):
            if self.delay:
                await asyncio.sleep(self.delay)
            await self._flowing.wait()
            if writer in self._half_closed:
                continue
            if writer.is_closing():
                raise ConnectionResetError
            writer.write(chunk)
            await writer.drain()
        await self._flowing.wait()
        if writer.can_write_eof() and not writer.is_closing():
            writer.write_eof()
        elif not writer.is_closing():
            writer.close()  # TLS cannot end one direction alone.


class TlsPostgres(ToxicProxy):
    """Speaks TLS for a PostgreSQL that cannot, and refuses clients that do not, as hosts do.

    In PostgreSQL's protocol a client first asks in plain text whether the server speaks TLS. `encrypted`
    counts the clients that asked and then did speak TLS.
    """

    def __init__(self, host: str, port: int, context: ssl.SSLContext) -> None:
        super().__init__(host, port)
        self.encrypted = 0
        self._context = context

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await reader.readexactly(len(SSL_REQUEST)) != SSL_REQUEST:
            raise ConnectionRefusedError
        writer.write(b"S")
        await writer.start_tls(self._context)
        self.encrypted += 1


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    if sock is not None and not writer.is_closing():
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
