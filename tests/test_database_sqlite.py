"""The database on SQLite: what is in force on its connections, and a file that cannot be used."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from hub.store.away import DatabaseAway, is_away
from hub.store.database import READERS, Change, Database, Held, Row
from hub.store.urls import sqlite_path
from tests.factories import Stopwatch, together
from tests.notes import WAYS, Add, a_database, add, add_at_once, numbers
from tests.processes import PATIENCE_SECONDS, eventually


@pytest.fixture
async def embedded(sqlite_url: str) -> AsyncIterator[Database]:
    async with a_database(sqlite_url) as database:
        yield database


INSERT = "INSERT INTO note (id) {rows}"
PRAGMAS = {
    "journal_mode": "wal",
    "synchronous": 2,
    "foreign_keys": 1,
    "temp_store": 2,
    "wal_autocheckpoint": 20_000,
    "journal_size_limit": 64 * 1024 * 1024,
}


@pytest.mark.parametrize(("name", "value"), PRAGMAS.items())
async def test_pragma_is_in_force_on_the_writer_and_on_readers(embedded: Database, name: str, value: str | int) -> None:
    for _ in range(2):
        async with embedded.write() as tx:
            assert [tuple(row) for row in await tx.fetch(f"PRAGMA {name}")] == [(value,)]
        assert [tuple(row) for row in await embedded.fetch(f"PRAGMA {name}")] == [(value,)]


async def test_rollback_of_sqlites_own_leaves_nothing_and_the_next_write_works(embedded: Database) -> None:
    """A full disk ends the transaction as this does."""

    async def ended() -> None:
        async with embedded.write() as tx:
            await tx.fetch("INSERT INTO note (id) VALUES (2)")
            await tx.fetch("INSERT OR ROLLBACK INTO note (id) VALUES (1)")

    await add(embedded, 1)
    with pytest.raises(sqlite3.IntegrityError):
        await ended()
    assert await numbers(embedded) == [1]
    await add(embedded, 3)
    assert await numbers(embedded) == [1, 3]


LONG = (
    "INSERT INTO note (id) WITH RECURSIVE n(i) AS (SELECT 10 UNION ALL SELECT i + 1 FROM n WHERE i < 100000000)"
    " SELECT i FROM n"
)


async def test_statement_that_is_given_up_is_interrupted_and_changes_nothing(embedded: Database) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1), embedded.write() as tx:
            await tx.fetch(LONG)
    await add(embedded, 3)
    assert await numbers(embedded) == [3]


async def test_foreign_keys_hold(embedded: Database) -> None:
    async def orphan() -> None:
        async with embedded.write() as tx:
            await tx.fetch("INSERT INTO child (of_note) VALUES (1)")

    with pytest.raises(sqlite3.IntegrityError):
        await orphan()


@pytest.mark.alone
@pytest.mark.parametrize("add", WAYS)
async def test_write_is_away_soon_while_another_holds_the_file(embedded: Database, sqlite_url: str, add: Add) -> None:
    await add(embedded, 1)
    with closing(sqlite3.connect(sqlite_path(sqlite_url), isolation_level=None)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        with Stopwatch() as watch, pytest.raises(DatabaseAway, match="locked"):
            await add(embedded, 2)
        assert watch.seconds < 4, "it is given up after 0.4 s; a machine that runs the tests may be busy"
        assert await numbers(embedded) == [1], "readers need no lock"
        holder.execute("ROLLBACK")
    await add(embedded, 3)
    assert await numbers(embedded) == [1, 3]


@pytest.mark.parametrize("add", WAYS)
async def test_write_waits_for_a_lock_that_is_held_briefly(
    embedded: Database, sqlite_url: str, add: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.store.held.BUSY_SECONDS", PATIENCE_SECONDS)
    holder = sqlite3.connect(sqlite_path(sqlite_url), isolation_level=None, check_same_thread=False)
    with closing(holder):
        holder.execute("BEGIN EXCLUSIVE")
        asyncio.get_running_loop().call_later(0.15, holder.execute, "ROLLBACK")
        await add(embedded, 1)
    assert await numbers(embedded) == [1]


async def test_connect_to_a_folder_that_is_not_there_is_away(tmp_path: Path) -> None:
    with pytest.raises(DatabaseAway, match="there is no folder"):
        await Database(f"sqlite:///{tmp_path / 'missing' / 'hub.db'}").connect()


async def test_connect_to_a_file_that_is_no_database_is_away(tmp_path: Path) -> None:
    before = threading.active_count()
    (tmp_path / "hub.db").write_bytes(b"certainly no database" * 100)
    with pytest.raises(DatabaseAway, match="not a database"):
        await Database(f"sqlite:///{tmp_path / 'hub.db'}").connect()
    await eventually(lambda: threading.active_count() == before)


async def test_held_connections_are_few_and_are_all_closed(sqlite_url: str) -> None:
    before = threading.active_count()
    database = Database(sqlite_url)
    await database.connect()
    async with database.write() as tx:
        await tx.fetch("CREATE TABLE note (id BIGINT PRIMARY KEY, text TEXT)")
    await together(*(numbers(database) for _ in range(200)))
    assert threading.active_count() - before <= 1 + READERS, "one thread for each held connection"
    await database.disconnect()
    await eventually(lambda: threading.active_count() == before)


async def test_read_that_nobody_waits_for_at_the_end_leaves_no_thread(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that is left would keep the process from ending."""
    before = threading.active_count()
    fetch, begun, may_go_on = Held.fetch, asyncio.Event(), asyncio.Event()

    async def slow(self: Held, sql: str, *args: object) -> Sequence[Row]:
        if sql == "SELECT 1":
            begun.set()
            await may_go_on.wait()
        return await fetch(self, sql, *args)

    monkeypatch.setattr(Held, "fetch", slow)
    database = Database(sqlite_url)
    await database.connect()
    reading = asyncio.create_task(database.fetch("SELECT 1"))
    await begun.wait()
    ending = asyncio.create_task(database.disconnect())
    await eventually(lambda: ending.done() or database._shared.turn.locked())
    may_go_on.set()
    await together(reading, ending)
    await eventually(lambda: threading.active_count() == before)


