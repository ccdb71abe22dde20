"""The database: one held writer and a few held readers, on SQLite or PostgreSQL.

Promise: a write is one transaction that commits whole or leaves nothing; writes of this process run
one at a time; a connection that broke is thrown away and the next use opens another. Trouble with the
database itself, rather than with what it was asked, is always `DatabaseAway`.

`databases` gives the connections. It opens a new SQLite connection for every query made on it
directly, so that PRAGMAs do not stick and each query costs a thread; therefore connections are held
here, and queries go to the driver underneath. One text of SQL serves both: parameters are `$1`, `$2` …;
many keys travel as one JSON parameter (`Dialect.rows`), many rows to be written as a `Change`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import databases
import msgspec

from hub.config import out_of_reach
from hub.store.away import DatabaseAway, away, is_away
from hub.store.checkpoints import Checkpoints
from hub.store.dialect import Dialect
from hub.store.held import Fetch, Held, Row
from hub.store.remedies import why_not_opened
from hub.store.statements import Change
from hub.store.urls import driver_options, driver_url, sqlite_path

__all__ = ["Change", "Database", "Fetch", "Held", "Row", "require_folder"]

logger = logging.getLogger(__name__)

READERS = 3
"""The most readers held for general use. With the writer, and a reader reserved for the recorder, a process has five
connections to PostgreSQL."""

TURN_SECONDS = 10.0
"""How long a read may take in all, and how long a write may wait until it has begun. Many wait for a few connections:
if each limited only its own query, a server that falls silent would keep the last in line waiting for minutes."""

_decode_rows = msgspec.json.Decoder(list[list[Any]]).decode


def require_folder(url: str) -> None:
    """Make sure that an SQLite file's folder exists, and that the file is no folder. Raises `DatabaseAway`.

    SQLite would only say "unable to open database file", and the driver's thread might then outlive the loop.
    """
    if url.startswith("sqlite"):
        file = Path(sqlite_path(url)).resolve()
        if reason := out_of_reach(file):
            raise DatabaseAway(why_not_opened(url, reason), lasting=True)
        if not file.parent.is_dir():
            raise DatabaseAway(why_not_opened(url, f"there is no folder {str(file.parent)!r}"), lasting=True)
        if file.is_dir():
            raise DatabaseAway(why_not_opened(url, f"{str(file)!r} is a folder"), lasting=True)


def _file(url: str) -> tuple[int, int] | None:
    try:
        found = Path(sqlite_path(url)).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


class _Readers:
    """Connections to read on: those that are `idle`, and the `turn` that limits how many are in use. `by_keys` is as in
    `Held.prepare`.
    """

    def __init__(self, number: int, *, by_keys: bool) -> None:
        self.number = number
        self.by_keys = by_keys
        self.turn = asyncio.Semaphore(number)
        self.idle: list[Held] = []


class Database:
    """The connections of one process. `embedded` says that the database is an SQLite file; `sql` writes SQL for it."""

    def __init__(self, url: str) -> None:
        """`url` is `sqlite:///FILE` or `postgresql://…`; nothing is opened before `connect`."""
        self.embedded = url.startswith("sqlite")
        self.sql = Dialect(self.embedded)
        self._url = url
        self._databases = databases.Database(driver_url(url), **driver_options(url, 2 + READERS))
        self._write_lock = asyncio.Lock()
        self._writer: Held | None = None
        self._shared = _Readers(READERS, by_keys=False)
        self._reserved = _Readers(1, by_keys=True)
        self._closing: set[asyncio.Task[None]] = set()
        self._file: tuple[int, int] | None = None
        """The device and inode of an SQLite database's file when it was opened."""
        self._checkpoints = Checkpoints(self.fetch_reserved, lambda: self._writing(begin=False))
        self._checkpointing: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        """Open the writer unless it is open. Raises `DatabaseAway` if that fails, as each use does till then."""
        require_folder(self._url)
        try:
            await self._databases.connect()
            # From here on another task that writes could open the writer, too: hence the lock.
            async with self._write_lock:
                self._writer = self._writer or await self._open(by_keys=True)
        except Exception as error:
            if is_away(error):
                raise DatabaseAway.because(error, self._url) from error
            raise
        if self.embedded and self._checkpointing is None:
            self._checkpointing = asyncio.create_task(self._checkpoints.run(), name="checkpoints")

    async def disconnect(self) -> None:
        """Close every connection."""
        if self._checkpointing is not None:
            self._checkpointing.cancel()
            await asyncio.wait([self._checkpointing], timeout=3)
            self._checkpointing = None
        # A page of a log is read to its end even if all who wanted it have left. On SQLite the thread of a connection
        # that nobody closes would keep the process from ending.
        with suppress(TimeoutError):
            async with asyncio.timeout(3), AsyncExitStack() as turns:
                for readers in (self._shared, self._reserved):
                    for _ in range(readers.number):
                        await turns.enter_async_context(readers.turn)
        # On SQLite the last connection closed puts the write-ahead log into the file; one that was cut off would not.
        if self._closing:
            await asyncio.wait(self._closing, timeout=3)
        held = [*self._shared.idle, *self._reserved.idle, *filter(None, [self._writer])]
        self._shared.idle, self._reserved.idle, self._writer = [], [], None
        for connection in held:
            await connection.close(idle=True)
        await self._databases.disconnect()

    @asynccontextmanager
    async def write(self, *, quick: bool = False) -> AsyncIterator[Held]:
        """One write transaction: committed when the block ends, rolled back if it raises.

        `quick` is for a block that finds all rows by keys, and waits for nothing else: see `Held`.
        Raises `DatabaseAway`. If the block is cancelled, or the commit's answer never comes, it is not
        known whether the transaction took effect.
        """
        async with self._writing(quick) as writer:
            try:
                yield writer
                await writer.fetch("COMMIT")
            except Exception as error:
                if not is_away(error):
                    await self._roll_back(writer)
                raise

    def at_once(self) -> AbstractAsyncContextManager[Held]:
        """The writer, outside of any transaction, for one `Held.change_if`.

        Reads made on it before that have to find rows by keys: see `Held`. Raises `DatabaseAway`; the change may have
        taken effect all the same.
        """
        return self._writing(quick=True, begin=False)

    @asynccontextmanager
    async def _writing(self, quick: bool = False, *, begin: bool = True) -> AsyncIterator[Held]:
        """The writer, for this block alone; it is dropped if the block finds the database away or is cut off."""
        async with AsyncExitStack() as turn:
            async with _patient():
                await turn.enter_async_context(self._write_lock)
                self._require_same_file()
                writer = await self._ready_writer(quick, begin)
            try:
                yield writer
                if self.embedded:
                    self._checkpoints.written(writer.rows_changed)
            except BaseException as error:
                if is_away(error) or not isinstance(error, Exception):
                    self._drop_writer()
                    if isinstance(error, Exception):
                        raise away(error) from error
                raise

    async def fetch(self, sql: str, *args: Any, quick: bool = False) -> Sequence[Row]:
        """Read, outside any transaction; `quick` is for a few rows by their keys: see `Held`. Raises `DatabaseAway`."""
        return await self._fetch(self._shared, sql, args, quick)

    async def fetch_reserved(self, sql: str, *args: Any) -> Sequence[Row]:
        """As `fetch`, on a reserved connection, so as not to wait behind other reads.

        On PostgreSQL it serves the recorder. On SQLite the recorder reads on the writer, and this serves checkpoints.
        """
        return await self._fetch(self._reserved, sql, args, False)

    async def _fetch(self, readers: _Readers, sql: str, args: Sequence[Any], quick: bool) -> Sequence[Row]:
        # A held reader may have died while it was idle, so a failure is tried once more on a new connection.
        async with _patient(), readers.turn:
            for attempt in (1, 2):
                reader: Held | None = None
                try:
                    reader = readers.idle.pop() if readers.idle and attempt == 1 else None
                    reader = reader or await self._open(by_keys=readers.by_keys)
                    reader.quick = quick
                    rows = await reader.fetch(sql, *args)
                except BaseException as error:
                    if reader is not None:
                        self._close_later(reader)
                    if not is_away(error):
                        raise
                    if attempt == 2:
                        raise away(error) from error
                else:
                    readers.idle.append(reader)
                    return rows
        raise AssertionError("unreachable")

    async def fetch_one(self, sql: str, *args: Any) -> Row | None:
        """The first row of a read, or None. Raises `DatabaseAway`."""
        rows = await self.fetch(sql, *args)
        return rows[0] if rows else None

    async def find(self, sql: str, *args: Any) -> Row | None:
        """The row that a key finds, or None. Raises `DatabaseAway`."""
        rows = await self.fetch(sql, *args, quick=True)
        return rows[0] if rows else None

    async def fetch_as_one(self, names: Sequence[str], sql: str, *args: Any, quick: bool = False) -> Sequence[Row]:
        """As `fetch`, for many rows of many columns: they travel as one text, at a third of the cost.

        `names` are the columns wanted of the query `sql`; the order of its rows is kept. SQLite gives 0 and 1 for false
        and true.
        """
        rows = self.sql.json_rows(", ".join(names), f"({sql}) AS asked")
        [row] = await self.fetch(f"SELECT {rows} AS rows", *args, quick=quick)
        return [dict(zip(names, values, strict=True)) for values in _decode_rows(row["rows"])]

    async def _open(self, *, by_keys: bool) -> Held:
        # In a task of its own: `databases` keeps one connection per task, and a held one outlives the task that asks.
        opening = asyncio.create_task(self._opened(by_keys))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            # Nobody waits for it any more. Cut off half-way it would never be closed, so it is closed once it is open.
            self._later(_close_when_open(opening))
            raise

    async def _opened(self, by_keys: bool) -> Held:
        if not self._databases.is_connected:
            raise DatabaseAway("it has not been opened yet")
        try:
            held = Held(await self._databases.connection().__aenter__(), self.embedded)
            try:
                await held.prepare(by_keys=by_keys)
            except BaseException:
                await held.close()
                raise
        except Exception as error:
            # Nothing was asked yet, so it can only be the database.
            raise DatabaseAway.because(error) from error
        if self.embedded and self._file is None:
            self._file = _file(self._url)
        return held

    async def _ready_writer(self, quick: bool, begin: bool) -> Held:
        """The writer, inside a new transaction if `begin`; a writer that had died unnoticed is replaced."""
        for attempt in (1, 2):
            try:
                if self._writer is None or self._writer.closed:
                    self._writer = await self._open(by_keys=True)
                self._writer.quick = quick
                if begin:
                    await self._writer.begin()
                return self._writer
            except BaseException as error:
                self._drop_writer()
                if not is_away(error):
                    raise
                # SQLite's own "locked" will not go away by asking again at once.
                if attempt == 2 or self.embedded:
                    raise away(error) from error
        raise AssertionError("unreachable")

    async def _roll_back(self, writer: Held) -> None:
        try:
            await writer.fetch("ROLLBACK")
        except BaseException as error:
            self._drop_writer()
            # A connection that is thrown away rolls back by itself, and the first error is the one to report.
            if not isinstance(error, Exception):
                raise

    def _require_same_file(self) -> None:
        # SQLite itself would go on writing to a file that nobody will find again.
        if self._file is not None and _file(self._url) != self._file:
            raise DatabaseAway(
                "its file was removed or replaced while in use: stop the hub, put the file back and start it again"
            )

    def _drop_writer(self) -> None:
        if self._writer is not None:
            self._close_later(self._writer)
            self._writer = None

    def _close_later(self, held: Held) -> None:
        self._later(held.close())

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


@asynccontextmanager
async def _patient() -> AsyncIterator[None]:
    """Raises `DatabaseAway` if the block takes longer than TURN_SECONDS."""
    try:
        async with asyncio.timeout(TURN_SECONDS):
            yield
    except TimeoutError:
        raise DatabaseAway(f"no answer within {TURN_SECONDS:g} s") from None


async def _close_when_open(opening: asyncio.Task[Held]) -> None:
    try:
        held = await opening
    except Exception as error:
        logger.debug("a connection that nobody waits for did not open: %s", error)
    else:
        await held.close()
