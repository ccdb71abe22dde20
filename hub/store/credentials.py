"""Credentials: API tokens and log-in sessions. Only a hash of each is kept.

A lookup by hash needs no slow hash and no constant time: the secrets are 256 random bits, and what is
compared is their SHA-256.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection
from typing import Literal, TypeAlias

from msgspec import Struct

from hub.model import DAY_MS, User, new_id
from hub.store.away import DatabaseAway
from hub.store.database import Change, Database, Row
from hub.store.users import Users, columns, user_from

SESSION_MS = 30 * DAY_MS
_USER = columns("u")


Kind: TypeAlias = Literal["token", "session"]


def key_of(kind: Kind, id_: str) -> str:
    """The name of a credential in `Credentials.valid`, and on the bus when it is revoked."""
    return f"{kind}:{id_}"


class Credential(Struct, frozen=True):
    """What somebody showed to say who they are."""

    kind: Kind
    id: str
    user: User
    last_used_at: int | None = None

    @property
    def key(self) -> str:
        """As `key_of`."""
        return key_of(self.kind, self.id)


class TokenRow(Struct, frozen=True):
    """An API token as its owner sees it again: never the token itself."""

    id: str
    name: str
    created_at: int
    last_used_at: int | None


class SessionRow(Struct, frozen=True):
    """A place where somebody is logged in."""

    id: str
    created_at: int
    last_used_at: int
    device: str | None


class Credentials:
    """The `tokens` and `sessions` tables."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._users = Users(database)
        self._uses: dict[tuple[str, str], int] = {}

    async def add_token(self, user_id: str, name: str, token_hash: str, at: int) -> TokenRow:
        """Keep a new token's hash."""
        async with self._database.write() as tx:
            row = await tx.require_one(
                "INSERT INTO tokens (id, user_id, name, hash, created_at) VALUES ($1, $2, $3, $4, $5)"
                " RETURNING id, name, created_at, last_used_at",
                new_id(),
                user_id,
                name,
                token_hash,
                at,
            )
        return _token(row)

    async def by_token(self, token_hash: str) -> Credential | None:
        """The token with this hash, and its user."""
        row = await self._database.find(
            f"SELECT t.id AS credential_id, t.last_used_at, {_USER} FROM tokens t"
            " JOIN users u ON u.id = t.user_id WHERE t.hash = $1",
            token_hash,
        )
        return Credential("token", row["credential_id"], user_from(row), row["last_used_at"]) if row else None

    async def tokens_of(self, user_id: str) -> list[TokenRow]:
        """The user's tokens, newest first."""
        with contextlib.suppress(DatabaseAway):
            await self.keep_uses()
        rows = await self._database.fetch(
            "SELECT id, name, created_at, last_used_at FROM tokens WHERE user_id = $1 ORDER BY id DESC", user_id
        )
        return [_token(row) for row in rows]

    async def remove_token(self, user_id: str, token_id: str) -> bool:
        """Revoke a token of the user's own; False if there is no such token."""
        async with self._database.write() as tx:
            rows = await tx.fetch("DELETE FROM tokens WHERE id = $1 AND user_id = $2 RETURNING id", token_id, user_id)
        return bool(rows)

    async def add_session(
        self, user_id: str, password_hash: str, session_hash: str, device: str | None, at: int
    ) -> str | None:
        """Keep a new session's hash and return the session's id.

        None if `password_hash` is not the user's any more: a new password ends a log-in that began with an older one.
        """
        async with self._users.write(user_id) as (tx, _):
            if not await tx.fetch("SELECT id FROM users WHERE id = $1 AND password_hash = $2", user_id, password_hash):
                return None
            row = await tx.require_one(
                "INSERT INTO sessions (id, user_id, hash, created_at, last_used_at, expires_at, device)"
                " VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id",
                new_id(),
                user_id,
                session_hash,
                at,
                at,
                at + SESSION_MS,
                device,
            )
        return str(row["id"])

    async def by_session(self, session_hash: str, at: int) -> Credential | None:
        """The session with this hash, and its user, unless it has expired."""
        row = await self._database.find(
            f"SELECT s.id AS credential_id, s.last_used_at, {_USER} FROM sessions s"
            " JOIN users u ON u.id = s.user_id WHERE s.hash = $1 AND s.expires_at > $2",
            session_hash,
            at,
        )
        return Credential("session", row["credential_id"], user_from(row), row["last_used_at"]) if row else None

    async def sessions_of(self, user_id: str, at: int) -> list[SessionRow]:
        """Where the user is logged in, newest first."""
        with contextlib.suppress(DatabaseAway):
            await self.keep_uses()
        rows = await self._database.fetch(
            "SELECT id, created_at, last_used_at, device FROM sessions"
            " WHERE user_id = $1 AND expires_at > $2 ORDER BY id DESC",
            user_id,
            at,
        )
        return [SessionRow(row["id"], row["created_at"], row["last_used_at"], row["device"]) for row in rows]

    async def remove_session(self, user_id: str, session_id: str) -> bool:
        """End a session of the user's own; False if there is no such session."""
        async with self._database.write() as tx:
            rows = await tx.fetch(
                "DELETE FROM sessions WHERE id = $1 AND user_id = $2 RETURNING id", session_id, user_id
            )
        return bool(rows)

    async def replace_password(
        self, user_id: str, old_hash: str, new_hash: str, keep_session: str | None, name: str | None = None
    ) -> list[str] | None:
        """Set a new password, and a new name if there is one, and end the user's other sessions.

        Returns the ids of the sessions ended; None, with nothing changed, if `old_hash` is not the user's any more.
        """
        async with self._users.write(user_id) as (tx, _):
            if not await tx.fetch(
                "UPDATE users SET password_hash = $3, name = coalesce($4, name)"
                " WHERE id = $1 AND password_hash = $2 RETURNING id",
                user_id,
                old_hash,
                new_hash,
                name,
            ):
                return None
            rows = await tx.fetch(
                "DELETE FROM sessions WHERE user_id = $1 AND id <> $2 RETURNING id", user_id, keep_session or ""
            )
        return [row["id"] for row in rows]

    async def reload(self, credential: Credential, at: int) -> Credential | None:
        """The credential as it is now, or None if it is revoked or has expired."""
        # A token does not expire; $2 is named all the same, because both statements are given it.
        table, valid = (
            ("tokens", "CAST($2 AS BIGINT) > 0") if credential.kind == "token" else ("sessions", "c.expires_at > $2")
        )
        row = await self._database.find(
            f"SELECT c.last_used_at, {_USER} FROM {table} c JOIN users u ON u.id = c.user_id"
            f" WHERE c.id = $1 AND {valid}",
            credential.id,
            at,
        )
        return Credential(credential.kind, credential.id, user_from(row), row["last_used_at"]) if row else None

    async def valid(self, keys: Collection[str], at: int) -> set[str]:
        """Which of these credentials' keys are neither revoked nor expired."""
        ids = json.dumps([key.partition(":")[2] for key in keys])
        rows = await self._database.fetch(
            f"SELECT 'token' AS kind, id FROM tokens WHERE id IN {self._database.sql.texts('$1')}"
            f" UNION ALL SELECT 'session', id FROM sessions WHERE id IN {self._database.sql.texts('$1')}"
            " AND expires_at > $2",
            ids,
            at,
        )
        return {key_of(row["kind"], row["id"]) for row in rows}

    def note_use(self, credential: Credential, at: int) -> None:
        """Note that a credential was used; `keep_uses` writes it down.

        If it were written at once, a thousand plugins that come back together would each wait for a commit of their
        own, and the recorder behind them.
        """
        self._uses[credential.kind, credential.id] = at

    async def keep_uses(self) -> None:
        """Write down the noted uses, in one transaction. If that fails or is cut off, they are kept for the next time.

        Raises `DatabaseAway`.
        """
        uses, self._uses = self._uses, {}
        if not uses:
            return
        try:
            async with self._database.write() as tx:
                for kind, table in (("token", "tokens"), ("session", "sessions")):
                    rows = [(at, id_) for (of, id_), at in sorted(uses.items()) if of == kind]
                    # Another process may have written a later use already.
                    sql = (
                        f"UPDATE {table} SET last_used_at = r.column1 FROM ({{rows}}) AS r"
                        " WHERE id = r.column2 AND coalesce(last_used_at, 0) < r.column1"
                    )
                    await tx.change(Change(sql, "bigint text", rows))
        except BaseException:
            self._uses = uses | self._uses
            raise


def _token(row: Row) -> TokenRow:
    return TokenRow(row["id"], row["name"], row["created_at"], row["last_used_at"])
