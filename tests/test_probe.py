"""The probe: it tells of trouble while nothing can be written, is patient with a brief lock, and is no load."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing

import pytest

from hub.store.database import Held
from hub.store.probe import REFUSED, Probe
from hub.store.urls import sqlite_path
from tests.factories import Store, open_store
from tests.processes import eventually
from tests.servers import Postgres


@pytest.fixture
def begin(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Notes every transaction that is begun."""
    begun: list[str] = []
    real = Held.begin

    async def noted(held: Held) -> None:
        begun.append("begun")
        await real(held)

    monkeypatch.setattr(Held, "begin", noted)
    return begun


async def test_probe_of_a_database_that_is_well_finds_no_trouble_and_leaves_no_trace(store: Store) -> None:
    await store.sender()
    before = await trace(store)
    assert await Probe(store.database).trouble() is None
    assert await trace(store) == before


async def trace(store: Store) -> int:
    """A number that any change of a user makes larger."""
    async with store.database.write() as tx:
        if store.database.embedded:
            return tx.rows_changed
        [row] = await tx.fetch("SELECT xmin::text::bigint AS written_by FROM users")
        written_by: int = row["written_by"]
        return written_by


async def test_probe_answers_all_who_ask_until_it_is_old(store: Store, begin: list[str]) -> None:
    probe = Probe(store.database)
    assert set(await asyncio.gather(*(probe.trouble() for _ in range(50)))) == {None}
    assert len(begin) == 1
    probe._fresh_until = 0.0
    assert await probe.trouble() is None
    assert len(begin) == 2


async def test_lock_that_another_process_holds_for_a_moment_is_no_trouble(embedded: Store) -> None:
    path = sqlite_path(embedded.url)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        asked = asyncio.create_task(Probe(embedded.database).trouble())
        await eventually(lambda: embedded.database._write_lock.locked(), what="the probe waits for the lock")
        other.execute("ROLLBACK")
        assert await asked is None


async def test_lock_that_another_process_keeps_is_told_until_it_is_gone(embedded: Store) -> None:
    probe = Probe(embedded.database)
    with closing(sqlite3.connect(sqlite_path(embedded.url), isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert await probe.trouble() == "the database cannot be written (database is locked)"
    await eventually(lambda: is_well(probe))


async def test_server_that_takes_no_writes_is_told_until_it_does(
    postgres: Postgres, migrated_postgresql_url: str
) -> None:
    name = migrated_postgresql_url.rpartition("/")[2]
    async with open_store(migrated_postgresql_url) as store:
        probe = Probe(store.database)
        assert await probe.trouble() is None
        postgres.run(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        postgres.terminate_sessions(name)
        await eventually(lambda: says(probe, "the database cannot be written"))
        postgres.run(f"ALTER DATABASE {name} RESET default_transaction_read_only")
        postgres.terminate_sessions(name)
        await eventually(lambda: is_well(probe))


async def test_server_that_refuses_any_change_is_told_and_logged_once(
    migrated_postgresql_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_store(migrated_postgresql_url) as store:
        probe = Probe(store.database)
        async with store.database.write() as tx:
            await tx.fetch(
                "CREATE FUNCTION no() RETURNS trigger AS $$BEGIN RAISE EXCEPTION 'in maintenance'; END$$"
                " LANGUAGE plpgsql"
            )
            await tx.fetch("CREATE TRIGGER no BEFORE UPDATE ON users EXECUTE FUNCTION no()")
        for _ in range(2):
            probe._fresh_until = 0.0
            assert await probe.trouble() == REFUSED
        assert caplog.text.count("refuses what it is probed with") == 1
        async with store.database.write() as tx:
            await tx.fetch("DROP TRIGGER no ON users")
        await eventually(lambda: is_well(probe))


async def says(probe: Probe, what: str) -> bool:
    return await probe.trouble() == what


async def is_well(probe: Probe) -> bool:
    return await probe.trouble() is None
