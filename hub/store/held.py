"""One held connection of the driver underneath, on SQLite or PostgreSQL, and what is asked on it.

Promise: one text of SQL serves both databases. On SQLite the event loop waits neither for a lock nor for the disk to
confirm a write; at most it waits for a thread to begin.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable, Mapping, Sequence
from threading import Event
from typing import Any, TypeAlias

from databases.core import Connection

from hub.store.statements import Change, Shape, View, all_in_one, as_json, one_by_one

logger = logging.getLogger(__name__)

Row: TypeAlias = Mapping[str, Any]
Fetch: TypeAlias = Callable[..., Awaitable[Sequence[Row]]]
"""Runs a statement with its parameters, inside a transaction or outside of any."""

Execute: TypeAlias = Callable[[str, Any], Awaitable[Any]]

LOCKED_SECONDS = 5.0
"""PostgreSQL ends a transaction whose process says nothing for this long. A process that is cut off or frozen keeps
users' rows locked, and every other process would wait for these as long as TCP does: hours."""

BUSY_SECONDS = 0.4
BUSY_STEP_SECONDS = 0.01
"""How long a statement waits for what another process has locked, and on SQLite how often it tries. It is less than the
recorder's own deadline, so that such a wait ends in an error that names the lock, not in a mere timeout."""

BEGUN_SECONDS = 0.001
"""The longest that the event loop stands still for a thread to begin. It takes 0.1 ms for one hit and 0.6 ms for 128,
nearly all of it Python's own work of handing the values to SQLite."""

SQLITE_PRAGMAS = (
    # Otherwise SQLite itself would wait, and hold up the event loop or a thread.
    "PRAGMA busy_timeout=0",
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    "PRAGMA temp_store=MEMORY",
    # A batch changes a few pages a hit, all over the file: the default cache would not hold them until the commit.
    "PRAGMA cache_size=-16384",
    # A commit that finds so many pages in the log copies them to the file itself, and hits wait. `Checkpoints` keeps
    # the log far shorter.
    "PRAGMA wal_autocheckpoint=20000",
    # While somebody reads for long the log cannot be begun anew. Without this its file would stay as long as it grew.
    "PRAGMA journal_size_limit=67108864",
)

# IMMEDIATE takes the write lock at once. A transaction that reads first and asks for the lock later fails on
# SQLite whenever another has written in between.
SQLITE_BEGIN = "BEGIN IMMEDIATE"
WAITS = ("COMMIT", "ROLLBACK")
"""Statements that wait for the disk, and so never run on the event loop. `change_if` never does either."""


