"""What every batch of hits is judged by, read in one statement and as one row.

Promise: it reads the same as a query for each table would, at a fraction of the cost: every statement of a transaction
costs a round trip, and every row a fight for Python's lock. What only some batches need besides, early opens and looks
at a message, is read by `opens` and `messages`.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from hub.batch import Known
from hub.model import ClientKey, MessageState, PixelKey, Recipient
from hub.store import users
from hub.store.database import Database, Fetch


class _State(MessageState, array_like=True, frozen=True):
    """A message's state as it comes in JSON; SQLite says 0 and 1 for false and true."""


_users = msgspec.json.Decoder(list[users.UserRow], strict=False)
_messages = msgspec.json.Decoder(list[_State], strict=False)
_recipients = msgspec.json.Decoder(list[tuple[str, int, str, str | None]])
_seen = msgspec.json.Decoder(list[tuple[str, int, str, int]])
_encode = msgspec.json.Encoder().encode


class Standings:
    """Reads how things stand, in one statement."""

    def __init__(self, database: Database) -> None:
        columns = ", ".join(
            database.sql.from_json("s.crm") if name == "crm" else f"s.{name}" for name in MessageState.__struct_fields__
        )
        ids = database.sql.at_keys(database.sql.rows("$1", message_id="text"), "messages", "s.id = r.message_id")
        messages = database.sql.json_rows(columns, ids)
        pixels = database.sql.rows("$2", message_id="text", position="integer")
        recipients = database.sql.json_rows(
            "s.message_id, s.position, s.address, s.name",
            database.sql.at_keys(pixels, "recipients", "s.message_id = r.message_id AND s.position = r.position"),
        )
        clients = database.sql.rows("$3", message_id="text", position="integer", client="text")
        seen = database.sql.json_rows(
            "s.message_id, s.position, s.client, s.at",
            database.sql.at_keys(
                clients,
                "last_seen",
                "s.message_id = r.message_id AND s.position = r.position AND s.client = r.client",
            ),
        )
        owners = database.sql.json_rows(
            users.columns("s"),
            database.sql.at_keys(f"(SELECT DISTINCT s.user_id FROM {ids}) AS r", "users", "s.id = r.user_id"),
        )
        self._select = f"SELECT {owners} AS users, {messages} AS messages, {recipients} AS recipients, {seen} AS seen"

    async def read(
        self, fetch: Fetch, messages: Iterable[str], pixels: Iterable[PixelKey], clients: Iterable[ClientKey]
    ) -> Known:
        """Read how the messages with these ids, their owners, the recipients at these pixels and these clients stand.

        `fetch` may be inside a transaction or outside of any.
        """
        [row] = await fetch(
            self._select,
            _text([{"message_id": id_} for id_ in messages]),
            _text([{"message_id": id_, "position": position} for id_, position in pixels]),
            _text([{"message_id": id_, "position": position, "client": c} for id_, position, c in clients]),
        )
        return Known(
            {row.id: users.user_of(row) for row in _users.decode(row["users"])},
            {message.id: message for message in _messages.decode(row["messages"])},
            {
                (id_, position): Recipient(address, name)
                for id_, position, address, name in _recipients.decode(row["recipients"])
            },
            {(id_, position, client): at for id_, position, client, at in _seen.decode(row["seen"])},
        )


def _text(value: object) -> str:
    return _encode(value).decode()
