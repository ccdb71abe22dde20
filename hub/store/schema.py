"""The tables, as they are now. `migrations/` says how a database gets here.

Times are integer milliseconds since the epoch in UTC, ids 26 characters that sort by time
(`model.new_id`); both compare the same way on SQLite and PostgreSQL, and neither loses anything in
a driver. There is no column for an IP address or a User-Agent.

The index of trigrams is a table with a GIN index on PostgreSQL, and on SQLite a virtual table, if that can be had.
Neither database has the other's. `store.search` says what the index is for, migration 0004 what keeps it up to date.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, Text

from hub.store.search import VIRTUAL

metadata = sa.MetaData()

# Bytewise order on PostgreSQL too: ids sort by time, and a locale's order costs several times as much.
Id = Text().with_variant(Text(collation="C"), "postgresql")


def _owner(name: str, target: str) -> Column[str]:
    return Column(name, Id, ForeignKey(target, ondelete="CASCADE"), nullable=False)


secrets = sa.Table(
    "secrets",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, nullable=False),
)

users = sa.Table(
    "users",
    metadata,
    Column("id", Id, primary_key=True),
    Column("email", Text, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("password_hash", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("realtime_notifications", Boolean, nullable=False),
    Column("muted_all_at", BigInteger),
    Column("muted_all_sequence", BigInteger, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("seen_sequence", BigInteger, nullable=False),
    Column("views", BigInteger, nullable=False, server_default="0"),
)
"""`views` counts how often the user looked at a message: a look moves no sequence, but changes how hits are judged."""

tokens = sa.Table(
    "tokens",
    metadata,
    Column("id", Id, primary_key=True),
    _owner("user_id", "users.id"),
    Column("name", Text, nullable=False),
    Column("hash", Text, nullable=False, unique=True),
    Column("created_at", BigInteger, nullable=False),
    Column("last_used_at", BigInteger),
    Index("tokens_of_user", "user_id"),
)

sessions = sa.Table(
    "sessions",
    metadata,
    Column("id", Id, primary_key=True),
    _owner("user_id", "users.id"),
    Column("hash", Text, nullable=False, unique=True),
    Column("created_at", BigInteger, nullable=False),
    Column("last_used_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("device", Text),
    Index("sessions_of_user", "user_id"),
    Index("sessions_by_expiry", "expires_at"),
)

messages = sa.Table(
    "messages",
    metadata,
    Column("id", Id, primary_key=True),
    _owner("user_id", "users.id"),
    Column("created_at", BigInteger, nullable=False),
    Column("registered_sequence", BigInteger, nullable=False),
    Column("subject", Text, nullable=False),
    Column("template", Text),
    Column("format", Text, nullable=False),
    Column("shared", Boolean, nullable=False),
    Column("sent_at", BigInteger),
    Column("provider", Text),
    Column("crm", Text),
    Column("search", Text, nullable=False),
    Column("muted", Boolean),
    Column("muted_set_sequence", BigInteger, nullable=False),
    Column("viewed_at", BigInteger),
    Column("recipient_count", Integer, nullable=False),
    Column("opens", BigInteger, nullable=False),
    Column("hits", BigInteger, nullable=False),
    Column("first_opened_at", BigInteger),
    Column("last_opened_at", BigInteger),
    Index("messages_of_user", "user_id", "id"),
    Index("messages_of_template", "user_id", "template", "id"),
)

message_trigrams = sa.Table(
    "message_trigrams",
    metadata,
    Column("message_id", Id, ForeignKey("messages.id", ondelete="CASCADE"), primary_key=True),
    Column("trigrams", sa.ARRAY(Integer), nullable=False),
    Index(
        "messages_by_trigram",
        "trigrams",
        postgresql_using="gin",
        # Every search looks through the list of what came last: it is to be short (256 KB), not 4 MB.
        postgresql_with={"gin_pending_list_limit": 256},
    ),
)
"""On PostgreSQL only. Not a column of `messages`: every open counted on a message might write its trigrams anew."""

recipients = sa.Table(
    "recipients",
    metadata,
    Column("message_id", Id, ForeignKey("messages.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("address", Text, nullable=False),
    Column("name", Text),
    Column("opens", BigInteger, nullable=False),
    Column("first_opened_at", BigInteger),
    Column("last_opened_at", BigInteger),
    sqlite_with_rowid=False,
)
"""Figures are kept here where a message has several recipients; those of an only recipient are the message's own."""

opens = sa.Table(
    "opens",
    metadata,
    Column("id", Id, primary_key=True),
    _owner("user_id", "users.id"),
    _owner("message_id", "messages.id"),
    Column("position", Integer, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("confidence", Text, nullable=False),
    Column("reasons", Text, nullable=False),
    Column("ruleset", Text, nullable=False),
    Column("counted", Boolean, nullable=False),
    Column("repeat", Boolean, nullable=False),
    Column("told", Boolean, nullable=False),
    Column("city", Text),
    Column("region", Text),
    Column("country", Text),
    Column("country_code", Text),
    Column("hidden_by", Text),
    Column("device_type", Text, nullable=False),
    Column("os", Text),
    Column("client", Text),
    Column("client_hash", Text),
    Index(
        "opens_with_client_hash",
        "at",
        sqlite_where=sa.text("client_hash IS NOT NULL"),
        postgresql_where=sa.text("client_hash IS NOT NULL"),
    ),
    Index(
        "opens_early_on_pixel",
        "message_id",
        "position",
        "id",
        sqlite_where=sa.text("client_hash IS NOT NULL"),
        postgresql_where=sa.text("client_hash IS NOT NULL"),
    ),
    Index("history_of_message", "message_id", "counted", "id"),
    Index("history_of_user", "user_id", "counted", "id"),
    sqlite_with_rowid=False,
)
"""`client_hash` is kept for a day, and only on hits so soon after sending that a burst may still turn them."""

last_seen = sa.Table(
    "last_seen",
    metadata,
    Column("message_id", Id, ForeignKey("messages.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("client", Text, primary_key=True),
    Column("at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
"""When each client was last taken for a person on each pixel: kept for a day, to see repeats."""

viewings = sa.Table(
    "viewings",
    metadata,
    Column("message_id", Id, ForeignKey("messages.id", ondelete="CASCADE"), primary_key=True),
    Column("at", BigInteger, primary_key=True),
    sqlite_with_rowid=False,
)

events = sa.Table(
    "events",
    metadata,
    Column("user_id", Id, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("sequence", BigInteger, primary_key=True),
    Column("type", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("notified", Boolean, nullable=False),
    Column("withheld", Text),
    Column("message_id", Id),
    Column("open_id", Id),
    Column("data", Text),
    sqlite_with_rowid=False,
)
"""The log. A reference, not a copy: what it refers to is rendered when it is read."""

idempotency_keys = sa.Table(
    "idempotency_keys",
    metadata,
    Column("user_id", Id, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("key", Text, primary_key=True),
    Column("created_at", BigInteger, nullable=False),
    Column("body_hash", Text, nullable=False),
    Column("answer", Text, nullable=False),
    Index("idempotency_keys_by_age", "created_at"),
    sqlite_with_rowid=False,
)


def compared(dialect: str) -> Callable[..., bool]:
    """For alembic's `include_object`: whether a thing in a database of this dialect is to be compared to `metadata`."""

    def is_compared(thing: Any, name: str | None, kind: str, *_: Any) -> bool:
        if kind != "table" or dialect != "sqlite":
            return True
        return thing is not message_trigrams and not str(name).startswith(VIRTUAL)

    return is_compared
