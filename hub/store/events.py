"""The log: every user's events, gapless and in order, appended in the transaction of the change itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import takewhile

import msgspec

from hub.model import DAY_MS, Event, Settings
from hub.store import messages, opens
from hub.store.database import Change, Database, Row

TRIM_SLICE = 1000
"""The most events deleted in one transaction: it takes some milliseconds, for which hits wait."""

MOST_UNSEEN = 1000
UNSEEN_EVENTS = 5000
"""What is unseen is counted among the newest MOST_UNSEEN notifications in the newest UNSEEN_EVENTS events: a user who
never says what they saw may have a million of either."""

FEW = 50
"""Up to this many events are read in a fraction of a millisecond: on SQLite the event loop reads them itself."""


class Stored(msgspec.Struct, omit_defaults=True):
    """The small facts that an event keeps itself; it refers to all else."""

    was: str | None = None
    settings: Settings | None = None
    seen: int | None = None


_COLUMNS = ("user_id", "sequence", "type", "at", "notified", "withheld", "message_id", "open_id", "data")
_NAMES = (
    *_COLUMNS,
    *(f"o_{name}" for name in opens.COLUMNS),
    *(f"m_{name}" for name in messages.COLUMNS),
    *("p_address", "p_name"),
)
_INSERT = f"INSERT INTO events ({', '.join(_COLUMNS)}) {{rows}}"
_TYPES = "text bigint text bigint boolean text text text text"


class Events:
    """The `events` table. The caller provides the sequences, under a lock: see `Users.bump`, `lock_owners` and
    `unmoved`.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._select = (
            f"SELECT e.*, {opens.columns('o')}, {messages.columns('m')}, p.address AS p_address, p.name AS p_name"
            " FROM events e"
            " LEFT JOIN opens o ON o.id = e.open_id"
            " LEFT JOIN messages m ON m.id = e.message_id"
            " LEFT JOIN recipients p ON p.message_id = o.message_id AND p.position = o.position"
            " WHERE e.user_id = $1 AND e.sequence > $2 ORDER BY e.sequence LIMIT $3"
        )

    def added(self, events: Iterable[Event]) -> Change:
        """The change that puts new events at the end of the log."""
        return Change(_INSERT, _TYPES, [_values(event) for event in events])

    async def after(self, user_id: str, sequence: int, limit: int) -> list[Event]:
        """The events after `sequence`, oldest first, at most `limit`, with what they refer to as it is now."""
        quick = limit <= FEW
        rows = await self._database.fetch_as_one(_NAMES, self._select, user_id, sequence, limit, quick=quick)
        whole = [row["message_id"] for row in rows if row["message_id"] and not row["open_id"]]
        recipients = await messages.recipients_of(self._database, whole)
        return [_event(row, recipients.get(row["message_id"], [])) for row in rows]

    async def unseen(self, user_id: str, seen_sequence: int, sequence: int) -> int:
        """How many notifications after `seen_sequence`, and up to `sequence`, tell of an open that still counts.

        See `MOST_UNSEEN`.
        """
        row = await self._database.fetch_one(
            "SELECT count(*) AS n FROM (SELECT open_id FROM events"
            " WHERE user_id = $1 AND sequence > $2 AND sequence <= $3 AND type = 'open.recorded' AND notified"
            f" ORDER BY sequence DESC LIMIT {MOST_UNSEEN}) AS e JOIN opens o ON o.id = e.open_id WHERE o.counted",
            user_id,
            max(seen_sequence, sequence - UNSEEN_EVENTS),
            sequence,
        )
        return row["n"] if row else 0

    async def trim(self, user_id: str, before: int, now: int) -> int:
        """Delete a slice of the user's oldest events, those older than the time `before`. Returns how many.

        An event dated more than a day after `now` was dated by a clock that was ahead. It is taken to be as old as the
        next event that was not.
        """
        ahead = now + DAY_MS
        async with self._database.write() as tx:
            rows = await tx.fetch(
                f"SELECT sequence, at FROM events WHERE user_id = $1 ORDER BY sequence LIMIT {TRIM_SLICE}", user_id
            )
            old = list(takewhile(lambda row: row["at"] < before or row["at"] > ahead, rows))
            if old and old[-1]["at"] > ahead:
                then = await tx.fetch_one(
                    "SELECT at FROM events WHERE user_id = $1 AND sequence > $2 AND at <= $3 ORDER BY sequence LIMIT 1",
                    user_id,
                    old[-1]["sequence"],
                    ahead,
                )
                while old and old[-1]["at"] > ahead and (then is None or then["at"] >= before):
                    old.pop()
            if old:
                await tx.fetch("DELETE FROM events WHERE user_id = $1 AND sequence <= $2", user_id, old[-1]["sequence"])
        return len(old)


def _values(event: Event) -> tuple[object, ...]:
    stored = Stored(was=event.was, settings=event.settings, seen=event.seen)
    return (
        *(event.user_id, event.sequence, event.type, event.at, event.notified, event.withheld),
        event.message.id if event.message else None,
        event.open.id if event.open else None,
        None if stored == Stored() else msgspec.json.encode(stored).decode(),
    )


def _event(row: Row, recipients: Sequence[Row]) -> Event:
    stored = msgspec.json.decode(row["data"], type=Stored) if row["data"] else Stored()
    message = None
    if row["m_id"] is not None:
        message = messages.with_recipients(messages.message_from(row), recipients)
    return Event(
        user_id=row["user_id"],
        sequence=row["sequence"],
        type=row["type"],
        at=row["at"],
        notified=bool(row["notified"]),
        withheld=row["withheld"],
        open=opens.open_from(row) if row["o_id"] is not None else None,
        message=message,
        recipient=opens.recipient_from(row),
        was=stored.was,  # type: ignore[arg-type]
        settings=stored.settings,
        seen=stored.seen,
    )
