"""What the tests of the store and the recorder build with: every store on one database, senders, messages, hits.

Promise: all that is made here goes through the hub's own code; only `audit`, which judges, reads the tables
by itself.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from hub.actions import Actions, NewMessage
from hub.config import Config
from hub.live.notices import Item, Notice
from hub.model import COUNTABLE, Event, Evidence, Hit, Message, Open, Recipient, User, Visit, new_id
from hub.recorder import Recorder
from hub.spool import Spool
from hub.store.credentials import Credentials
from hub.store.database import Database, Row
from hub.store.events import Events
from hub.store.idempotency import IdempotencyKeys
from hub.store.messages import Messages
from hub.store.opens import Opens
from hub.store.users import Users
from hub.tracking.datasets import Datasets
from hub.tracking.token import Keys
from hub.wire import Renderer

T0 = 1_795_442_462_345
"""A moment in November 2026, well away from midnight, in milliseconds."""

BASE_URL = "https://hub.example.com"
KEYS = Keys("a secret of the tests")
READER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Thunderbird/140.4.0"
BROWSER = Evidence("browser")
"""The evidence of a person's own browser. `GMAIL` is that of Gmail's image proxy, `CRAWLER` that of a machine."""
GMAIL = Evidence("gmail_proxy", "gmail")
CRAWLER = Evidence("crawler")

_numbers = count(1)


class ManualClock:
    """A clock that stands still until it is moved, in milliseconds."""

    def __init__(self, at: int = T0) -> None:
        self.at = at

    def __call__(self) -> int:
        return self.at

    def forward(self, milliseconds: int) -> None:
        self.at += milliseconds


class Heard:
    """A bus that keeps what was published. `on_publish` is called with each batch before it is kept."""

    def __init__(self) -> None:
        self.items: list[Item] = []
        self.on_publish: Callable[[Sequence[Item]], None] = lambda _items: None

    def wants(self, _user_id: str) -> bool:
        """Every user's events are wanted."""
        return True

    async def publish(self, items: Sequence[Item]) -> None:
        self.on_publish(items)
        self.items.extend(items)

    @property
    def notices(self) -> list[Notice]:
        """The events that were published."""
        return [item for item in self.items if isinstance(item, Notice)]


@dataclass
class Store:
    """Every store on one database, and the actions on top."""

    url: str
    database: Database
    clock: ManualClock = field(default_factory=ManualClock)
    bus: Heard = field(default_factory=Heard)

    def __post_init__(self) -> None:
        self.users = Users(self.database)
        self.credentials = Credentials(self.database)
        self.messages = Messages(self.database)
        self.opens = Opens(self.database)
        self.events = Events(self.database)
        self.idempotency = IdempotencyKeys(self.database)
        self.renderer = Renderer(KEYS, BASE_URL)
        self.actions = Actions(self.database, self.bus, self.renderer, clock=self.clock)  # type: ignore[arg-type]

    async def sender(self, email: str | None = None) -> User:
        """A new account."""
        return await self.users.add(email or f"sender{next(_numbers)}@example.com", "A Sender", "user", "hash", T0)

    async def user(self, user_id: str) -> User:
        """An account as it is now."""
        user = await self.users.get(user_id)
        assert user is not None
        return user

    async def message(self, user: User, **changes: Any) -> Message:
        """A message of `user`, registered with `a_draft(**changes)`."""
        registered = await self.actions.register(user.id, a_draft(**changes), BASE_URL)
        assert not isinstance(registered, str)
        return registered[0]

    async def reload(self, message: Message) -> Message:
        """A message as it is now."""
        found = await self.messages.get(message.user_id, message.id)
        assert found is not None
        return found

    async def history(self, message: Message) -> list[Open]:
        """The opens of a message, oldest first; at most a hundred."""
        page = await self.opens.page(message.user_id, limit=100, message_id=message.id, before=None, uncounted=True)
        return [open_ for open_, _ in page[::-1]]

    async def log(self, user: User, after: int = 0) -> list[Event]:
        """A user's events."""
        return await self.events.after(user.id, after, 100_000)


@asynccontextmanager
async def open_store(url: str) -> AsyncIterator[Store]:
    """The stores on the migrated database at `url`, closed at the end."""
    database = Database(url)
    await database.connect()
    try:
        yield Store(url, database)
    finally:
        await database.disconnect()


@asynccontextmanager
async def a_recorder(store: Store, directory: Path, **settings: Any) -> AsyncIterator[Recorder]:
    """A started recorder on `store`'s database, bus and clock, its spool in `directory`; stopped at the end."""
    recorder = make_recorder(store, Spool(directory), **settings)
    await recorder.start()
    try:
        yield recorder
    finally:
        await recorder.stop()


