"""Retention: what is kept for a time is deleted when the time is over, in slices that block nobody."""

from __future__ import annotations

from hub.model import DAY_MS
from hub.store.database import Database
from hub.store.events import TRIM_SLICE, Events
from hub.store.idempotency import KEPT_MS

CLIENT_HASH_MS = DAY_MS
VIEWINGS_MS = 7 * DAY_MS
"""Longer than a spool is likely to wait: a replayed hit is judged by the viewings of its own time."""


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
        # Processes sweep at the same time: rows that another has locked are skipped, or two would wait for each other.
        free = "" if self._database.embedded else " FOR UPDATE SKIP LOCKED"
        for row in await self._database.fetch("SELECT id FROM users"):
            while slice_ := await self._events.trim(row["id"], now - self._log_ms, now):
                removed += slice_
        for table, key, column, before in (
            ("last_seen", "message_id, position, client", "at", now - CLIENT_HASH_MS),
            ("viewings", "message_id, at", "at", now - VIEWINGS_MS),
            ("idempotency_keys", "user_id, key", "created_at", now - KEPT_MS),
            ("sessions", "id", "expires_at", now),
        ):
            removed += await self._slices(
                f"DELETE FROM {table} WHERE ({key}) IN"
                f" (SELECT {key} FROM {table} WHERE {column} < $1 LIMIT {TRIM_SLICE}{free}) RETURNING 1 AS gone",
                before,
            )
        return removed + await self._slices(
            "UPDATE opens SET client_hash = NULL WHERE id IN (SELECT id FROM opens"
            f" WHERE client_hash IS NOT NULL AND at < $1 LIMIT {TRIM_SLICE}{free}) RETURNING 1 AS gone",
            now - CLIENT_HASH_MS,
        )

    async def _slices(self, statement: str, before: int) -> int:
        removed = 0
        while True:
            async with self._database.write() as tx:
                slice_ = len(await tx.fetch(statement, before))
            removed += slice_
            if slice_ < TRIM_SLICE:
                return removed
