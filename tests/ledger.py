"""The ledger: hits on real pixels of a real hub process, each of which can be told from all others.

Promise: every hit has a pixel of its own, so the database can be compared with the answers one by one: a hit that
was answered is recorded once; a hit whose answer never came is recorded once at the most.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count

from hub.model import Message, User
from hub.store.database import Database
from hub.tracking.token import Keys
from tests.factories import READER, Store, audit
from tests.servers import HubProcess

SECRET = "a secret that the tests and the hub share"
LEDGER_KEYS = Keys(SECRET)
ROUTER_SECONDS = 30.0
"""Heroku's router gives up a request if the first byte of its answer takes longer."""
RECIPIENTS = 500
LONG_AGO = 1_700_000_000_000
"""When the messages were sent, in milliseconds: so long ago that no hit falls into the delivery window."""

Pixel = tuple[str, int]


@dataclass
class Ledger:
    """What was asked for and what was answered. `slowest` is the longest that an answer took, in seconds."""

    messages: Sequence[Message]
    answered: set[Pixel] = field(default_factory=set)
    uncertain: set[Pixel] = field(default_factory=set)
    slowest: float = 0.0

    def __post_init__(self) -> None:
        self._numbers = count()
        self.ended = False

    def pixel(self) -> Pixel:
        """A pixel that was never asked for."""
        number = next(self._numbers)
        assert number < RECIPIENTS * len(self.messages), "there are no more pixels: make the ledger larger"
        return self.messages[number % len(self.messages)].id, number // len(self.messages) + 1

    async def ask(self, hub: HubProcess) -> None:
        """Ask for one pixel after another until the ledger has ended, on a new connection whenever one is lost."""
        while not self.ended:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", hub.port)
            except OSError:
                await asyncio.sleep(0.02)
                continue
            try:
                while not self.ended:
                    await self.hit(self.pixel(), reader, writer)
            except (OSError, asyncio.IncompleteReadError):
                pass
            finally:
                writer.transport.abort()

    async def hit(self, pixel: Pixel, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Ask for a pixel, and enter it as answered or uncertain. Returns whether the server keeps the connection."""
        self.uncertain.add(pixel)
        began = time.monotonic()
        try:
            async with asyncio.timeout(ROUTER_SECONDS):
                kept = await get(reader, writer, f"/o/{LEDGER_KEYS.sign(*pixel)}.gif")
        except TimeoutError:
            # An OSError too, but no lost connection: `ask` must not go on as if the hub had been killed.
            raise AssertionError(f"a hit was not answered within {ROUTER_SECONDS:g} s") from None
        self.slowest = max(self.slowest, time.monotonic() - began)
        self.uncertain.discard(pixel)
        self.answered.add(pixel)
        return kept

    async def check(self, database: Database) -> None:
        """Compare with the database, and audit the database. Raises AssertionError if a hit or a count is wrong."""
        rows = await database.fetch("SELECT message_id, position FROM opens")
        found = Counter((row["message_id"], row["position"]) for row in rows)
        doubled = [pixel for pixel, times in found.items() if times > 1]
        assert not doubled, f"{len(doubled)} hits were recorded more than once"
        lost = self.answered - set(found)
        assert not lost, f"{len(lost)} of {len(self.answered)} answered hits were not recorded"
        strange = set(found) - self.answered - self.uncertain
        assert not strange, f"{len(strange)} hits were recorded that were never asked for"
        await audit(database)


async def get(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str) -> bool:
    """One request on a kept connection; raises AssertionError unless the answer is 200 with the image.

    Returns whether the server keeps the connection for another.
    """
    writer.write(f"GET {path} HTTP/1.1\r\nHost: hub.example.com\r\nUser-Agent: {READER}\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    body = await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0]))
    assert head.startswith(b"HTTP/1.1 200 "), head
    assert body.startswith(b"GIF89a"), body
    return b"connection: close" not in head.lower()


@asynccontextmanager
async def asking(ledger: Ledger, hubs: Sequence[HubProcess], connections: int) -> AsyncIterator[None]:
    """This many `connections` to each of `hubs` ask for pixels, for as long as the block."""
    tasks = [asyncio.create_task(ledger.ask(hub)) for hub in hubs for _ in range(connections)]
    try:
        yield
    finally:
        ledger.ended = True
        await asyncio.gather(*tasks)
        ledger.ended = False


async def a_ledger(store: Store, *users: User, pixels: int) -> Ledger:
    """A ledger of at least this many `pixels`, on new messages of `users` (or of two new senders) in turn."""
    owners = users or (await store.sender(), await store.sender())
    readers = [f"reader{number}@example.com" for number in range(RECIPIENTS)]
    number = max(2, -(-pixels // RECIPIENTS))
    return Ledger([await a_message(store, owners[n % len(owners)], readers) for n in range(number)])


async def a_message(store: Store, user: User, readers: Sequence[str]) -> Message:
    return await store.message(user, recipients=readers, shared=False, sent_at=LONG_AGO)
