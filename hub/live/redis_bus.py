"""The bus between processes: a broadcaster backend on Redis that is never deaf without knowing it.

Promise: after any failure of Redis or of the way to it, the link comes back by itself; every link made
is a new `generation` and begins with an empty message, which says that what came before it may have been
lost. Publishing never waits. broadcaster's own Redis backend (0.3.1, read and measured 2026-11-23)
delivers nothing to the first channel on redis-py 8 and stays deaf after a restart of Redis, hence this one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

from broadcaster import BroadcastBackend, Event
from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError

from hub.config import ConfigError
from hub.logs import Seldom

GAP = b""
"""The message that says: others before it may have been lost."""

MOST_DOUBLINGS = 16
"""Keeps the exponent small; the wait before the next link has reached `Limits.retry_most` long before that."""

WARNING_SECONDS = 10.0
"""The least time between two lines of the log that say that there is no link."""

WARNING_CHARACTERS = 200

AS_THE_BUS_READS: dict[str, Any] = {
    "protocol": 2,
    "decode_responses": False,
    "health_check_interval": 0,
    "socket_timeout": None,
}
"""The options of redis-py without which the bus could not read what comes. A check of its health takes the next message
for its own answer."""

logger = logging.getLogger(__name__)

Connect: TypeAlias = Callable[[], AbstractConnection]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How patient the backend is. Durations are in seconds, sizes in bytes.

    A link that carries nothing for `quiet` is asked for a sign of life, and any answer from Redis is due
    within `answer`; a whole new connection, with TLS and log-in, takes at most `connect`. Before each try to
    come back it waits for a random part (full jitter) of `retry_least`, which is doubled each time up to
    `retry_most`. A link counts as sound, and the doubling starts anew, once it has lived for `sound`. If more than
    `inbound_bytes` wait to be taken, or `outbound_bytes` to be sent, all that waits is given up for an empty message.
    """

    quiet: float = 5.0
    answer: float = 3.0
    connect: float = 8.0
    retry_least: float = 0.1
    retry_most: float = 2.0
    sound: float = 1.0
    inbound_bytes: int = 8 << 20
    outbound_bytes: int = 1 << 20


