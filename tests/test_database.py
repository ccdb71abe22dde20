"""The database, on both kinds: transactions stay whole under concurrency, and errors say whether it is away."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

from hub.store.away import DatabaseAway, is_about_what_was_asked, is_away
from hub.store.database import Change, Database, Held
from tests.factories import together
from tests.notes import ODD_TEXTS, a_database, add, numbers
from tests.processes import eventually


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with a_database(database_url) as database:
        yield database


async def test_write_that_ends_well_is_committed(database: Database) -> None:
    await add(database, 1, "one")
    assert await database.fetch_one("SELECT text FROM note WHERE id = $1", 1) is not None
    assert await database.fetch_one("SELECT text FROM note WHERE id = $1", 2) is None


async def test_write_that_raises_leaves_nothing(database: Database) -> None:
    async def fail() -> None:
        async with database.write() as tx:
            await tx.fetch("INSERT INTO note (id) VALUES (1)")
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await fail()
    assert await numbers(database) == []
    await add(database, 2)
    assert await numbers(database) == [2]


async def test_write_that_breaks_a_rule_leaves_nothing_and_is_not_the_database_being_away(database: Database) -> None:
    async def twice() -> None:
        async with database.write() as tx:
            await tx.fetch("INSERT INTO note (id) VALUES (1)")
            await tx.fetch("INSERT INTO note (id) VALUES (1)")

    with pytest.raises(Exception, match=r"(?i)unique") as caught:
        await twice()
    assert not isinstance(caught.value, DatabaseAway)
    assert await numbers(database) == []


async def test_write_is_not_seen_by_readers_before_it_is_committed(database: Database) -> None:
    async with database.write() as tx:
        await tx.fetch("INSERT INTO note (id) VALUES (1)")
        assert await numbers(database) == []
        assert [row["id"] for row in await tx.fetch("SELECT id FROM note")] == [1]
    assert await numbers(database) == [1]


async def test_write_that_is_cancelled_leaves_nothing_and_the_next_works(database: Database) -> None:
    inside = asyncio.Event()

    async def hang() -> None:
        async with database.write() as tx:
            await tx.fetch("INSERT INTO note (id) VALUES (1)")
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(hang())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await add(database, 2)
    assert await numbers(database) == [2]


async def test_writes_cancelled_anywhere_are_whole_or_nothing(database: Database) -> None:
    """Cancelled after 0, 1, 2 … turns of the event loop, and so at every point of a write."""

    async def pair(number: int) -> None:
        async with database.write() as tx:
            await tx.fetch("INSERT INTO note (id) VALUES ($1)", number)
            await tx.fetch("INSERT INTO note (id) VALUES ($1)", number + 1)

    for turns in range(60):
        task = asyncio.create_task(pair(turns * 10))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
    await add(database, 10_000)
    found = await numbers(database)
    assert found[-1] == 10_000
    assert all(number + 1 in found for number in found[:-1] if number % 10 == 0)
    assert all(number - 1 in found for number in found if number % 10 == 1)


async def test_writers_by_the_hundred_never_fail_and_lose_no_update(database: Database) -> None:
    """Each reads a number and writes the next one: had it begun without the lock, it would fail or lose an update."""
    await add(database, 0, "0")

    async def increment() -> None:
        async with database.write() as tx:
            row = await tx.fetch_one("SELECT text FROM note WHERE id = 0")
            assert row is not None
            await tx.fetch("UPDATE note SET text = $1 WHERE id = 0", str(int(row["text"]) + 1))

    await together(*(increment() for _ in range(300)))
    assert [row["text"] for row in await database.fetch("SELECT text FROM note")] == ["300"]


async def test_writers_of_two_processes_lose_no_update(database: Database, database_url: str) -> None:
    other = Database(database_url)
    await other.connect()
    await add(database, 0, "0")

    async def increment(one: Database) -> None:
        async with one.write() as tx:
            row = await tx.fetch_one(f"SELECT text FROM note WHERE id = 0 {one.sql.for_update}")
            assert row is not None
            await tx.fetch("UPDATE note SET text = $1 WHERE id = 0", str(int(row["text"]) + 1))

    for _ in range(10):
        await together(increment(database), increment(other))
    await other.disconnect()
    assert [row["text"] for row in await database.fetch("SELECT text FROM note")] == ["20"]


async def test_reads_by_the_hundred_go_on_beside_a_write(database: Database) -> None:
    await add(database, 1)
    async with database.write() as tx:
        await tx.fetch("INSERT INTO note (id) VALUES (2)")
        assert await together(*(numbers(database) for _ in range(200))) == [[1]] * 200


async def test_writer_is_opened_once_though_somebody_writes_meanwhile(database_url: str) -> None:
    before = threading.active_count()
    database = Database(database_url)
    opened: list[Held] = []
    open_ = database._open

    async def noted(*, by_keys: bool = False) -> Held:
        opened.append(await open_(by_keys=by_keys))
        return opened[-1]

    async def write() -> None:
        while True:
            try:
                async with database.write() as tx:
                    await tx.fetch("SELECT 1")
                    return
            except DatabaseAway:
                await asyncio.sleep(0)

    database._open = noted  # type: ignore[method-assign]
    await together(write(), database.connect())
    assert len(opened) == 1
    await database.disconnect()
    await eventually(lambda: threading.active_count() <= before)


INSERT = "INSERT INTO note (id, text) {rows}"
UPDATE = "UPDATE note SET text = r.column1 FROM ({rows}) AS r WHERE id = r.column2"


@pytest.mark.parametrize("number", [0, 1, 2, 3, 63, 64, 65, 200])
async def test_many_rows_are_written_in_order_however_many(database: Database, number: int) -> None:
    rows: list[tuple[int, str | None]] = [(place, f"{{rows}} $1 ? {place}") for place in range(number)]
    async with database.write() as tx:
        await tx.change(Change(INSERT, "bigint text", rows))
        assert await noted(tx) == rows
        changed = [(None, place) for place in range(number)]
        await tx.change(Change(UPDATE, "text bigint", changed))
        assert await noted(tx) == [(place, text) for text, place in changed]


async def test_changes_are_made_together_whichever_of_them_have_rows(database: Database) -> None:
    async with database.write() as tx:
        await tx.change()
        await tx.change(Change(INSERT, "bigint text", []), Change(UPDATE, "text bigint", []))
        assert await noted(tx) == []
        await tx.change(Change(INSERT, "bigint text", [(1, "one"), (2, "two")]))
        await tx.change(
            Change(UPDATE, "text bigint", [("first", 1), (None, 2)]),
            Change("DELETE FROM child WHERE of_note IN (SELECT r.column1 FROM ({rows}) AS r)", "bigint", []),
            Change(INSERT, "bigint text", [(3, "three")]),
        )
        assert await noted(tx) == [(1, "first"), (2, None), (3, "three")]


async def test_changes_are_not_made_if_one_of_them_breaks_a_rule(database: Database) -> None:
    await add(database, 1)

    async def refused() -> None:
        async with database.write() as tx:
            rows = [(2, None), (1, None)]
            await tx.change(Change(UPDATE, "text bigint", [("x", 1)]), Change(INSERT, "bigint text", rows))

    with pytest.raises(Exception, match=r"(?i)unique"):
        await refused()
    assert [(row["id"], row["text"]) for row in await database.fetch("SELECT id, text FROM note")] == [(1, "")]


async def noted(tx: Held) -> list[tuple[int, str | None]]:
    rows = await tx.fetch("SELECT id, text FROM note ORDER BY id")
    return [(row["id"], row["text"]) for row in rows]


async def test_many_rows_carry_any_text_unchanged(database: Database) -> None:
    rows = [(number, text) for number, text in enumerate(ODD_TEXTS)]
    async with database.write() as tx:
        await tx.change(Change(INSERT, "bigint text", rows))
    found = await database.fetch("SELECT id, text FROM note ORDER BY id")
    assert [(row["id"], row["text"]) for row in found] == rows


async def test_value_beyond_its_columns_range_is_about_what_was_asked(database: Database) -> None:
    with pytest.raises(Exception) as failure:  # noqa: PT011
        await database.fetch("SELECT 1 FROM note WHERE id = $1", 2**63)
    assert is_about_what_was_asked(failure.value)
    assert not is_away(failure.value)


async def test_row_that_refers_to_a_missing_row_is_about_what_was_asked(database: Database) -> None:
    async def orphan() -> None:
        async with database.write() as tx:
            await tx.fetch("INSERT INTO child (of_note) VALUES (1)")

    with pytest.raises(Exception, match=r"(?i)foreign key") as failure:
        await orphan()
    assert is_about_what_was_asked(failure.value)


async def test_table_that_is_missing_counts_as_the_database_away(database: Database) -> None:
    """It may be missing in the middle of a deployment, after which the same statement works."""
    with pytest.raises(DatabaseAway):
        await database.fetch("SELECT 1 FROM not_there")
    assert await numbers(database) == []


ASKED = "SELECT n.id FROM ({rows}) AS r JOIN note n ON n.id = r.column1 AND n.text = r.column2"


async def change_if(database: Database, asked: list[tuple[int, str]], *changes: Change) -> bool:
    async with database.at_once() as writer:
        return await writer.change_if(Change(ASKED, "bigint text", asked), *changes)


async def test_change_if_makes_all_changes_in_one_statement_or_none(database: Database) -> None:
    await add(database, 0, "old")
    insert = Change(INSERT, "bigint text", [(number, "old") for number in range(1, 20)])
    update = Change(UPDATE, "text bigint", [("new", number) for number in range(20)])
    nothing = Change(INSERT, "bigint text", [])
    assert await change_if(database, [(0, "old")], insert, Change(UPDATE, "text bigint", []))
    assert not await change_if(database, [(1, "old"), (2, "new")], nothing, update)
    assert {row["text"] for row in await database.fetch("SELECT text FROM note")} == {"old"}
    assert await change_if(database, [(number, "old") for number in range(20)], nothing, update)
    assert {row["text"] for row in await database.fetch("SELECT text FROM note")} == {"new"}


async def test_change_if_that_breaks_a_rule_changes_nothing(database: Database) -> None:
    await add(database, 1, "old")
    insert = Change(INSERT, "bigint text", [(2, "two"), (1, "one")])
    with pytest.raises(Exception, match=r"(?i)unique"):
        await change_if(database, [(1, "old")], insert, Change(UPDATE, "text bigint", [("new", 1)]))
    assert [(row["id"], row["text"]) for row in await database.fetch("SELECT id, text FROM note")] == [(1, "old")]
    assert await change_if(database, [(1, "old")], Change(INSERT, "bigint text", [(2, "two")]))


async def test_change_if_and_writes_take_turns(database: Database) -> None:
    await add(database, 0, "0")

    async def count() -> bool:
        async with database.at_once() as writer:
            [row] = await writer.fetch("SELECT text FROM note WHERE id = 0")
            changes = Change(UPDATE, "text bigint", [(str(int(row["text"]) + 1), 0)])
            return await writer.change_if(Change(ASKED, "bigint text", [(0, row["text"])]), changes)

    made = await together(*(each for turn in range(1, 21) for each in (count(), add(database, turn))))
    assert made == [True, None] * 20
    [row] = await database.fetch("SELECT text FROM note WHERE id = 0")
    assert row["text"] == "20"
