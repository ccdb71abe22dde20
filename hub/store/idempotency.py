"""Idempotency keys: the same request twice is one change and one answer, for a day."""

from __future__ import annotations

from hub.model import DAY_MS
from hub.store.database import Database, Held

KEPT_MS = DAY_MS


class KeyReused(ValueError):
    """The key came before, with another body."""


class IdempotencyKeys:
    """The `idempotency_keys` table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(self, tx: Held, user_id: str, key: str, body_hash: str, at: int) -> str | None:
        """Take the key within the caller's transaction, or return the answer given the first time.

        Of two claims at once, the second waits for the first one's commit. Raises `KeyReused`.
        """
        await tx.fetch(
            "DELETE FROM idempotency_keys WHERE user_id = $1 AND key = $2 AND created_at < $3",
            user_id,
            key,
            at - KEPT_MS,
        )
        taken = await tx.fetch(
            "INSERT INTO idempotency_keys (user_id, key, created_at, body_hash, answer)"
            " VALUES ($1, $2, $3, $4, '') ON CONFLICT DO NOTHING RETURNING key",
            user_id,
            key,
            at,
            body_hash,
        )
        if taken:
            return None
        row = await tx.fetch_one(
            "SELECT body_hash, answer FROM idempotency_keys WHERE user_id = $1 AND key = $2", user_id, key
        )
        if row is None or row["body_hash"] != body_hash:
            raise KeyReused(key)
        return str(row["answer"])

    async def keep(self, tx: Held, user_id: str, key: str, answer: str) -> None:
        """Keep the answer of a request whose key was claimed in the same transaction."""
        await tx.fetch("UPDATE idempotency_keys SET answer = $3 WHERE user_id = $1 AND key = $2", user_id, key, answer)
