"""Migrations: forward from empty, again, two at once, and killed in the middle, on both databases."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import stat
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config as AlembicConfig
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.ext.asyncio import create_async_engine

from hub.config import Config, ConfigError
from hub.preparation import prepare
from hub.store.away import DatabaseAway
from hub.store.database import Database
from hub.store.migrate import ADVISORY_LOCK, head, migrate
from hub.store.revision import revision
from hub.store.schema import compared, metadata
from hub.store.urls import async_engine_url, sqlite_path
from tests.factories import open_store, seeded
from tests.processes import PATIENCE_SECONDS, eventually, free_port, start_process
from tests.servers import ROOT, HubProcess, Postgres


async def differences(url: str) -> list[Any]:
    """What alembic would have to do to bring the database at `url` to the schema in the code."""

    def compare(connection: Connection) -> list[Any]:
        opts = {
            "compare_type": True,
            "compare_server_default": True,
            "include_object": compared(connection.dialect.name),
        }
        context = MigrationContext.configure(connection, opts=opts)
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


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("a#b.db", "a#b.db"),
        ("a b.db", "a b.db"),
        ("a%20b.db", "a b.db"),
        ("100%25.db", "100%.db"),
        ("a%3Fb.db", "a?b.db"),
    ],
)
async def test_file_with_an_odd_name_is_one_file(tmp_path: Path, written: str, name: str) -> None:
    url = f"sqlite:///{tmp_path / written}"
    await migrate(url)
    async with open_store(url) as store:
        await store.sender("sender@example.com")
    assert await asyncio.to_thread(os.listdir, tmp_path) == [name]
    assert sqlite_path(url) == str(tmp_path / name)


async def test_options_of_an_address_are_heeded(postgres: Postgres) -> None:
    with postgres.database() as database:
        postgres.run("CREATE SCHEMA hub", database)
        url = f"{postgres.url(database)}?options=-csearch_path%3Dhub"
        await migrate(url)
        async with open_store(url) as store:
            await store.sender("sender@example.com")
        assert postgres.run("SELECT email FROM hub.users", database) == "sender@example.com"


async def test_difference_between_schemas_would_be_seen(migrated_url: str) -> None:
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


async def test_migrations_at_once_all_end_well(database_url: str) -> None:
    assert await asyncio.gather(*(migrate(database_url) for _ in range(3))) == [head()] * 3
    assert await differences(database_url) == []


def test_migrations_of_two_processes_at_once_both_end_well(database_url: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hub", "migrate"]
    environ = HubProcess(tmp_path, database_url).environ
    processes = [start_process(command, cwd=tmp_path, env=environ) for _ in range(2)]
    assert [process.wait(PATIENCE_SECONDS) for process in processes] == [0, 0]


@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
async def test_migrations_at_once_see_what_the_first_made_whatever_the_servers_default(
    postgres: Postgres, isolation: str
) -> None:
    with postgres.database() as name:
        postgres.run(f"ALTER DATABASE {name} SET default_transaction_isolation = '{isolation}'")
        url = postgres.url(name)
        assert await asyncio.gather(*(migrate(url) for _ in range(3))) == [head()] * 3


async def test_migration_takes_longer_than_everyday_statements_may(postgres: Postgres) -> None:
    with postgres.database() as name:
        postgres.run(f"ALTER DATABASE {name} SET statement_timeout = '500ms'")
        waiting = f"datname = '{name}' AND wait_event = 'advisory' AND now() - query_start > '700ms'"
        database = Database(postgres.url(name))
        await database.connect()
        async with database.write() as tx:
            await tx.fetch(f"SELECT pg_advisory_xact_lock({ADVISORY_LOCK})")
            migrating = asyncio.create_task(migrate(postgres.url(name)))
            await eventually(
                lambda: migrating.done() or postgres.run(f"SELECT 1 FROM pg_stat_activity WHERE {waiting}"),
            )
        await database.disconnect()
        assert await migrating == head()


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


async def test_migration_killed_in_the_middle_leaves_nothing_and_can_be_run_again(
    database_url: str, tmp_path: Path
) -> None:
    environ = {"PATH": os.environ.get("PATH", os.defpath), "PYTHONPATH": str(ROOT)}
    for statements in seeded().sample(range(3, 22), 3):
        command = [sys.executable, "-c", KILLED, database_url, str(statements)]
        killed = start_process(command, cwd=tmp_path, env=environ)
        assert await asyncio.to_thread(killed.wait, PATIENCE_SECONDS) == -signal.SIGKILL
        assert await revision(database_url) is None, "a part of it must not have been kept"
    assert await migrate(database_url) == head()
    assert await differences(database_url) == []


async def migrate_to(url: str, revision_: str) -> None:
    """Bring the database at `url` to an earlier revision."""

    def upgrade(connection: Connection) -> None:
        config = AlembicConfig()
        config.set_main_option("script_location", str(ROOT / "hub" / "store" / "migrations"))
        config.attributes["connection"] = connection
        command.upgrade(config, revision_)

    engine = create_async_engine(async_engine_url(url))
    async with engine.begin() as connection:
        await connection.run_sync(upgrade)
    await engine.dispose()


async def test_messages_older_than_the_index_are_found_by_it(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.store.search.NEWEST", (1,))
    await migrate_to(database_url, "0003")
    async with open_store(database_url) as store:
        user = await store.sender()
        old = [await store.message(user, subject=subject) for subject in ("Ünïque '1'", "hi", "")]
    await migrate(database_url)
    async with open_store(database_url) as store:
        new = await store.message(user, subject="Ünïque '2'")
        await store.message(user)
        for text_, found in (("ünïque '1", old[0]), ("ünïque '2", new)):
            assert [each.id for each in await store.messages.page(user.id, limit=5, search=text_)] == [found.id]


@pytest.mark.parametrize("lacking", ["SELECT '3.33.0', 1", "SELECT '3.45.0', 0"])
async def test_sqlite_without_trigrams_gets_no_index_and_searches_all_the_same(sqlite_url: str, lacking: str) -> None:
    def pretend(_connection: Any, _cursor: Any, sql: str, parameters: Any, _context: Any, _many: bool) -> Any:
        return (lacking if "pragma_module_list" in sql else sql), parameters

    event.listen(Engine, "before_cursor_execute", pretend, retval=True)
    try:
        assert await migrate(sqlite_url) == head()
    finally:
        event.remove(Engine, "before_cursor_execute", pretend)
    assert await differences(sqlite_url) == []
    async with open_store(sqlite_url) as store:
        assert await store.database.fetch("SELECT 1 FROM sqlite_master WHERE name LIKE 'message_search%'") == []
        user = await store.sender()
        message = await store.message(user, subject="A rare one")
        assert [each.id for each in await store.messages.page(user.id, limit=5, search="a RARE")] == [message.id]


async def test_sqlite_that_cannot_read_the_index_of_a_file_is_refused(sqlite_url: str) -> None:
    await migrate(sqlite_url)
    with closing(sqlite3.connect(sqlite_path(sqlite_url))) as file:
        file.execute("PRAGMA writable_schema = 1")
        file.execute("UPDATE sqlite_master SET sql = replace(sql, 'fts5', 'fts55') WHERE name = 'message_search'")
        file.commit()
    with pytest.raises(ConfigError, match=r"needs FTS5 with trigrams, .* lacks \(no such module: fts55\)"):
        await migrate(sqlite_url)


async def test_role_that_may_make_tables_only_gets_an_index(postgres: Postgres) -> None:
    """As on a hosted PostgreSQL, where the role may make no extension."""
    with postgres.database() as name:
        postgres.run(f"CREATE ROLE {name}_owner LOGIN")
        postgres.run(f"GRANT CREATE ON SCHEMA public TO {name}_owner", name)
        assert await migrate(postgres.url(name).replace("postgres@", f"{name}_owner@")) == head()
        assert await differences(postgres.url(name)) == []
        postgres.run(f"DROP OWNED BY {name}_owner", name)
        postgres.run(f"DROP ROLE {name}_owner")


async def test_empty_database_that_cannot_keep_every_text_is_refused(postgres: Postgres) -> None:
    postgres.run("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    try:
        with pytest.raises(
            ConfigError, match=r"^DATABASE_URL is .* encoding is LATIN1.* create one with ENCODING 'UTF8'"
        ):
            await migrate(postgres.url("latin"))
        # One that an earlier version took is left as it is.
        tables = "CREATE TABLE alembic_version (version_num text); INSERT INTO alembic_version VALUES"
        postgres.run(f"{tables} ('{head()}')", "latin")
        assert await migrate(postgres.url("latin")) == head()
    finally:
        postgres.run("DROP DATABASE latin WITH (FORCE)")


async def test_embedded_database_has_a_write_ahead_log_once_it_was_opened(sqlite_url: str) -> None:
    await migrate(sqlite_url)
    async with open_store(sqlite_url):
        pass
    engine = create_engine(f"sqlite:///{sqlite_path(sqlite_url)}")
    with engine.connect() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
    engine.dispose()


async def test_new_file_and_those_beside_it_are_for_their_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "hub.db"
    before = os.umask(0o022)
    try:
        await migrate(f"sqlite:///{file}")
        async with open_store(f"sqlite:///{file}") as store:
            await store.users.secret("pixel", "a key")
            modes = {each.name: stat.filemode(each.stat().st_mode) for each in os.scandir(tmp_path)}
    finally:
        os.umask(before)
    assert modes == dict.fromkeys(("hub.db", "hub.db-shm", "hub.db-wal"), "-rw-------")


async def test_mode_of_a_file_that_is_there_stays(tmp_path: Path) -> None:
    file = tmp_path / "hub.db"
    file.touch()
    file.chmod(0o640)
    await migrate(f"sqlite:///{file}")
    assert stat.filemode(file.stat().st_mode) == "-rw-r-----"


async def test_older_file_is_migrated_at_the_start(sqlite_url: str) -> None:
    await migrate_to(sqlite_url, "0003")
    await prepare(Config(database_url=sqlite_url))
    assert await revision(sqlite_url) == head()


async def test_database_that_cannot_be_reached_is_away(tmp_path: Path) -> None:
    for url in (
        f"postgresql://postgres@127.0.0.1:{free_port()}/hub",
        f"sqlite:///{tmp_path / 'missing' / 'hub.db'}",
    ):
        with pytest.raises(DatabaseAway):
            await migrate(url)


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
