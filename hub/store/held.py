"""One held connection of the driver underneath, on SQLite or PostgreSQL, and what is asked on it.

Promise: a statement belongs to the transaction that it was asked for in, or fails: what waits behind one that
ended the transaction changes nothing.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Mapping, Sequence
from functools import lru_cache
from itertools import chain, count, islice
from typing import Any, TypeAlias

from databases.core import Connection

logger = logging.getLogger(__name__)

Row: TypeAlias = Mapping[str, Any]

LOCKED_SECONDS = 5.0
"""A transaction whose process says nothing for so long is ended by the server. Its process may be cut off, or
frozen, with users' rows locked, for which every other process would wait as long as TCP does: hours."""

ROWS_BITS = 6
"""Rows go into a statement by powers of two, up to 2**6, so that few texts of it have to be prepared.

Not one by one: on SQLite each row would cost its thread a fight with the loop for Python's lock."""

SQLITE_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    # Below the recorder's own deadline, so that a lock held elsewhere ends as an error, not as a guess.
    "PRAGMA busy_timeout=400",
    "PRAGMA temp_store=MEMORY",
    # A batch changes a few pages a hit, all over the file: by default they would not stay in memory until the
    # commit, and every third batch would wait for all of them to be copied from the log to the file.
    "PRAGMA cache_size=-16384",
    "PRAGMA wal_autocheckpoint=8000",
)

BEGIN = "BEGIN IMMEDIATE"
TURNS = (BEGIN, "COMMIT", "ROLLBACK")
"""What begins and ends a transaction on SQLite."""


class Held:
    """One open connection of the driver underneath, speaking `$1` parameters on both databases.

    Statements run in the order in which they are asked for. Those that need no answer of each other are best
    asked for `at_once`: on SQLite its thread then runs them in one go, without a round trip to the loop for
    each. What is still asked for when a transaction has ended by itself fails, and changes nothing.
    """

    def __init__(self, connection: Connection, embedded: bool) -> None:
        self._connection = connection
        self._embedded = embedded
        self._raw = connection.raw_connection
        self._turn = asyncio.Lock()
        self._begun = False

    async def fetch(self, sql: str, *args: Any) -> Sequence[Row]:
        """Run one statement and return its rows (none, if it returns none)."""
        if self._embedded:
            named = {str(place): value for place, value in enumerate(args, 1)}
            rows: Sequence[Row] = await self._raw._execute(self._run, sql, named)
            return rows
        async with self._turn:
            return await self._raw.fetch(sql, *args)  # type: ignore[no-any-return]

    async def fetch_one(self, sql: str, *args: Any) -> Row | None:
        """The first row of a statement, or None."""
        rows = await self.fetch(sql, *args)
        return rows[0] if rows else None

    async def execute_rows(self, sql: str, rows: Sequence[Sequence[Any]], types: str = "") -> None:
        """Run a statement with many rows of values in the place of its `{rows}`, as behind VALUES.

        The columns of VALUES have the names `column1`, `column2` …; where nothing else tells PostgreSQL their
        types, `types` has to, separated by blanks.
        """
        done = 0
        while done < len(rows):
            some = 1 << min((len(rows) - done).bit_length() - 1, ROWS_BITS)
            values = tuple(chain.from_iterable(rows[done : done + some]))
            done += some
            text = _with_rows(sql, some, len(rows[0]), None if self._embedded else types)
            if self._embedded:
                await self._raw._execute(self._run, text, values)
            else:
                async with self._turn:
                    await self._raw.fetch(text, *values)

    def _run(self, sql: str, values: Any) -> Sequence[Row]:
        """Run a statement on SQLite, in its thread.

        A full disk, an interrupt and the like end a transaction there and then, and what waits behind would be
        committed by itself, one statement at a time.
        """
        connection = self._raw._conn
        if self._begun and not connection.in_transaction:
            if sql == "ROLLBACK":
                self._begun = False
                return ()
            raise sqlite3.OperationalError("the transaction was rolled back")
        rows: Sequence[Row] = connection.execute(sql, values).fetchall()
        if sql in TURNS:
            self._begun = sql == BEGIN
        return rows

    async def prepare(self) -> None:
        """Set up a connection that has just been opened."""
        if self._embedded:
            self._raw.row_factory = sqlite3.Row
            for pragma in SQLITE_PRAGMAS:
                await self.fetch(pragma)
        else:
            await self.fetch(f"SET idle_in_transaction_session_timeout = {round(LOCKED_SECONDS * 1000)}")

    async def begin(self) -> None:
        # IMMEDIATE takes the write lock at once. A transaction that reads first and asks for the
        # lock later fails on SQLite whenever another has written in between.
        await self.fetch(BEGIN if self._embedded else "BEGIN")

    async def close(self) -> None:
        """Give the connection up, whatever state it is in, without waiting for a server that hangs."""
        try:
            if self._embedded:
                await self._raw.interrupt()
            else:
                self._raw.terminate()
            async with asyncio.timeout(2):
                await self._connection.__aexit__()
        except Exception as error:
            logger.debug("a broken connection did not close: %s", error)


async def at_once(*statements: Awaitable[Any]) -> list[Any]:
    """The answers of statements of one transaction, asked for at once. Raises the first failure.

    Unlike `asyncio.gather` it lets none outlive another's failure, and with that the transaction.
    """
    answers = await asyncio.gather(*statements, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return answers


@lru_cache(maxsize=128)
def _with_rows(sql: str, rows: int, columns: int, types: str | None) -> str:
    """`sql` with parameters for so many rows: `?` on SQLite (`types` is None), else `$1`, `$2` … over all of them."""
    if types is None:
        row = f"({', '.join('?' * columns)})"
        return sql.replace("{rows}", ", ".join([row] * rows))
    each = [f"CAST(${{}} AS {type_})" for type_ in types.split()] or ["${}"] * columns
    row = f"({', '.join(each)})"
    numbers = count(1)
    return sql.replace("{rows}", ", ".join(row.format(*islice(numbers, columns)) for _ in range(rows)))