class Held:
    """One open connection of the driver underneath, speaking `$1` parameters on both databases.

    While `quick`, statements on SQLite run on the event loop itself, except those in WAITS. What a batch of hits needs
    is nearly always in memory and takes some 20 us a statement. In a thread it takes 100 times as long while the loop
    is busy, because the thread has to win Python's lock back from the loop after every row.

    This uses three things of aiosqlite (0.22, read 2026-11) that are not public: `_conn`, the sqlite3 connection;
    `_execute`, which has its thread call a function; and `_tx`, the queue of futures and functions behind that.
    """

    def __init__(self, connection: Connection, embedded: bool) -> None:
        self._connection = connection
        self._embedded = embedded
        self._raw = connection.raw_connection
        self._views: dict[tuple[Shape, ...], View] = {}
        self.quick = False

    async def fetch(self, sql: str, *args: Any) -> Sequence[Row]:
        """Run one statement and return its rows (none, if it returns none)."""
        if self._embedded:
            rows: Sequence[Row] = await self._run(sql, {str(place): value for place, value in enumerate(args, 1)})
        else:
            rows = await self._raw.fetch(sql, *args)
        return rows

    async def fetch_one(self, sql: str, *args: Any) -> Row | None:
        """The first row of a statement, or None."""
        rows = await self.fetch(sql, *args)
        return rows[0] if rows else None

    async def require_one(self, sql: str, *args: Any) -> Row:
        """The first row of a statement that has to return one. Raises LookupError if it returns none."""
        row = await self.fetch_one(sql, *args)
        if row is None:
            raise LookupError(f"no row came of: {sql}")
        return row

    async def change(self, *changes: Change) -> None:
        """Make changes that need not see each other's effects: on PostgreSQL they are one statement."""
        changes = tuple(change for change in changes if change.rows)
        if self._embedded:
            for sql, values in one_by_one(changes):
                await self._run(sql, values)
        elif changes:
            sql = all_in_one(tuple(change.shape for change in changes))
            await self._raw.fetch(sql, *map(as_json, changes))

    async def change_if(self, unmoved: Change, *changes: Change) -> bool:
        """Make the changes if the query `unmoved` finds all of its rows, or else none. Returns whether they were made.

        It is one statement, which outside of a transaction commits by itself. The changes must not need to see each
        other's effects; `unmoved` must have rows, and at least one of the changes must change something.
        """
        if self._embedded:
            view = await self._view(tuple(change.shape for change in changes))
            return bool(await self._run(*view.insertion(unmoved, changes), self._changed_beside))
        changes = tuple(change for change in changes if change.rows)
        sql = all_in_one(tuple(change.shape for change in changes), unmoved.shape)
        [row] = await self._raw.fetch(sql, *map(as_json, (unmoved, *changes)))
        return bool(row["found"] == len(unmoved.rows))

    @property
    def rows_changed(self) -> int:
        """How many rows were changed since the connection was opened. On SQLite only."""
        changed: int = self._raw._conn.total_changes
        return changed

    @property
    def closed(self) -> bool:
        """Whether the server is known to have ended this connection."""
        return not self._embedded and self._raw.is_closed()

    async def begin(self) -> None:
        """Begin a transaction."""
        await self.fetch(SQLITE_BEGIN if self._embedded else "BEGIN")

    async def _view(self, shapes: tuple[Shape, ...]) -> View:
        view = self._views.get(shapes)
        if view is None:
            view = View(f"changes_{len(self._views)}", shapes)
            for definition in view.definitions:
                await self.fetch(definition)
            self._views[shapes] = view
        return view

    async def _run(self, sql: str, values: Any, execute: Execute | None = None) -> Any:
        """Run a statement on SQLite; while another process has locked what it needs, try again, for BUSY_SECONDS."""
        loop = asyncio.get_running_loop()
        until = loop.time() + BUSY_SECONDS
        while True:
            try:
                if execute is not None:
                    return await execute(sql, values)
                if self.quick and sql not in WAITS:
                    return self._fetch_all(sql, values)
                return await self._raw._execute(self._fetch_all, sql, values)
            except sqlite3.OperationalError as error:
                # The low byte is the kind of error; the bytes above it give details.
                if getattr(error, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_BUSY or loop.time() > until:
                    raise
            await asyncio.sleep(BUSY_STEP_SECONDS)

    def _fetch_all(self, sql: str, values: Any) -> Sequence[Row]:
        rows: Sequence[Row] = self._raw._conn.execute(sql, values).fetchall()
        return rows

    async def _changed_beside(self, sql: str, values: Any) -> bool:
        """Run a statement in the connection's thread. Returns whether it changed anything."""
        begun = Event()
        # If the connection is closed, aiosqlite raises here; there would be no thread to do the work.
        connection = self._raw._conn

        def change() -> bool:
            begun.set()
            before = connection.total_changes
            connection.execute(sql, values)
            # SQLite's counter begins anew after 2**31, so it may be smaller than before.
            return bool(connection.total_changes != before)

        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._raw._tx.put_nowait((done, change))
        # Otherwise the thread would have to win Python's lock from a busy loop, which keeps it a millisecond or more.
        begun.wait(BEGUN_SECONDS)
        return await done

    async def prepare(self, *, by_keys: bool = False) -> None:
        """Set up a connection that has just been opened; `by_keys` says that all its statements find rows by keys."""
        if self._embedded:
            self._raw.row_factory = sqlite3.Row
            for pragma in SQLITE_PRAGMAS:
                await self.fetch(pragma)
        else:
            await self.fetch(f"SET idle_in_transaction_session_timeout = {round(LOCKED_SECONDS * 1000)}")
            # A statement that waited for a lock has to read what others have committed meanwhile.
            await self.fetch("SET default_transaction_isolation = 'read committed'")
            # Such a server forgets in a crash what it has confirmed: hits were answered for it, and sequences told.
            await self.fetch(
                "SELECT set_config('synchronous_commit', 'on', false)"
                " WHERE current_setting('synchronous_commit') = 'off'"
            )
            if by_keys:
                # There is one writer: while it waits for one user's row, nobody else's hits are committed.
                await self.fetch(f"SET lock_timeout = {round(BUSY_SECONDS * 1000)}")
                # Each statement is planned once, without knowing how many keys it will be given. The planner would
                # rather look through a small table, but that of the users is large with rows that were changed.
                await self.fetch("SET plan_cache_mode = force_generic_plan")
                for other_way in ("seqscan", "hashjoin", "mergejoin"):
                    await self.fetch(f"SET enable_{other_way} = off")

    async def close(self, *, idle: bool = False) -> None:
        """Give the connection up, whatever state it is in, without waiting for a server that hangs.

        It is `idle` if no statement runs on it: then SQLite puts its log into the file as the last one is closed.
        """
        try:
            if self._embedded and not idle:
                await self._raw.interrupt()
            elif not self._embedded:
                self._raw.terminate()
            async with asyncio.timeout(2):
                await self._connection.__aexit__()
        except Exception as error:
            logger.debug("a broken connection did not close: %s", error)
