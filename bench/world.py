"""Senders and messages for a bench, put into a database many at a time, and the addresses of their pixels."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from hub.api.auth import TOKEN_PREFIX, secret_hash
from hub.model import new_id
from hub.store.database import Database
from hub.store.migrate import migrate
from hub.tracking.token import Keys

SECRET = "a secret that the bench and the hub share"
KEYS = Keys(SECRET)
SLICE = 5000
HOUR_MS = 3_600_000

T = TypeVar("T")


@dataclass(frozen=True)
class Sender:
    """An account and an API token of it."""

    id: str
    token: str


@dataclass(frozen=True)
class World:
    """What is in the database. `messages` are ids, one sender's after the other's in turn."""

    senders: tuple[Sender, ...]
    messages: tuple[str, ...]


def pixel_path(message_id: str, position: int = 1) -> str:
    """Where the pixel of a message's recipient is."""
    return f"/o/{KEYS.sign(message_id, position)}.gif"


def a_world(senders: int, messages: int) -> World:
    """So many senders and messages, in no database yet."""
    return World(
        tuple(Sender(new_id(), f"{TOKEN_PREFIX}bench-{number}") for number in range(senders)),
        tuple(new_id() for _ in range(messages)),
    )


async def build(url: str, world: World) -> None:
    """Migrate the database at `url` and put the world in, each message to one reader and sent an hour ago."""
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
    people = database.rows("$1", id="text", email="text", token_id="text", hash="text")
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
    letters = database.rows("$1", id="text", sender="text", number="bigint")
    owned = [(message, world.senders[n % len(world.senders)].id, n) for n, message in enumerate(world.messages)]
    for some in slices(owned):
        rows = json.dumps([{"id": message, "sender": sender, "number": n} for message, sender, n in some])
        async with database.write() as tx:
            await tx.fetch(
                "INSERT INTO messages (id, user_id, created_at, registered_sequence, subject, template, format, shared,"
                " sent_at, search, muted_set_sequence, recipient_count, opens, hits)"
                " SELECT r.id, r.sender, CAST($2 AS BIGINT), 0, 'Proposal ' || r.number, NULL, 'html', $3,"
                f" CAST($2 AS BIGINT), 'proposal ' || r.number, 0, 1, 0, 0 FROM {letters}",
                *(rows, now - HOUR_MS, False),
            )
            await tx.fetch(
                "INSERT INTO recipients (message_id, position, address, name, opens)"
                f" SELECT r.id, 1, 'reader' || r.number || '@example.com', NULL, 0 FROM {letters}",
                rows,
            )


def slices(items: Sequence[T], size: int = SLICE) -> Iterator[Sequence[T]]:
    """`items` in pieces of at most `size`."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