async def test_quick_write_runs_on_the_event_loop_and_waits_for_the_disk_elsewhere(
    embedded: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    here: list[str] = []
    elsewhere: list[str] = []
    fetch_all = Held._fetch_all

    def noted(self: Held, sql: str, values: object) -> object:
        (here if threading.current_thread() is threading.main_thread() else elsewhere).append(sql.split()[0])
        return fetch_all(self, sql, values)

    monkeypatch.setattr(Held, "_fetch_all", noted)
    async with embedded.write(quick=True) as tx:
        await tx.change(Change(INSERT, "bigint", [(1,)]))
    assert (here, elsewhere) == (["BEGIN", "INSERT"], ["COMMIT"])
    await add(embedded, 2)
    assert (here, elsewhere) == (["BEGIN", "INSERT"], ["COMMIT", "BEGIN", "INSERT", "COMMIT"])
    assert await numbers(embedded) == [1, 2]


async def test_change_if_is_one_statement_beside_the_event_loop(embedded: Database) -> None:
    here: set[str] = set()
    elsewhere: set[str] = set()

    def noted(sql: str) -> None:
        """Called once for the statement, and once each time that a trigger works."""
        (here if threading.current_thread() is threading.main_thread() else elsewhere).add(sql.split()[0])

    await add_at_once(embedded, 1)
    async with embedded.at_once() as writer:
        writer._raw._conn.set_trace_callback(noted)
        await writer.fetch("SELECT id FROM note WHERE id = 1")
    await add_at_once(embedded, 2)
    assert (here, elsewhere) == ({"SELECT"}, {"INSERT"})
    assert await numbers(embedded) == [1, 2]


async def test_change_if_on_a_connection_that_is_closed_is_away(embedded: Database) -> None:
    changes = Change("{rows}", "bigint", [(1,)]), Change(INSERT, "bigint", [(1,)])
    async with embedded.at_once() as writer:
        assert not await writer.change_if(*changes), "the rows that only fill up the statement are found, too"
    await embedded.disconnect()
    with pytest.raises(ValueError, match="no active connection") as failure:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await writer.change_if(*changes)
    assert is_away(failure.value)


@pytest.mark.parametrize("quick", [False, True])
async def test_loop_goes_on_while_a_write_waits_for_a_lock(embedded: Database, sqlite_url: str, quick: bool) -> None:
    with closing(sqlite3.connect(sqlite_path(sqlite_url), isolation_level=None)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        turns = 0

        async def turn() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0.001)
                turns += 1

        turning = asyncio.create_task(turn())
        with pytest.raises(DatabaseAway, match="locked"):
            async with embedded.write(quick=quick):
                pass
        turning.cancel()
        assert turns > 1, "a loop that is blocked turns only once, to end the wait"


async def test_database_that_is_connected_twice_has_one_connection_and_ends_whole(sqlite_url: str) -> None:
    """If a step after the connection fails, the preparation begins anew and connects again."""

    def checkpoints() -> int:
        return sum(task.get_name() == "checkpoints" for task in asyncio.all_tasks())

    before = threading.active_count()
    async with a_database(sqlite_url) as database:
        await database.connect()
        assert checkpoints() == 1
        await add(database, 1)
    assert checkpoints() == 0
    await eventually(lambda: threading.active_count() <= before)


@pytest.mark.parametrize("cut_off", [False, True])
async def test_file_is_whole_by_itself_once_it_is_closed(sqlite_url: str, cut_off: bool) -> None:
    async with a_database(sqlite_url) as database:
        for number in range(3):
            await add(database, number)
        assert await numbers(database) == [0, 1, 2]
        if cut_off:
            asked = asyncio.create_task(database.fetch("SELECT count(*) FROM note a, note b"))
            await asyncio.sleep(0)
            asked.cancel()
            await asyncio.wait([asked])
    file = sqlite_path(sqlite_url)
    with closing(sqlite3.connect(shutil.copy(file, f"{file}.copy"))) as copy:
        assert [id_ for (id_,) in copy.execute("SELECT id FROM note ORDER BY id")] == [0, 1, 2]
