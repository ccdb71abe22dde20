"""Retention: what is kept for a time is deleted when the time is over, in slices that block nobody.

What is over is looked for beside the writes. The writer is needed only to delete it, by its keys.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from hub.model import DAY_MS
from hub.store.database import Database
from hub.store.events import TRIM_SLICE, Events
from hub.store.idempotency import KEPT_MS

CLIENT_HASH_MS = DAY_MS
VIEWINGS_MS = 7 * DAY_MS
"""Longer than a spool is likely to wait: a replayed hit is judged by the viewings of its own time."""


class _Kept(NamedTuple):
    """What one table keeps for a time: the `change` that ends it, and which rows `s` are over at the time $1."""

    change: str
    table: str
    key: dict[str, str]
    """The primary key's columns, and their types on PostgreSQL."""
    over: str


_LAST_SEEN = _Kept(
    "DELETE FROM last_seen",
    "last_seen",
    {"message_id": "text", "position": "integer", "client": "text"},
    "s.at < $1",
)
_VIEWINGS = _Kept("DELETE FROM viewings", "viewings", {"message_id": "text", "at": "bigint"}, "s.at < $1")
_KEYS = _Kept(
    "DELETE FROM idempotency_keys", "idempotency_keys", {"user_id": "text", "key": "text"}, "s.created_at < $1"
)
_SESSIONS = _Kept("DELETE FROM sessions", "sessions", {"id": "text"}, "s.expires_at < $1")
_CLIENT_HASHES = _Kept(
    "UPDATE opens SET client_hash = NULL", "opens", {"id": "text"}, "s.client_hash IS NOT NULL AND s.at < $1"
)


class Retention:
    """Deletes old log entries, client hashes, viewings, idempotency keys and expired sessions."""

    def __init__(self, database: Database, log_days: int) -> None:
        """`log_days` is how long a user's log is kept."""
        self._database = database
        self._events = Events(database)
        self._log_ms = log_days * DAY_MS

    async def sweep(self, now: int) -> int:
        """Delete everything whose time is over at `now`; returns how many rows went. Raises `DatabaseAway`."""
        removed = 0
        for row in await self._database.fetch("SELECT id FROM users"):
            while slice_ := await self._events.trim(row["id"], now - self._log_ms, now):
                removed += slice_
        for kept, before in (
            (_LAST_SEEN, now - CLIENT_HASH_MS),
            (_VIEWINGS, now - VIEWINGS_MS),
            (_KEYS, now - KEPT_MS),
            (_SESSIONS, now),
            (_CLIENT_HASHES, now - CLIENT_HASH_MS),
        ):
            removed += await self._slices(kept, before)
        return removed

    async def _slices(self, kept: _Kept, before: int) -> int:
        names = ", ".join(f"s.{name}" for name in kept.key)
        found = f"SELECT {names} FROM {kept.table} s WHERE {kept.over} LIMIT {TRIM_SLICE} OFFSET $2"
        same = " AND ".join(f"s.{name} = r.{name}" for name in kept.key)
        rows = self._database.sql.at_keys(self._database.sql.rows("$2", **kept.key), kept.table, same)
        # Processes sweep at the same time: rows that another has locked are skipped, or two would wait for each other.
        free = "" if self._database.embedded else "FOR UPDATE OF s SKIP LOCKED"
        ended = (
            f"{kept.change} WHERE ({', '.join(kept.key)}) IN (SELECT {names} FROM {rows} WHERE {kept.over} {free})"
            " RETURNING 1 AS gone"
        )
        removed = skipped = 0
        while True:
            keys = [dict(row) for row in await self._database.fetch(found, before, skipped)]
            if keys:
                async with self._database.write() as tx:
                    slice_ = len(await tx.fetch(ended, before, msgspec.json.encode(keys).decode()))
                removed += slice_
                skipped += len(keys) - slice_
            if len(keys) < TRIM_SLICE:
                return removed