class RedisBackend(BroadcastBackend):
    """What `broadcaster.Broadcast(backend=...)` asks for, on one Redis.

    `url` is redis:// or rediss://; `insecure_tls` accepts any certificate, as hosted add-ons with
    self-signed ones need. Raises `ConfigError` if the URL cannot be read. It takes one connection for
    each channel subscribed (the hub has one) and one to publish.
    """

    def __init__(self, url: str, *, insecure_tls: bool = False, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._connect = _connector(url, insecure_tls)
        self._inbound: asyncio.Queue[Event] = asyncio.Queue()
        self._inbound_bytes = 0
        self._overflows = 0
        self._listeners: dict[str, _Listener] = {}
        self._sender = _Sender(self._connect, self._limits)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        """Each listener's by its channel, and the sender's under no name."""
        self._ended: list[asyncio.Task[None]] = []

    @property
    def up(self) -> bool:
        """Whether messages come in and go out, as far as can be known now."""
        listeners = self._listeners.values()
        return bool(listeners) and all(each.linked for each in listeners) and self._sender.linked

    @property
    def generation(self) -> int:
        """How often earlier messages may have been lost: the links made, plus the inbound overflows."""
        return self._overflows + sum(each.links for each in self._listeners.values())

    def renew(self) -> None:
        """Make every link anew: those there are may lead to different servers."""
        for each in (*self._listeners.values(), self._sender):
            each.renew()

    async def connect(self) -> None:
        """Begin to work. Returns at once; whether Redis answers is seen in `up`."""
        self._tasks[""] = asyncio.create_task(self._sender.run(), name="bus sender")

    async def disconnect(self) -> None:
        """Send what waits, for as long as one answer may take; then let go of every connection."""
        await self._sender.flush()
        for channel in list(self._tasks):
            self._end(channel)
        if self._ended:
            await asyncio.wait(self._ended, timeout=self._limits.answer)
        self._ended.clear()

    async def subscribe(self, channel: str) -> None:
        """Listen to `channel` from now on. Never suspends, so broadcaster cannot interleave two."""
        listener = _Listener(channel, self._connect, self._limits, self._receive)
        self._listeners[channel] = listener
        self._tasks[channel] = asyncio.create_task(listener.run(), name="bus listener")

    async def unsubscribe(self, channel: str) -> None:
        """Listen to `channel` no more. Never suspends; its connection closes soon after."""
        self._end(channel)
        self._listeners.pop(channel, None)

    async def publish(self, channel: str, message: bytes) -> None:
        """Send `message` as soon as it can be. Never waits.

        What could not be sent is sent again when the link is back, so a message may arrive twice. When
        more waits than the limit allows, all of it is given up for one empty message.
        """
        self._sender.put(channel, message)

    async def next_published(self) -> Event:
        """The next message that came in, or an empty one where some may be missing."""
        # Give the subscriber one turn of the loop to take the last event: its queue in broadcaster has no bound.
        await asyncio.sleep(0)
        event = await self._inbound.get()
        self._inbound_bytes -= len(event.message)
        return event

    def _receive(self, channel: str, message: bytes) -> None:
        if self._inbound_bytes + len(message) > self._limits.inbound_bytes:
            while not self._inbound.empty():
                self._inbound.get_nowait()
            self._inbound_bytes = 0
            self._overflows += 1
            message = GAP
        self._inbound_bytes += len(message)
        self._inbound.put_nowait(Event(channel, cast(str, message)))

    def _end(self, channel: str) -> None:
        if task := self._tasks.pop(channel, None):
            task.cancel()
            self._ended.append(task)


class _Supervised:
    """A connection that is made again, with back-off and full jitter, for as long as `run` runs."""

    def __init__(self, name: str, connect: Connect, limits: Limits) -> None:
        self.linked = False
        self._name = name
        self._connect = connect
        self._limits = limits
        self._warnings = Seldom(WARNING_SECONDS)
        self._said_down = False
        self._use_ends: asyncio.Timeout | None = None

    def renew(self) -> None:
        """Give up the link there is, if any, for a new one."""
        self.linked = False
        if self._use_ends is not None and not self._use_ends.expired():
            self._use_ends.reschedule(asyncio.get_running_loop().time())

    async def run(self) -> None:
        """Hold the link until cancelled."""
        failures = 0
        while True:
            connection = self._connect()
            began = time.monotonic()
            try:
                async with asyncio.timeout(self._limits.connect):
                    await connection.connect()  # type: ignore[no-untyped-call]
                async with asyncio.timeout(None) as self._use_ends:
                    await self._use(connection)
            except Exception as error:
                self._warn(error)
            finally:
                self.linked, self._use_ends = False, None
                await _close(connection)
            sound = time.monotonic() - began >= self._limits.sound
            failures = 0 if sound else min(failures + 1, MOST_DOUBLINGS)
            most = min(self._limits.retry_most, self._limits.retry_least * 2**failures)
            await asyncio.sleep(random.uniform(0, most))

    async def _use(self, connection: AbstractConnection) -> None:
        """Work on a connection that was just made, until it fails."""
        raise NotImplementedError

    def _linked(self) -> None:
        self.linked = True
        if self._said_down:
            self._said_down = False
            logger.info("the %s of the bus is up again", self._name)

    def _warn(self, error: Exception) -> None:
        """Say that the link is down: at most once in WARNING_SECONDS, however it flaps."""
        if not self._warnings.may_say():
            return
        self._said_down = True
        reason = " ".join(str(error).split())[:WARNING_CHARACTERS] or "no answer in time"
        if "CERTIFICATE_VERIFY_FAILED" in reason:
            reason += "; set HUB_REDIS_INSECURE_TLS=1 if its certificate is known to be self-signed"
        known = isinstance(error, RedisError | OSError)
        logger.warning(
            "the %s of the bus is down, trying again: %s",
            self._name,
            reason,
            exc_info=None if known else error,
        )


class _Listener(_Supervised):
    """One channel, listened to."""

    def __init__(self, channel: str, connect: Connect, limits: Limits, receive: Callable[[str, bytes], None]) -> None:
        super().__init__("listener", connect, limits)
        self.links = 0
        self._channel = channel
        self._receive = receive

    async def _use(self, connection: AbstractConnection) -> None:
        reply = await self._ask(connection, "SUBSCRIBE", self._channel)
        while True:
            self._take(reply)
            reply = await connection.read_response(timeout=self._limits.quiet)
            if reply is None:
                reply = await self._ask(connection, "PING")

    async def _ask(self, connection: AbstractConnection, *command: str) -> object:
        """Send `command` and take whatever comes next: any sign of life will do."""
        async with asyncio.timeout(self._limits.answer):
            await connection.send_command(*command)
            return await connection.read_response()

    def _take(self, reply: object) -> None:
        match reply:
            case [b"message", _, bytes(message)]:
                self._receive(self._channel, message)
            case [b"subscribe", _, _]:
                self.links += 1
                self._linked()
                self._receive(self._channel, GAP)
            case _:
                pass


class _Sender(_Supervised):
    """What waits to be published, sent in pipelines."""

    def __init__(self, connect: Connect, limits: Limits) -> None:
        super().__init__("sender", connect, limits)
        self._waiting: deque[tuple[str, bytes]] = deque()
        self._bytes = 0
        self._wake = asyncio.Event()
        self._sent = asyncio.Event()
        self._sent.set()

    def put(self, channel: str, message: bytes) -> None:
        """Add `message` to what waits; beyond the limit, trade all that waits for one gap a channel."""
        self._waiting.append((channel, message))
        self._bytes += len(message)
        if self._bytes > self._limits.outbound_bytes:
            self._waiting = deque((each, GAP) for each in dict.fromkeys(each for each, _ in self._waiting))
            self._bytes = 0
        self._sent.clear()
        self._wake.set()

    async def flush(self) -> None:
        """Wait until nothing waits, but no longer than for one answer."""
        try:
            async with asyncio.timeout(self._limits.answer):
                await self._sent.wait()
        except TimeoutError:
            logger.warning("the bus was down at the end; the log will tell what it did not")

    async def _use(self, connection: AbstractConnection) -> None:
        self._linked()
        while True:
            await self._wait()
            batch, self._waiting, self._bytes = self._waiting, deque(), 0
            try:
                await self._send(connection, batch)
            except BaseException:
                self._waiting = batch + self._waiting
                self._bytes = sum(len(message) for _, message in self._waiting)
                self._wake.set()
                raise
            if not self._waiting:
                self._sent.set()

    async def _wait(self) -> None:
        """Wait for something to send, or for the link to have been quiet."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._limits.quiet):
                await self._wake.wait()
        self._wake.clear()

    async def _send(self, connection: AbstractConnection, batch: deque[tuple[str, bytes]]) -> None:
        """Send `batch` in one go and take the answers; with nothing to send, see that the link lives."""
        commands: list[tuple[str | bytes, ...]] = [("PUBLISH", *each) for each in batch] or [("PING",)]
        async with asyncio.timeout(self._limits.answer):
            await connection.send_packed_command(connection.pack_commands(commands))
            for _ in commands:
                await connection.read_response()


def connection_options(url: str, insecure_tls: bool) -> dict[str, Any]:
    """How redis-py is to connect to `url`, for whatever purpose.

    redis-py's own timeout is off: it writes under `asyncio.wait_for`, which before Python 3.12 can swallow
    a cancellation (python/cpython#86296). Every use is to be under `asyncio.timeout` instead.
    """
    options: dict[str, Any] = {"client_name": "glimpse", **AS_THE_BUS_READS}
    if insecure_tls and url.startswith("rediss://"):
        options |= {"ssl_cert_reqs": "none", "ssl_check_hostname": False}
    return options


def _connector(url: str, insecure_tls: bool) -> Connect:
    """A function that makes connections, which are not open yet. They speak RESP2: what is pushed comes as replies."""
    try:
        pool = ConnectionPool.from_url(url, **connection_options(url, insecure_tls))
        # To redis-py the query of a URL counts for more than what its caller says; it would leave the bus deaf.
        pool.connection_kwargs |= AS_THE_BUS_READS
        pool.make_connection()  # type: ignore[no-untyped-call]
    except (ValueError, TypeError, RedisError):
        raise ConfigError(
            "REDIS_URL cannot be read: set it to redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE]"
        ) from None
    return pool.make_connection


async def _close(connection: AbstractConnection) -> None:
    """Let go of `connection` without waiting for the other side."""
    try:
        await connection.disconnect(nowait=True)
    except (RedisError, OSError):
        logger.debug("closing a connection of the bus failed", exc_info=True)
