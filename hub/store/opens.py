"""Opens: every hit once recorded, and what is kept for a day to see a repeat or a burst."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from itertools import groupby
from typing import Any

import msgspec

from hub.model import ClientKey, Device, Open, PixelKey, Place, Recipient, Verdict, id_text
from hub.store.database import Change, Database, Fetch, Held, Row

COLUMNS = (
    "id",
    "user_id",
    "message_id",
    "position",
    "at",
    "verdict",
    "confidence",
    "reasons",
    "ruleset",
    "counted",
    "repeat",
    "told",
    "city",
    "region",
    "country",
    "country_code",
    "hidden_by",
    "device_type",
    "os",
    "client",
)
_TYPES = (
    "text text text integer bigint text text text text boolean boolean boolean"
    " text text text text text text text text text"
)
_INSERT = f"INSERT INTO opens ({', '.join(COLUMNS)}, client_hash) {{rows}}"
_SEE = (
    "INSERT INTO last_seen (message_id, position, client, at) {rows}"
    " ON CONFLICT (message_id, position, client) DO UPDATE SET at = excluded.at"
)
_CORRECT = (
    "UPDATE opens SET verdict = r.column1, confidence = r.column2, reasons = r.column3, ruleset = r.column4,"
    " counted = r.column5 FROM ({rows}) AS r WHERE id = r.column6"
)

MOST_AT_ONCE = 1000
"""The most opens corrected in one transaction: it takes tenths of a second, for which hits wait."""

MOST_EARLY = 1000
"""The most early opens that are read of one pixel: so many are a burst, whatever the others are."""

CLOCK_MS = 60_000
"""By how much the time in an open's id may lie before its `at`, in ms: the id is made a moment after `at` is read, and
the clock may be set back between the two. It may lie any time after, for ids keep their order when that happens."""

# Each kind is read in the order of its index, from the newest back: there may be a hundred thousand earlier opens.
_LAST_PERSON = " UNION ALL ".join(
    "SELECT * FROM (SELECT at FROM opens WHERE message_id = $1 AND position = $2 AND at < $3"
    f" AND verdict IN ('human', 'proxy') AND counted = {counted} ORDER BY id DESC LIMIT 1) AS {kind}"
    for counted, kind in (("true", "counted"), ("false", "repeated"))
)


def columns(table: str) -> str:
    """The columns of an open, qualified, each under the name `open_from` expects."""
    return ", ".join(f"{table}.{name} AS o_{name}" for name in COLUMNS)


class Opens:
    """The `opens` and `last_seen` tables. Methods that take `tx` run in the caller's transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database
        early = database.sql.first_at_keys(
            database.sql.rows("$1", message_id="text", position="integer"),
            "opens",
            "s.message_id = r.message_id AND s.position = r.position AND s.client_hash IS NOT NULL"
            " AND s.verdict IN ('human', 'scanner')",
            MOST_EARLY,
        )
        self._early = f"SELECT {columns('s')}, s.client_hash FROM {early} ORDER BY s.id"

    def added(self, opens: Iterable[tuple[Open, str | None]]) -> Change:
        """The change that inserts new opens, each with the client hash that is to be kept with it."""
        return Change(_INSERT, _TYPES, [(*_values(open_), client_hash) for open_, client_hash in opens])

    async def recorded(self, tx: Held, ids: Iterable[str]) -> set[str]:
        """Which of these ids are recorded already: the hits of a commit whose answer never came are replayed."""
        rows = await tx.fetch(
            f"SELECT id FROM opens WHERE id IN {self._database.sql.texts('$1')}", json.dumps(list(ids))
        )
        return {row["id"] for row in rows}

    def seen(self, seen: Mapping[ClientKey, int]) -> Change:
        """The change that notes which clients were taken for people, and when."""
        return Change(_SEE, "text integer text bigint", [(*client, at) for client, at in seen.items()])

    async def forget_seen(self, tx: Held, clients: Iterable[ClientKey]) -> None:
        """Forget that these clients were taken for people."""
        for client in clients:
            await tx.fetch("DELETE FROM last_seen WHERE message_id = $1 AND position = $2 AND client = $3", *client)

    async def unsee(self, tx: Held, opens: Iterable[Open]) -> None:
        """Take back that clients were last seen with these opens: of one message, and as they were before a correction.

        `last_seen` has a client and a time but no open, so its rows are found by the times of these opens:

        * At the time of an open that counted, the client had not been seen shortly before: the row is deleted.
        * At the time of a repeat, the client had been seen before. If such rows are no more than the opens that counted
          here and whose own row was not found, they were first seen with those, and are deleted, too. Otherwise some
          were seen even earlier. It is not known which, so all these rows are set back to the last open before these
          that is still a person's, or deleted if there is none.
        """
        rows = self._database.sql.rows("$3", at="bigint")
        then = f"message_id = $1 AND position = $2 AND at IN (SELECT r.at FROM {rows})"
        for position, turned in groupby(sorted(opens, key=lambda open_: open_.position), lambda open_: open_.position):
            ours = list(turned)
            pixel = (ours[0].message_id, position)
            counted = [open_.at for open_ in ours if open_.counted]
            repeats = {open_.at for open_ in ours if open_.repeat}
            first, again = _times({*counted} - repeats), _times(repeats)
            new = await tx.fetch(f"DELETE FROM last_seen WHERE {then} RETURNING client", *pixel, first)
            if not repeats:
                continue
            left = await tx.fetch(f"SELECT client FROM last_seen WHERE {then}", *pixel, again)
            before: list[int] = []
            if len(left) > len(counted) - len(new):
                found = await tx.fetch(_LAST_PERSON, *pixel, min(open_.at for open_ in ours))
                before = [row["at"] for row in found]
            if before:
                await tx.fetch(f"UPDATE last_seen SET at = $4 WHERE {then}", *pixel, again, max(before))
            else:
                await tx.fetch(f"DELETE FROM last_seen WHERE {then}", *pixel, again)

    async def early(self, fetch: Fetch, pixels: Collection[PixelKey]) -> dict[PixelKey, list[tuple[Open, str]]]:
        """The opens of each of these pixels that a burst may be made of: those of people or scanners that have a client
        hash, and so are within the delivery window. At most `MOST_EARLY` of each.

        All in one statement: when much mail was just sent, nearly every hit of a batch is on a pixel of its own.
        """
        keys = json.dumps([{"message_id": id_, "position": position} for id_, position in pixels])
        found: dict[PixelKey, list[tuple[Open, str]]] = {pixel: [] for pixel in pixels}
        for row in await fetch(self._early, keys):
            found[row["o_message_id"], row["o_position"]].append((open_from(row), row["client_hash"]))
        return found

    async def between(
        self, tx: Held, message_id: str, earliest: int, latest: int, *, people: bool = False
    ) -> list[Open]:
        """The opens of a message between two times, oldest first, without those known to be the sender's own; with
        `people`, only those that were taken for a person's.

        If there are more than `MOST_AT_ONCE`, those that count come first, and then the newest, so that nobody can hide
        one behind a thousand others.
        """
        wanted = "o.verdict IN ('human', 'proxy')" if people else "o.verdict <> 'self'"
        first = id_text((max(earliest - CLOCK_MS, 0) << 80).to_bytes(16, "big"))
        rows: list[Row] = []
        for counted in ("true", "false"):
            if len(rows) < MOST_AT_ONCE:
                # Ordered by every column of its index, as in `page`.
                rows += await tx.fetch(
                    f"SELECT {columns('o')} FROM opens o WHERE o.message_id = $1 AND o.counted = {counted}"
                    f" AND o.id >= $2 AND o.at BETWEEN $3 AND $4 AND {wanted}"
                    f" ORDER BY o.counted DESC, o.id DESC LIMIT {MOST_AT_ONCE}",
                    message_id,
                    first,
                    earliest,
                    latest,
                )
        return sorted(map(open_from, rows[:MOST_AT_ONCE]), key=lambda open_: open_.id)

    def corrected(self, opens: Iterable[Open]) -> Change:
        """The change that sets the new verdicts of opens."""
        rows = [(*_verdict(open_), open_.counted, open_.id) for open_ in opens]
        return Change(_CORRECT, "text text text text boolean text", rows)

    async def page(
        self, user_id: str, *, limit: int, message_id: str | None, before: str | None, uncounted: bool
    ) -> list[tuple[Open, Recipient | None]]:
        """The opens of one message, or of all the user's, newest first, each with the recipient whose pixel it was.

        Opens that count and opens that do not are read apart, each from the newest back: there may be a million hits of
        machines between two of people. Each read is ordered by every column of its index. Otherwise PostgreSQL, which
        cannot guess how many ids come before an early one, would look through everybody's opens.
        """
        where, args = ["user_id = $1"], [user_id]
        if message_id is not None:
            # As an expression: otherwise SQLite looks through all of the user's opens for those of one message.
            where = ["user_id || '' = $1"]
            args.append(message_id)
            where.append(f"message_id = ${len(args)}")
        if before is not None:
            args.append(before)
            where.append(f"id < ${len(args)}")
        kinds = ("true", "false") if uncounted else ("true",)
        newest = " UNION ALL ".join(
            f"SELECT * FROM (SELECT * FROM opens WHERE {' AND '.join(where)} AND counted = {kind}"
            f" ORDER BY counted DESC, id DESC LIMIT {limit:d}) AS of_{kind}"
            for kind in kinds
        )
        rows = await self._database.fetch(
            f"SELECT {columns('o')}, p.address AS p_address, p.name AS p_name FROM ({newest}) AS o"
            " LEFT JOIN recipients p ON p.message_id = o.message_id AND p.position = o.position"
            f" ORDER BY o.id DESC LIMIT {limit:d}",
            *args,
        )
        return [(open_from(row), recipient_from(row)) for row in rows]


