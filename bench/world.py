"""Senders and messages for a bench, put into a database many at a time, and the addresses of their pixels."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from hub.api.auth import TOKEN_PREFIX, secret_hash
from hub.model import new_id
from hub.store.database import Database
from hub.store.migrate import migrate
from hub.tracking.token import SHARED, Keys

SECRET = "a secret that the bench and the hub share"
KEYS = Keys(SECRET)
SLICE = 5000
HOUR_MS = 3_600_000
SEVERAL = 5

KINDS = ((1, False),) * 4 + ((SEVERAL, False),) + ((1, False),) * 3 + ((SEVERAL, False), (SEVERAL, True))

T = TypeVar("T")


@dataclass(frozen=True)
class Sender:
    """An account and an API token of it."""

    id: str
    token: str


class Letter(NamedTuple):
    """A message, how many it went to, and whether they share its pixel."""

    id: str
    recipients: int = 1
    shared: bool = False

    def pixel(self, dice: random.Random) -> str:
        """Where one of its pixels is."""
        return pixel_path(self.id, SHARED if self.shared else dice.randint(1, self.recipients))


@dataclass(frozen=True)
class World:
    """What is in the database. The messages belong to the senders in turn."""

    senders: tuple[Sender, ...]
    messages: tuple[Letter, ...]


def pixel_path(message_id: str, position: int = 1) -> str:
    """Where the pixel of a message's recipient is."""
    return f"/o/{KEYS.sign(message_id, position)}.gif"


def a_world(senders: int, messages: int) -> World:
    """A world of this size, not in a database yet. Of ten messages seven go to one reader, two go to five who each
    have a pixel of their own, and one goes to five who share it."""
    return World(
        tuple(Sender(new_id(), f"{TOKEN_PREFIX}bench-{number}") for number in range(senders)),
        tuple(Letter(new_id(), *KINDS[number // senders % len(KINDS)]) for number in range(messages)),
    )


async def build(url: str, world: World) -> None:
    """Migrate the database at `url` and put the world in, each message sent an hour ago."""
    await migrate(url)
    now = time.time_ns() // 1_000_000
    database = Database(url)
    await database.connect()
    try:
        await _senders(database, world.senders, now)
        await _messages(database, world, now)
    finally:
        await database.disconnect()


async def _senders(database: Database, senders: Sequence[Sender], now: int) -> None:
    people = database.sql.rows("$1", id="text", email="text", token_id="text", hash="text")
    for some in slices(senders):
        rows = json.dumps(
            [
                {"id": s.id, "email": f"{s.id}@example.com", "token_id": new_id(), "hash": secret_hash(s.token)}
                for s in some
            ]
        )
        async with database.write() as tx:
            await tx.fetch(
                "INSERT INTO users (id, email, name, role, password_hash, created_at, realtime_notifications,"
                " muted_all_sequence, sequence, seen_sequence)"
                f" SELECT r.id, r.email, 'A Sender', 'user', '', $2, $3, 0, 0, 0 FROM {people}",
                *(rows, now, True),
            )
            await tx.fetch(
                "INSERT INTO tokens (id, user_id, name, hash, created_at)"
                f" SELECT r.token_id, r.id, 'bench', r.hash, $2 FROM {people}",
                *(rows, now),
            )


async def _messages(database: Database, world: World, now: int) -> None:
    letters = database.sql.rows("$1", id="text", sender="text", number="bigint", readers="bigint", shared="boolean")
    readers = database.sql.rows("$1", id="text", position="bigint", address="text")
    owned = [(letter, world.senders[n % len(world.senders)].id, n) for n, letter in enumerate(world.messages)]
    for some in slices(owned):
        rows = [
            {"id": letter.id, "sender": sender, "number": n, "readers": letter.recipients, "shared": letter.shared}
            for letter, sender, n in some
        ]
        people = [
            {"id": letter.id, "position": position, "address": f"reader{n}-{position}@example.com"}
            for letter, _, n in some
            for position in range(1, letter.recipients + 1)
        ]
        async with database.write() as tx:
            await tx.fetch(
                "INSERT INTO messages (id, user_id, created_at, registered_sequence, subject, template, format, shared,"
                " sent_at, search, muted_set_sequence, recipient_count, opens, hits)"
                " SELECT r.id, r.sender, CAST($2 AS BIGINT), 0, 'Proposal ' || r.number, NULL, 'html', r.shared,"
                f" CAST($2 AS BIGINT), 'proposal ' || r.number, 0, r.readers, 0, 0 FROM {letters}",
                *(json.dumps(rows), now - HOUR_MS),
            )
            await tx.fetch(
                "INSERT INTO recipients (message_id, position, address, name, opens)"
                f" SELECT r.id, r.position, r.address, NULL, 0 FROM {readers}",
                json.dumps(people),
            )


def slices(items: Sequence[T], size: int = SLICE) -> Iterator[Sequence[T]]:
    """`items` in pieces of at most `size`."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
