"""Messages and their recipients: registering, finding, changing, counting."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec

from hub.model import Count, Crm, Message, PixelKey, Provider, Recipient
from hub.store.database import Change, Database, Fetch, Held, Row
from hub.store.search import Search, folded

COLUMNS = (
    *("id", "user_id", "created_at", "registered_sequence", "subject", "template", "format", "shared", "sent_at"),
    *("provider", "crm", "muted", "muted_set_sequence", "opens", "hits", "first_opened_at", "last_opened_at"),
    *("recipient_count", "viewed_at"),
)


RECIPIENTS = "SELECT message_id, address, name, opens, first_opened_at, last_opened_at FROM recipients"
"""Finds the rows that `with_recipients` takes. It names columns, for a prepared `*` fails once a release adds one."""


def columns(table: str) -> str:
    """The columns of a message, qualified, each under the name `message_from` expects."""
    return ", ".join(f"{table}.{name} AS m_{name}" for name in COLUMNS)


class Messages:
    """The `messages` and `recipients` tables. Methods that take `tx` run in the caller's transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._search = Search(database)
        # The scalar min() and max() of SQLite are NULL if either side is; those of PostgreSQL are not.
        least, greatest = ("min", "max") if database.embedded else ("least", "greatest")
        opened = (
            f" first_opened_at = {least}(coalesce(first_opened_at, r.column2), coalesce(r.column2, first_opened_at)),"
            f" last_opened_at = {greatest}(coalesce(last_opened_at, r.column3), coalesce(r.column3, last_opened_at))"
        )
        rows = " FROM ({rows}) AS r WHERE"
        self._count = (
            f"UPDATE messages SET opens = opens + r.column1,{opened}, hits = hits + r.column4{rows} id = r.column5"
        )
        self._count_recipient = (
            f"UPDATE recipients SET opens = opens + r.column1,{opened}{rows}"
            " message_id = r.column4 AND position = r.column5"
        )
        spans = database.sql.rows("$1", message_id="text", earliest="bigint", latest="bigint")
        self._viewings = (
            f"SELECT v.message_id, v.at FROM {spans} CROSS JOIN viewings v"
            " WHERE v.message_id = r.message_id AND v.at BETWEEN r.earliest AND r.latest ORDER BY v.at"
        )

    async def add(self, tx: Held, message: Message) -> None:
        """Insert a message and its recipients."""
        await tx.fetch(
            "INSERT INTO messages (id, user_id, created_at, registered_sequence, subject, template, format, shared,"
            " sent_at, provider, crm, search, muted_set_sequence, recipient_count, opens, hits)"
            " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 0, $13, 0, 0)",
            *(message.id, message.user_id, message.created_at, message.registered_sequence, message.subject),
            *(message.template, message.format, message.shared, message.sent_at),
            *(encode_or_none(message.provider), encode_or_none(message.crm), search_text(message)),
            message.recipient_count,
        )
        rows = [
            {"position": position, "address": recipient.address, "name": recipient.name}
            for position, recipient in enumerate(message.recipients, 1)
        ]
        await tx.fetch(
            "INSERT INTO recipients (message_id, position, address, name, opens)"
            f" SELECT $2, r.position, r.address, r.name, 0"
            f" FROM {self._database.sql.rows('$1', position='integer', address='text', name='text')}",
            json.dumps(rows),
            message.id,
        )

    async def get(self, user_id: str, message_id: str) -> Message | None:
        """A message of the user's own, with its recipients."""
        row = await self._database.find(
            f"SELECT {columns('m')} FROM messages m WHERE m.id = $1 AND m.user_id = $2", message_id, user_id
        )
        if row is None:
            return None
        return (await self._with_recipients([message_from(row)]))[0]

    async def owned(self, user_id: str, message_id: str) -> bool:
        """Whether this is a message of the user's own."""
        row = await self._database.find("SELECT id FROM messages WHERE id = $1 AND user_id = $2", message_id, user_id)
        return row is not None

    async def page(
        self,
        user_id: str,
        *,
        limit: int,
        before: str | None = None,
        search: str | None = None,
        opened: bool | None = None,
        template: str | None = None,
    ) -> list[Message]:
        """The user's messages, newest first, from just before the id `before`; at most `limit`."""
        keyed, others, args = ["m.user_id = $1"], [], [user_id]
        for condition, value in (("m.id < ", before), ("m.template = ", template)):
            if value is not None:
                args.append(value)
                keyed.append(f"{condition}${len(args)}")
        if opened is not None:
            others.append("m.opens > 0" if opened else "m.opens = 0")
        if search:
            rows = await self._search.newest(columns("m"), search, args, keyed, others, limit)
        else:
            where = " AND ".join([*keyed, *others])
            rows = await self._database.fetch(
                f"SELECT {columns('m')} FROM messages m WHERE {where} ORDER BY m.id DESC LIMIT {limit:d}", *args
            )
        return await self._with_recipients([message_from(row) for row in rows])

    def counted(self, counts: Sequence[Count]) -> tuple[Change, Change]:
        """The changes that add a batch's counts to its messages, and to recipients with a pixel of their own."""
        whole = [(c.opens, c.first, c.last, c.hits, c.message_id) for c in counts if not c.position]
        own = [(c.opens, c.first, c.last, c.message_id, c.position) for c in counts if c.position and c.opens]
        return (
            Change(self._count, "bigint bigint bigint bigint text", whole),
            Change(self._count_recipient, "bigint bigint bigint text integer", own),
        )

    async def recount(self, tx: Held, pixels: Collection[PixelKey]) -> None:
        """Count anew what these pixels' messages and recipients have, from their opens, after some were corrected.

        May look through all opens of these messages.
        """
        keys = json.dumps([{"message_id": id_, "position": position} for id_, position in sorted(pixels)])
        rows = self._database.sql.rows("$1", message_id="text", position="integer")
        for table, wanted, own in (
            ("messages", f"id IN (SELECT r.message_id FROM {rows})", "o.message_id = messages.id"),
            (
                "recipients",
                f"(message_id, position) IN (SELECT r.message_id, r.position FROM {rows})",
                "o.message_id = recipients.message_id AND o.position = recipients.position",
            ),
        ):
            counted = f"FROM opens o WHERE {own} AND o.counted = true"
            await tx.fetch(
                f"UPDATE {table} SET opens = (SELECT count(*) {counted}),"
                f" first_opened_at = (SELECT min(o.at) {counted}), last_opened_at = (SELECT max(o.at) {counted})"
                f" WHERE {wanted}",
                keys,
            )

    async def change(self, tx: Held, user_id: str, message_id: str, values: Mapping[str, Any]) -> bool:
        """Set columns of a message of the user's own; False if there is no such message.

        The names in `values` become SQL as they are: they are the code's own, never a client's.
        """
        names = ", ".join(f"{name} = ${place}" for place, name in enumerate(values, 3))
        rows = await tx.fetch(
            f"UPDATE messages SET {names} WHERE id = $1 AND user_id = $2 RETURNING id",
            message_id,
            user_id,
            *values.values(),
        )
        return bool(rows)

    async def read(self, tx: Held, message_id: str) -> Message:
        """A message with its recipients, as it is inside the transaction."""
        row = await tx.require_one(f"SELECT {columns('m')} FROM messages m WHERE m.id = $1", message_id)
        rows = await tx.fetch(f"{RECIPIENTS} WHERE message_id = $1 ORDER BY position", message_id)
        return with_recipients(message_from(row), rows)

    async def add_viewing(self, tx: Held, message_id: str, at: int) -> None:
        """Note that the sender was looking at the message at this moment."""
        await tx.fetch("INSERT INTO viewings (message_id, at) VALUES ($1, $2) ON CONFLICT DO NOTHING", message_id, at)
        await tx.fetch(
            "UPDATE messages SET viewed_at = $2 WHERE id = $1 AND (viewed_at IS NULL OR viewed_at < $2)",
            message_id,
            at,
        )
        await tx.fetch(
            "UPDATE users SET views = views + 1 WHERE id = (SELECT user_id FROM messages WHERE id = $1)", message_id
        )

    async def viewings(self, fetch: Fetch, spans: Mapping[str, tuple[int, int]]) -> dict[str, list[int]]:
        """When the sender was looking at each of these messages, between two times, both included.

        All in one statement: every hit of a batch may be on another message that was just looked at.
        """
        asked = [{"message_id": id_, "earliest": first, "latest": last} for id_, (first, last) in spans.items()]
        found: dict[str, list[int]] = {message_id: [] for message_id in spans}
        for row in await fetch(self._viewings, json.dumps(asked)):
            found[row["message_id"]].append(row["at"])
        return found

    async def _with_recipients(self, messages: list[Message]) -> list[Message]:
        found = await recipients_of(self._database, [message.id for message in messages])
        return [with_recipients(message, found.get(message.id, [])) for message in messages]


