"""Users: accounts, what they decided, and where their logs stand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Literal

import msgspec

from hub.model import Settings, User, new_id
from hub.store.away import RowLocked
from hub.store.database import TURN_SECONDS, Change, Database, Held, Row

LOOK_SECONDS = 0.05
"""How often it is looked whether a user's row is still locked."""

_ADVANCE = "UPDATE users SET sequence = r.column1 FROM ({rows}) AS r WHERE id = r.column2"


class UserRow(msgspec.Struct, array_like=True):
    """A user's columns, as a row in JSON; SQLite says 0 and 1 for false and true."""

    id: str
    email: str
    name: str
    role: Literal["user", "admin"]
    realtime_notifications: bool
    muted_all_at: int | None
    muted_all_sequence: int
    sequence: int
    seen_sequence: int
    views: int


COLUMNS = UserRow.__struct_fields__
_ALL = ", ".join(COLUMNS)


def columns(table: str) -> str:
    """The columns of a user, qualified."""
    return ", ".join(f"{table}.{name}" for name in COLUMNS)


class EmailTaken(ValueError):
    """There is an account with this address already."""


class Users:
    """The `users` table. Methods that take `tx` run in the caller's write transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database
        messages = database.sql.at_keys(database.sql.rows("$1", message_id="text"), "messages", "s.id = r.message_id")
        self._unmoved = (
            "SELECT u.id FROM ({rows}) AS r JOIN users u"
            " ON u.id = r.column1 AND u.sequence = r.column2 AND u.views = r.column3 ORDER BY u.id"
        ) + ("" if database.embedded else " FOR UPDATE OF u")
        # Counted, because every row that comes back costs a fight for Python's lock.
        self._lock = (
            f"SELECT count(*) FROM (SELECT id FROM users WHERE id IN (SELECT s.user_id FROM {messages})"
            f" ORDER BY id {database.sql.for_update}) AS owners"
        )

    async def add(self, email: str, name: str, role: str, password_hash: str, at: int) -> User:
        """Make an account. Raises `EmailTaken`."""
        async with self._database.write() as tx:
            row = await tx.fetch_one(
                "INSERT INTO users (id, email, name, role, password_hash, created_at, realtime_notifications,"
                " muted_all_sequence, sequence, seen_sequence) VALUES ($1, $2, $3, $4, $5, $6, $7, 0, 0, 0)"
                f" ON CONFLICT (email) DO NOTHING RETURNING {_ALL}",
                new_id(),
                email.lower(),
                name,
                role,
                password_hash,
                at,
                True,
            )
        if row is None:
            raise EmailTaken(email)
        return user_from(row)

    async def any(self) -> bool:
        """Whether there is an account at all."""
        return await self._database.fetch_one("SELECT id FROM users LIMIT 1") is not None

    async def get(self, user_id: str) -> User | None:
        """The account with this id."""
        row = await self._database.find(f"SELECT {_ALL} FROM users WHERE id = $1", user_id)
        return user_from(row) if row else None

    async def by_email(self, email: str) -> tuple[User, str] | None:
        """The account with this address, in any case of letters, and its password's hash."""
        row = await self._database.find(f"SELECT {_ALL}, password_hash FROM users WHERE email = $1", email.lower())
        return (user_from(row), row["password_hash"]) if row else None

    async def heads(self, user_ids: Iterable[str]) -> dict[str, int]:
        """The last sequence in each user's log."""
        rows = await self._database.fetch(
            f"SELECT id, sequence FROM users WHERE id IN {self._database.sql.texts('$1')}",
            json.dumps(list(user_ids)),
        )
        return {row["id"]: row["sequence"] for row in rows}

    async def owners(self, message_ids: Iterable[str]) -> list[User]:
        """The owners of these messages."""
        rows = await self._database.fetch(
            f"SELECT {_ALL} FROM users WHERE id IN"
            f" (SELECT user_id FROM messages WHERE id IN {self._database.sql.texts('$1')})",
            json.dumps(list(message_ids)),
        )
        return [user_from(row) for row in rows]

    @asynccontextmanager
    async def write(self, user_id: str) -> AsyncIterator[tuple[Held, User]]:
        """A write transaction that begins with the lock on a user's row, and the user as the row then is.

        While another session of the database keeps the row, the writer is free for others; after TURN_SECONDS that is
        `DatabaseAway`.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + TURN_SECONDS
        begun = False
        while not begun:
            try:
                async with self._database.write() as tx:
                    row = await tx.require_one(
                        f"SELECT {_ALL} FROM users WHERE id = $1 {self._database.sql.for_update}", user_id
                    )
                    begun = True
                    yield tx, user_from(row)
            except RowLocked:
                locked = True
                while locked:
                    if begun or loop.time() > until:
                        raise
                    await asyncio.sleep(LOOK_SECONDS)
                    locked = await self._is_locked(user_id)

    async def _is_locked(self, user_id: str) -> bool:
        sql = f"SELECT id FROM users WHERE id = $1 {self._database.sql.for_update} SKIP LOCKED"
        return await self._database.find(sql, user_id) is None

    async def bump(self, tx: Held, user_id: str) -> User:
        """Take the next sequence in the user's log, and with it the lock on the user until the commit."""
        row = await tx.require_one(f"UPDATE users SET sequence = sequence + 1 WHERE id = $1 RETURNING {_ALL}", user_id)
        return user_from(row)

    async def lock_owners(self, tx: Held, message_ids: Iterable[str]) -> None:
        """Lock the owners of these messages until the commit.

        They are locked in id order, so that two processes never wait for each other in a circle.
        """
        await tx.fetch(self._lock, json.dumps([{"message_id": id_} for id_ in message_ids]))

    def unmoved(self, users: Iterable[User]) -> Change:
        """The query that finds those of these users who still are as they were read: see `Held.change_if`.

        On PostgreSQL it locks them, in id order, as `lock_owners` does.
        """
        rows = sorted((user.id, user.sequence, user.views) for user in users)
        return Change(self._unmoved, "text bigint bigint", rows)

    def advanced(self, sequences: Mapping[str, int]) -> Change:
        """The change that sets where these users' logs stand from now on. The users are locked, or found `unmoved`."""
        return Change(_ADVANCE, "bigint text", [(sequence, user_id) for user_id, sequence in sequences.items()])

    async def set(self, tx: Held, user_id: str, **values: Any) -> User:
        """Set columns of one user, and return the user as it then is. The names become SQL as they are."""
        names = ", ".join(f"{name} = ${place}" for place, name in enumerate(values, 2))
        sql = f"UPDATE users SET {names} WHERE id = $1 RETURNING {_ALL}"
        return user_from(await tx.require_one(sql, user_id, *values.values()))

    async def rename(self, user_id: str, name: str) -> None:
        """Set the name by which a user is called."""
        async with self.write(user_id) as (tx, _):
            await self.set(tx, user_id, name=name)

    async def secret(self, name: str, fresh: str) -> str:
        """The secret kept under `name`; if there is none yet, `fresh` is kept."""
        async with self._database.write() as tx:
            await tx.fetch(
                "INSERT INTO secrets (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING", name, fresh
            )
            row = await tx.require_one("SELECT value FROM secrets WHERE name = $1", name)
        return str(row["value"])


def user_from(row: Row) -> User:
    """The noun in a row that has `COLUMNS`."""
    return user_of(UserRow(*(row[name] for name in COLUMNS)))


def user_of(row: UserRow) -> User:
    """The noun in a row of `COLUMNS`."""
    return User(
        id=row.id,
        email=row.email,
        name=row.name,
        role=row.role,
        settings=Settings(bool(row.realtime_notifications), row.muted_all_at, row.muted_all_sequence),
        sequence=row.sequence,
        seen_sequence=row.seen_sequence,
        views=row.views,
    )
