"""The bus: tells every process, itself included, what one process did.

Promise: the bus is a hint, never the truth. Each parcel reaches once each process that can be reached, in the order it
was published; when some may have been lost, `resync` is called and the log tells the rest. Publishing never raises and
never waits for a network. A parcel comes back to its own process the same way, in the order in which the others get it;
while the link is down, or has fallen silent, it is handed over here at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, cast

import msgspec
from broadcaster import Broadcast
from msgspec import Struct

from hub.live.notices import Item
from hub.logs import Seldom
from hub.model import new_id

if TYPE_CHECKING:
    from hub.live.redis_bus import RedisBackend

CHANNEL = "glimpse:v1"
"""The one channel. Processes that cannot read each other's parcels must not share its name."""

FAILURE_LOG_SECONDS = 10.0
BACK_SECONDS = 0.25
"""A parcel that is not back after so long is handed over here all the same. Most are back after a millisecond."""
ASK_SECONDS = 1.0
"""How often an empty parcel is sent on a bus that has fallen silent, to see whether it comes back."""
TRIES = 3
MOST_TRIES = 48
"""After this many of these in vain the links are made anew: TRIES at first, then twice as many, up to MOST_TRIES."""
QUIET_TURNS = 10
"""After this many turns of ASK_SECONDS in which nothing was sent, an empty parcel is sent to see that it comes back."""

logger = logging.getLogger(__name__)

Deliver: TypeAlias = Callable[[Sequence[Item]], None]
Resync: TypeAlias = Callable[[], None]
Wants: TypeAlias = Callable[[str], bool]


class Parcel(Struct, frozen=True, array_like=True):
    """What travels: the items, the process that they are from, and that process's number for the parcel."""

    items: tuple[Item, ...]
    sender: str = ""
    number: int = 0


class _Awaited(NamedTuple):
    """The items of a parcel on its way back, and until when it has time, on the event loop's clock."""

    items: Sequence[Item]
    until: float


