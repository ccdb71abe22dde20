"""The ledger: hits on real pixels of a real hub process, counted pixel by pixel.

Promise: most hits have a pixel of their own, and few have the same, so the database can be compared with the answers
one by one: a hit that was answered is recorded once; a hit whose answer never came is recorded once at the most.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count

from hub.model import Message, User, now
from hub.store.database import Database, Row
from hub.tracking.rules import BURST_CLIENTS
from hub.tracking.token import Keys
from tests.factories import READER, Store, audit
from tests.servers import HubProcess

SECRET = "a secret that the tests and the hub share"
LEDGER_KEYS = Keys(SECRET)
ROUTER_SECONDS = 30.0
"""Heroku's router gives up a request if the first byte of its answer takes longer."""
CUT_OFF = 2
"""How many hits a connection can lose to one kill: a client that comes back at once may be let in by a hub that is
dying, whose listening socket can be closed after the others."""
COME_BACK_SECONDS = 0.2
"""How long a client that was refused waits: many that come back sooner take the processor that the hub starts with."""
RECIPIENTS = 500
LONG_AGO = 1_700_000_000_000
"""When the messages were sent, in milliseconds: so long ago that no hit falls into the delivery window."""

AGAIN = 0.1
"""How often one of the last RECENT hits comes again."""
RECENT = 100
EARLY = 0.2
"""How often a hit is on the message that was just sent. It has so few pixels that several clients come to each."""
FEW = 8

WEBKIT = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko)"
VISITORS = (
    (12, READER, "198.18.0"),
    (4, "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)", "66.249.84"),
    (1, f"{WEBKIT} Chrome/42.0.2311.135 Safari/537.36 Edge/12.246 Mozilla/5.0", "66.249.93"),
    (1, "Mozilla/5.0", "172.224.226"),
    (1, f"{WEBKIT} Chrome/120.0.0.0 Safari/537.36", "148.163.139"),
    (1, "curl/8.14.1", "198.18.1"),
)
"""Who asks, and from where; the first number is how often. People, Gmail's proxy, what Gmail and Apple fetch ahead, a
scanner in a browser's clothes, and a tool."""

PERSON = f"User-Agent: {READER}\r\n"
"""The headers of a visitor; this one comes without a proxy."""

Pixel = tuple[str, int]