def open_from(row: Row) -> Open:
    """The noun in a row that has `columns`."""
    return Open(
        id=row["o_id"],
        user_id=row["o_user_id"],
        message_id=row["o_message_id"],
        position=row["o_position"],
        at=row["o_at"],
        verdict=Verdict(
            row["o_verdict"],
            row["o_confidence"],
            tuple(filter(None, row["o_reasons"].split(","))),
            row["o_ruleset"],
        ),
        counted=bool(row["o_counted"]),
        repeat=bool(row["o_repeat"]),
        told=bool(row["o_told"]),
        place=Place(row["o_city"], row["o_region"], row["o_country"], row["o_country_code"], row["o_hidden_by"]),
        device=Device(row["o_device_type"], row["o_os"], row["o_client"]),
    )


def recipient_from(row: Row) -> Recipient | None:
    """Whose pixel it was, from a row that joins `recipients` as p; None if it was shared."""
    return Recipient(row["p_address"], row["p_name"]) if row["p_address"] is not None else None


def _values(open_: Open) -> tuple[Any, ...]:
    """The values of `COLUMNS`."""
    return (
        *(open_.id, open_.user_id, open_.message_id, open_.position, open_.at),
        *_verdict(open_),
        *(open_.counted, open_.repeat, open_.told),
        *msgspec.structs.astuple(open_.place),
        *msgspec.structs.astuple(open_.device),
    )


def _times(times: Iterable[int]) -> str:
    return json.dumps([{"at": at} for at in times])


def _verdict(open_: Open) -> tuple[str, str, str, str]:
    verdict = open_.verdict
    return verdict.verdict, verdict.confidence, ",".join(verdict.reasons), verdict.ruleset