class Bus:
    """Broadcaster's bus with one subscription for the whole process.

    Without a backend it is the in-process bus: always up, generation 1. With one, `generation` counts how often parcels
    may have been missed: with each new link, and when more came than may wait here.
    """

    def __init__(self, backend: RedisBackend | None = None) -> None:
        self._backend = backend
        self._broadcast = Broadcast("memory://") if backend is None else Broadcast(backend=backend)
        self._name = new_id()
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(Parcel).decode
        self._deliver: Deliver | None = None
        self._resync: Resync | None = None
        self._wants: Wants = lambda _user_id: True
        self._reader: asyncio.Task[None] | None = None
        self._number = 0
        self._awaited: dict[int, _Awaited] = {}
        """The parcels on their way back by number, oldest first. Those that are not here were handed over."""
        self._is_silent = False
        """Whether a parcel did not come back in time, and none has since."""
        self._is_deaf = False
        """Whether it has been silent for so long that the links were made anew."""
        self._watching: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._failures = Seldom(FAILURE_LOG_SECONDS)

    @property
    def up(self) -> bool:
        """Whether what is published now reaches the other processes, and what they publish reaches this one."""
        if self._reader is None or self._reader.done():
            return False
        return self._backend is None or (self._backend.up and not self._is_deaf)

    @property
    def generation(self) -> int:
        """How often parcels may have been missed so far; 1 for ever in process."""
        return 1 if self._backend is None else self._backend.generation

    def wants(self, user_id: str) -> bool:
        """Whether anybody may be listening to this user's events; if not, they need not be published.

        Whoever begins to listen after an event's commit reads the event in the log.
        """
        return self._backend is not None or self._wants(user_id)

    async def start(self, deliver: Deliver, resync: Resync, wants: Wants | None = None) -> None:
        """Begin to hand over parcels. Returns at once, whether or not the link is up yet.

        `deliver` gets the items of one parcel; `resync` is called after each new generation and
        wherever else a parcel may have been lost. Both are called on the event loop, must not block, and
        an exception from either is logged and goes no further. `wants` tells whether a user has a listener in
        this process.
        """
        self._deliver, self._resync = deliver, resync
        self._wants = wants or self._wants
        await self._broadcast.connect()
        subscribed = asyncio.Event()
        self._reader = asyncio.create_task(self._read(subscribed), name="bus reader")
        await subscribed.wait()
        if self._backend is not None:
            self._watching = asyncio.create_task(self._watch(self._backend), name="bus watch")

    async def stop(self) -> None:
        """Stop handing over; what was published and can still be sent is sent first. Safe to repeat."""
        reader, self._reader = self._reader, None
        if reader is None:
            return
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])
        await self._broadcast.disconnect()
        reader.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reader
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._awaited.clear()

    async def publish(self, items: Sequence[Item]) -> None:
        """Send `items` to every process as one parcel. Never raises; never waits for the network."""
        if not items:
            return
        await self._publish(tuple(items))

    async def _publish(self, items: tuple[Item, ...]) -> None:
        self._number += 1
        parcel = Parcel(items, self._name, self._number)
        if self.up and not self._is_silent:
            self._await(parcel)
        else:
            self._hand_over_awaited()
            self._hand_over(parcel.items)
        try:
            await self._broadcast.publish(CHANNEL, self._encode(parcel))
        except Exception:
            self._log_failure("the bus could not take a parcel; the log will tell it")

    async def _watch(self, backend: RedisBackend) -> None:
        """Send empty parcels on a bus that is silent, or that nothing was sent on; if none comes back, have the links
        made anew.

        After a fail-over behind one address the sender may be left at one server and the listener be at another, while
        both servers answer.
        """
        asked, most, quiet, number = 0, TRIES, 0, 0
        while True:
            await asyncio.sleep(ASK_SECONDS)
            if not backend.up:
                continue
            if not self._is_silent:
                asked, most = 0, TRIES
                quiet = quiet + 1 if self._number == number else 0
                if quiet == QUIET_TURNS:
                    await self._publish(())
                    quiet = 0
                number = self._number
            elif asked < most:
                asked += 1
                await self._publish(())
            else:
                logger.warning("the bus takes parcels and brings none back: its links are made anew")
                self._is_deaf = True
                backend.renew()
                asked, most = 0, min(2 * most, MOST_TRIES)

    def _await(self, parcel: Parcel) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + BACK_SECONDS
        self._awaited[parcel.number] = _Awaited(parcel.items, until)
        if self._timer is None:
            self._timer = loop.call_at(until, self._look)

    def _look(self) -> None:
        """Hand over what has not come back in time and, to keep the order, all that was sent after it."""
        self._timer = None
        if not self._awaited:
            return
        loop = asyncio.get_running_loop()
        oldest = next(iter(self._awaited.values()))
        if oldest.until > loop.time():
            self._timer = loop.call_at(oldest.until, self._look)
        else:
            self._is_silent = True
            self._hand_over_awaited()

    def _hand_over_awaited(self) -> None:
        awaited, self._awaited = self._awaited, {}
        for each in awaited.values():
            self._hand_over(each.items)

    async def _read(self, subscribed: asyncio.Event) -> None:
        async with self._broadcast.subscribe(CHANNEL) as subscriber:
            subscribed.set()
            while True:
                event = await subscriber.get()
                # broadcaster declares text, and carries whatever it was given.
                self._receive(cast(bytes, event.message))

    def _receive(self, message: bytes) -> None:
        """Take one message off the bus. An empty one says that others before it may have been lost."""
        if message:
            try:
                parcel = self._decode(message)
            except Exception:
                # Not all are msgspec's: a text that is not UTF-8, or what is nested too deeply, raises Python's own.
                self._log_failure("the bus carried a parcel that cannot be read; reading the log instead")
            else:
                self._take(parcel)
                return
        if self._resync is not None:
            try:
                self._resync()
            except Exception:
                self._log_failure("catching up after a gap on the bus failed")

    def _take(self, parcel: Parcel) -> None:
        if parcel.sender != self._name:
            self._hand_over(parcel.items)
            return
        self._is_silent = self._is_deaf = False
        if (own := self._awaited.pop(parcel.number, None)) is not None:
            self._hand_over(own.items)

    def _hand_over(self, items: Sequence[Item]) -> None:
        if self._deliver is None or not items:
            return
        try:
            self._deliver(items)
        except Exception:
            self._log_failure("handing over a parcel from the bus failed; the log will tell it")

    def _log_failure(self, text: str) -> None:
        """Log the exception being handled, at most once in FAILURE_LOG_SECONDS."""
        if self._failures.may_say():
            logger.exception(text)
