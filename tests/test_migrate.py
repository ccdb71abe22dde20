"""Migrations: forward from empty, again, two at once, and killed in the middle, on both databases."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.ext.asyncio import create_async_engine

from hub.config import ConfigError
from hub.store.database import Database, DatabaseAway
from hub.store.migrate import head, migrate, revision
from hub.store.schema import metadata
from hub.store.urls import async_engine_url, sqlite_path
from tests.factories import seeded
from tests.processes import free_port, start_process
from tests.servers import ROOT, HubProcess


async def differences(url: str) -> list[Any]:
    """What alembic would have to do to make the database at `url` what the code says it is."""

    def compare(connection: Connection) -> list[Any]:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        return list(compare_metadata(context, metadata))

    engine = create_async_engine(async_engine_url(url))
    async with engine.connect() as connection:
        found = await connection.run_sync(compare)
    await engine.dispose()
    return found


async def test_empty_database_becomes_what_the_code_needs(database_url: str) -> None:
    assert await revision(database_url) is None
    assert await migrate(database_url) == head()
    assert await revision(database_url) == head()
    assert await differences(database_url) == []


async def test_difference_would_be_seen(migrated_url: str) -> None:
    engine = create_async_engine(async_engine_url(migrated_url))
    async with engine.begin() as connection:
        await connection.execute(text("DROP INDEX history_of_user"))
        await connection.execute(text("ALTER TABLE users DROP COLUMN seen_sequence"))
    await engine.dispose()
    assert len(await differences(migrated_url)) == 2


async def test_migrating_again_changes_nothing(migrated_url: str) -> None:
    engine = create_async_engine(async_engine_url(migrated_url))
    async with engine.begin() as connection:
        await connection.execute(text("INSERT INTO secrets (name, value) VALUES ('kept', 'so')"))
    for _ in range(2):
        assert await migrate(migrated_url) == head()
    async with engine.connect() as connection:
        assert [tuple(row) for row in await connection.execute(text("SELECT * FROM secrets"))] == [("kept", "so")]
    await engine.dispose()


async def test_two_at_once_both_end_well(database_url: str) -> None:
    assert await asyncio.gather(*(migrate(database_url) for _ in range(3))) == [head()] * 3
    assert await differences(database_url) == []


def test_two_processes_at_once_both_end_well(database_url: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hub", "migrate"]
    environ = HubProcess(tmp_path, database_url).environ
    processes = [start_process(command, cwd=tmp_path, env=environ) for _ in range(2)]
    assert [process.wait(30) for process in processes] == [0, 0]


KILLED = """
import asyncio, os, sys
from sqlalchemy import event
from sqlalchemy.engine import Engine
from hub.store.migrate import migrate

url, statements = sys.argv[1], int(sys.argv[2])
seen = 0

@event.listens_for(Engine, "before_cursor_execute")
def count(connection, cursor, statement, parameters, context, executemany):
    global seen
    seen += 1
    if seen == statements:
        os.kill(os.getpid(), 9)

asyncio.run(migrate(url))
"""


async def test_killed_in_the_middle_and_run_again(database_url: str, tmp_path: Path) -> None:
    environ = {"PATH": os.environ.get("PATH", os.defpath), "PYTHONPATH": str(ROOT)}
    for statements in seeded().sample(range(3, 22), 3):
        command = [sys.executable, "-c", KILLED, database_url, str(statements)]
        killed = start_process(command, cwd=tmp_path, env=environ)
        assert await asyncio.to_thread(killed.wait, 30) == -signal.SIGKILL
        assert await revision(database_url) is None, "a part of it must not have been kept"
    assert await migrate(database_url) == head()
    assert await differences(database_url) == []


async def test_embedded_database_is_durable_from_the_start(sqlite_url: str) -> None:
    await migrate(sqlite_url)
    engine = create_engine(f"sqlite:///{sqlite_path(sqlite_url)}")
    with engine.connect() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
    engine.dispose()


async def test_database_that_cannot_be_reached_is_away(tmp_path: Path) -> None:
    for url in (
        f"postgresql://postgres@127.0.0.1:{free_port()}/hub",
        f"sqlite:///{tmp_path / 'missing' / 'hub.db'}",
    ):
        for ask in (migrate, revision):
            with pytest.raises(DatabaseAway):
                await ask(url)


async def test_schema_of_a_newer_version_is_refused_in_one_line(database_url: str) -> None:
    await migrate(database_url)
    database = Database(database_url)
    await database.connect()
    async with database.write() as tx:
        await tx.fetch("UPDATE alembic_version SET version_num = '9999'")
    await database.disconnect()
    with pytest.raises(ConfigError, match=r"^DATABASE_URL is .* newer version"):
        await migrate(database_url)


async def test_file_that_is_no_database_is_away(tmp_path: Path) -> None:
    (tmp_path / "hub.db").write_bytes(b"certainly no database" * 100)
    with pytest.raises(DatabaseAway, match="not a database"):
        await migrate(f"sqlite:///{tmp_path / 'hub.db'}")