async def recipients_of(database: Database, message_ids: Sequence[str]) -> dict[str, list[Row]]:
    """The recipients of these messages by the message's id, in their order, as `with_recipients` takes them."""
    found: dict[str, list[Row]] = {}
    if message_ids:
        in_ids = f"message_id IN {database.sql.texts('$1')}"
        for row in await database.fetch(f"{RECIPIENTS} WHERE {in_ids} ORDER BY position", json.dumps(message_ids)):
            found.setdefault(row["message_id"], []).append(row)
    return found


def message_from(row: Row) -> Message:
    """The noun in a row that has `columns`, without its recipients."""
    return Message(
        id=row["m_id"],
        user_id=row["m_user_id"],
        created_at=row["m_created_at"],
        registered_sequence=row["m_registered_sequence"],
        subject=row["m_subject"],
        template=row["m_template"],
        format=row["m_format"],
        shared=bool(row["m_shared"]),
        sent_at=row["m_sent_at"],
        provider=msgspec.json.decode(row["m_provider"], type=Provider) if row["m_provider"] else None,
        crm=msgspec.json.decode(row["m_crm"], type=Crm) if row["m_crm"] else None,
        muted=None if row["m_muted"] is None else bool(row["m_muted"]),
        muted_set_sequence=row["m_muted_set_sequence"],
        opens=row["m_opens"],
        hits=row["m_hits"],
        first_opened_at=row["m_first_opened_at"],
        last_opened_at=row["m_last_opened_at"],
        recipient_count=row["m_recipient_count"],
        viewed_at=row["m_viewed_at"],
    )


def with_recipients(message: Message, rows: Sequence[Row]) -> Message:
    """The message with the recipients in `rows`. They have figures only where a pixel is theirs alone."""
    recipients = tuple(Recipient(row["address"], row["name"], *_figures(message, row)) for row in rows)
    return msgspec.structs.replace(message, recipients=recipients)


def _figures(message: Message, row: Row) -> tuple[int | None, int | None, int | None]:
    if message.shared or not message.tracked:
        return None, None, None
    if message.recipient_count == 1:
        return message.opens, message.first_opened_at, message.last_opened_at
    return row["opens"], row["first_opened_at"], row["last_opened_at"]


def encode_or_none(value: Provider | Crm | None) -> str | None:
    """The JSON in which a provider's or CRM's names are kept; None for None."""
    return None if value is None else msgspec.json.encode(value).decode()


def search_text(message: Message) -> str:
    """What a search looks through: subject, addresses and names, folded."""
    words = [message.subject]
    for recipient in message.recipients:
        words += [recipient.address, recipient.name or ""]
    return folded("\n".join(words))
