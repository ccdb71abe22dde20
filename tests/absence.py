"""Takes the database away from a recorder, and reads what was recorded."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from urllib.parse import urlsplit

import asyncpg

from hub.store.urls import sqlite_path
from tests.factories import Store
from tests.processes import eventually
from tests.servers import Postgres


async def recorded(store: Store) -> list[tuple[str, int]]:
    """The id and time of every open, in the order of the log."""
    rows = await store.database.fetch(
        "SELECT o.id, o.at FROM events e JOIN opens o ON o.id = e.open_id"
        " WHERE e.type = 'open.recorded' ORDER BY e.user_id, e.sequence"
    )
    return [(row["id"], row["at"]) for row in rows]


async def times(store: Store) -> list[int]:
    """The time of every open, in the order of the log."""
    return [at for _, at in await recorded(store)]


class Lock:
    """Takes the database away: on SQLite it holds the lock that every write needs, as another program would; on
    PostgreSQL it cuts all sessions and lets nobody connect.
    """

    def __init__(self, store: Store, postgres: Postgres | None) -> None:
        self._store = store
        self._postgres = postgres

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        if self._postgres is None:
            with closing(sqlite3.connect(sqlite_path(self._store.url), isolation_level=None, timeout=0)) as holder:
                await eventually(lambda: _locks(holder))
                yield
                holder.execute("ROLLBACK")
        else:
            name = urlsplit(self._store.url).path[1:]
            await asyncio.to_thread(self._postgres.run, f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            await asyncio.to_thread(self._postgres.terminate_sessions, name)
            yield
            await asyncio.to_thread(self._postgres.run, f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")


@asynccontextmanager
async def locked(store: Store, user_id: str) -> AsyncIterator[None]:
    """For as long as the block, a session that is not the hub's keeps a user's row locked, on PostgreSQL."""
    other = await asyncpg.connect(store.url)
    try:
        await other.execute("BEGIN")
        await other.execute("SELECT 1 FROM users WHERE id = $1 FOR UPDATE", user_id)
        yield
    finally:
        await other.close()


def _locks(holder: sqlite3.Connection) -> bool:
    try:
        holder.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError:
        return False
    return True