@dataclass
class Ledger:
    """What was asked for and what was answered. `slowest` is the longest that an answer took, in seconds.

    `chance` draws who asks, and for what. Without it every hit is a person's, on a pixel that was never asked for.
    """

    messages: Sequence[Message]
    chance: random.Random | None = None
    answered: Counter[Pixel] = field(default_factory=Counter)
    uncertain: Counter[Pixel] = field(default_factory=Counter)
    """How often each pixel was asked for and the answer came, or did not come (yet)."""
    slowest: float = 0.0

    def __post_init__(self) -> None:
        self._numbers = count()
        self._recent: deque[tuple[Pixel, str]] = deque(maxlen=RECENT)
        self._just_sent: Message | None = None
        self.ended = False

    def pixel(self) -> Pixel:
        """A pixel that was never asked for."""
        number = next(self._numbers)
        assert number < RECIPIENTS * len(self.messages), "there are no more pixels: make the ledger larger"
        return self.messages[number % len(self.messages)].id, number // len(self.messages) + 1

    async def send(self, store: Store) -> None:
        """Send a message just now: for a while, hits on it are early and can be bursts."""
        assert self.chance is not None, "every hit is on a pixel that was never asked for"
        user = await store.user(self.chance.choice(self.messages).user_id)
        self._just_sent = await store.message(user, recipients=_readers(FEW), shared=False, sent_at=now())

    def _draw(self) -> tuple[Pixel, str]:
        """A pixel to ask for, and the headers of whoever asks."""
        if self.chance is None:
            return self.pixel(), PERSON
        share = self.chance.random()
        if self._recent and share < AGAIN:
            return self.chance.choice(self._recent)
        early = self._just_sent is not None and share < AGAIN + EARLY
        pixel = (self._just_sent.id, self.chance.randint(1, FEW)) if self._just_sent and early else self.pixel()
        self._recent.append((pixel, _a_visitor(self.chance)))
        return self._recent[-1]

    async def ask(self, hub: HubProcess) -> None:
        """Ask for one pixel after another until the ledger has ended, on a new connection whenever one is lost."""
        while not self.ended:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", hub.port)
            except OSError:
                await asyncio.sleep(COME_BACK_SECONDS)
                continue
            try:
                while not self.ended:
                    pixel, visitor = self._draw()
                    await self.hit(pixel, reader, writer, visitor)
            except (OSError, asyncio.IncompleteReadError):
                pass
            finally:
                writer.transport.abort()

    async def hit(
        self, pixel: Pixel, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, visitor: str = PERSON
    ) -> bool:
        """Ask for a pixel, and enter it as answered or uncertain. Returns whether the server keeps the connection."""
        self.uncertain[pixel] += 1
        began = time.monotonic()
        try:
            async with asyncio.timeout(ROUTER_SECONDS):
                kept = await get(reader, writer, f"/o/{LEDGER_KEYS.sign(*pixel)}.gif", visitor)
        except TimeoutError:
            # An OSError too, but no lost connection: `ask` must not go on as if the hub had been killed.
            raise AssertionError(f"a hit was not answered within {ROUTER_SECONDS:g} s") from None
        self.slowest = max(self.slowest, time.monotonic() - began)
        self.uncertain[pixel] -= 1
        if not self.uncertain[pixel]:
            del self.uncertain[pixel]  # so that nothing is left in it once every hit was answered
        self.answered[pixel] += 1
        return kept

    async def check(self, database: Database) -> None:
        """Compare with the database, and audit the database. Raises AssertionError if a hit or a count is wrong."""
        rows = await database.fetch("SELECT message_id, position, verdict, client_hash FROM opens")
        found = Counter((row["message_id"], row["position"]) for row in rows)
        lost = self.answered - found
        assert not lost, f"{lost.total()} of {self.answered.total()} answered hits were not recorded"
        strange = found - self.answered - self.uncertain
        assert not strange, f"{strange.total()} hits were recorded that were never asked for"
        _check_bursts(rows)
        await audit(database)


def _check_bursts(opens: Sequence[Row]) -> None:
    """Whoever is part of a burst is no person, in whatever order and batches its hits were recorded."""
    verdicts: dict[Pixel, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for open_ in opens:
        # Only an early open keeps its client; only these verdicts can be part of a burst.
        if open_["client_hash"] is not None and open_["verdict"] in ("human", "scanner"):
            verdicts[open_["message_id"], open_["position"]][open_["client_hash"]].add(open_["verdict"])
    for pixel, clients in verdicts.items():
        people = [client for client, said in clients.items() if "human" in said]
        assert len(clients) < BURST_CLIENTS or not people, f"{len(people)} in a burst on {pixel} are taken for people"


async def get(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, visitor: str = PERSON) -> bool:
    """One request on a kept connection; raises AssertionError unless the answer is 200 with the image.

    Returns whether the server keeps the connection for another.
    """
    writer.write(f"GET {path} HTTP/1.1\r\nHost: hub.example.com\r\n{visitor}\r\n".encode())
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


async def a_ledger(store: Store, *users: User, pixels: int, chance: random.Random | None = None) -> Ledger:
    """A ledger of at least this many `pixels`, on new messages of `users` (or of two new senders) in turn."""
    owners = users or (await store.sender(), await store.sender())
    number = max(2, -(-pixels // RECIPIENTS))
    return Ledger([await _a_message(store, owners[n % len(owners)]) for n in range(number)], chance)


async def _a_message(store: Store, user: User) -> Message:
    return await store.message(user, recipients=_readers(RECIPIENTS), shared=False, sent_at=LONG_AGO)


def _readers(number: int) -> list[str]:
    return [f"reader{n}@example.com" for n in range(1, number + 1)]


def _a_visitor(chance: random.Random) -> str:
    """The headers of somebody, behind one trusted proxy."""
    _, user_agent, network = chance.choices(VISITORS, [often for often, _, _ in VISITORS])[0]
    return f"User-Agent: {user_agent}\r\nX-Forwarded-For: {network}.{chance.randint(1, 254)}\r\n"