def make_recorder(store: Store, spool: Spool, **settings: Any) -> Recorder:
    """A recorder on `store`'s database, bus and clock, with `spool` and these settings of `Config`.

    By default it waits long for a commit: on a busy machine a slow one does not mean that the database is away.
    """
    return Recorder(
        store.database,
        store.bus,  # type: ignore[arg-type]
        store.renderer,
        KEYS,
        Datasets.load(Path("there-are-none"), None),
        spool,
        Config(**{"commit_seconds": 5.0, **settings}),
        clock=store.clock,
    )


def a_draft(recipients: Sequence[str] = ("reader@example.com",), **changes: Any) -> NewMessage:
    """A message to register: to one reader, sent an hour before `T0`, with `changes`."""
    fields: dict[str, Any] = {
        "subject": "Proposal",
        "recipients": tuple(Recipient(address) for address in recipients),
        "template": None,
        "format": "html",
        "shared": len(recipients) > 1,
        "sent_at": T0 - 3_600_000,
        "provider": None,
        "crm": None,
    }
    return NewMessage(**{**fields, **changes})


def a_visit(message: Message, position: int = 1, **changes: Any) -> Visit:
    """A person's visit to the pixel of `message` at `position`; each comes from an address of its own."""
    number = next(_numbers)
    visit = Visit(message.id, position, T0, f"198.18.{number // 250 % 250}.{number % 250}", READER)
    return replace(visit, **changes)


def a_hit(message: Message, position: int = 1, at: int = T0, client: str | None = None, **changes: Any) -> Hit:
    """A person's hit on the pixel of `message` at `position`; `client` is a new one unless it is given."""
    clients = (client or f"client {next(_numbers)}",)
    return replace(Hit(new_id(), message.id, position, at, clients, BROWSER), **changes)


async def audit(database: Database) -> None:
    """Check every promise that the tables alone can prove. Raises AssertionError with what is broken.

    Counters equal a recount; every open has its message and exactly one `open.recorded`; every log is gapless up to its
    user's sequence (if nothing was trimmed); what is counted follows from the verdict.
    """
    opens = await database.fetch("SELECT * FROM opens")
    by_pixel: dict[tuple[str, int], list[Row]] = {}
    by_message: dict[str, list[Row]] = {}
    for open_ in opens:
        assert bool(open_["counted"]) == (open_["verdict"] in COUNTABLE and not open_["repeat"]), dict(open_)
        by_pixel.setdefault((open_["message_id"], open_["position"]), []).append(open_)
        by_message.setdefault(open_["message_id"], []).append(open_)
    messages = await database.fetch("SELECT * FROM messages")
    assert by_message.keys() <= {message["id"] for message in messages}, "opens of messages that are gone"
    for message in messages:
        ours = by_message.get(message["id"], [])
        assert message["hits"] == len(ours), message["id"]
        _check_figures(message, ours)
    several = "(SELECT id FROM messages WHERE recipient_count > 1)"
    for recipient in await database.fetch(f"SELECT * FROM recipients WHERE message_id IN {several}"):
        _check_figures(recipient, by_pixel.get((recipient["message_id"], recipient["position"]), []))
    events = await database.fetch("SELECT user_id, sequence, type, open_id FROM events ORDER BY user_id, sequence")
    for user in await database.fetch("SELECT id, sequence FROM users"):
        numbers = [event["sequence"] for event in events if event["user_id"] == user["id"]]
        assert numbers == list(range(1, user["sequence"] + 1)), f"the log of {user['id']} has gaps or doubles"
    recorded = sorted(event["open_id"] for event in events if event["type"] == "open.recorded")
    assert recorded == sorted(open_["id"] for open_ in opens)


def _check_figures(row: Row, opens: Sequence[Row]) -> None:
    counted = [open_["at"] for open_ in opens if open_["counted"]]
    expected = (len(counted), min(counted, default=None), max(counted, default=None))
    assert (row["opens"], row["first_opened_at"], row["last_opened_at"]) == expected, dict(row)


class Stopwatch:
    """How long a block took: `with Stopwatch() as watch: …; watch.seconds`."""

    seconds = 0.0

    def __enter__(self) -> Stopwatch:
        self._began = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.monotonic() - self._began


def seeded() -> random.Random:
    """Chance that can be repeated: the seed is printed with a failure, and taken from `HUB_TEST_SEED`."""
    seed = os.environ.get("HUB_TEST_SEED") or str(random.SystemRandom().randrange(10**6))
    sys.stdout.write(f"HUB_TEST_SEED={seed}\n")
    return random.Random(seed)


async def together(*work: Any) -> list[Any]:
    """Run coroutines at the same time; raises the first failure."""
    return list(await asyncio.gather(*work))
