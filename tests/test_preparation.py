"""Preparation: the schema and the keys, also when the database is away at the start."""

from __future__ import annotations

import asyncio
import errno
import logging
import sqlite3
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from hub.config import Config, ConfigError
from hub.preparation import KEY_FILE, Preparation, prepare
from hub.server import END_SECONDS
from hub.store.away import DatabaseAway
from hub.store.database import Database
from hub.store.migrate import head, migrate
from hub.store.revision import revision
from hub.store.urls import sqlite_path
from hub.store.users import Users
from hub.tracking.token import BadToken, Keys
from tests.processes import PATIENCE_SECONDS, eventually, free_port, wait_until
from tests.servers import HubProcess, Postgres

SECRET = "a secret of sixteen or more"
ID = "0" * 26


@asynccontextmanager
async def preparing(
    url: str, spool_dir: Path, secret: str | None = None
) -> AsyncIterator[tuple[Preparation, Database]]:
    database = Database(url)
    preparation = Preparation(database, Config(database_url=url, spool_dir=spool_dir, secret_key=secret))
    try:
        yield preparation, database
    finally:
        await preparation.stop()
        await database.disconnect()


def locked(url: str) -> closing[sqlite3.Connection]:
    """The file, locked as another program may lock it, until the block ends."""
    other = sqlite3.connect(sqlite_path(url), isolation_level=None, timeout=0)
    other.execute("PRAGMA journal_mode=DELETE")
    other.execute("BEGIN EXCLUSIVE")
    return closing(other)


async def test_prepare_migrates_an_embedded_database(sqlite_url: str) -> None:
    assert await revision(sqlite_url) is None
    await prepare(Config(database_url=sqlite_url))
    assert await revision(sqlite_url) == head()
    await prepare(Config(database_url=sqlite_url))


async def test_prepare_leaves_the_migration_of_a_shared_database_to_its_owner(postgresql_url: str) -> None:
    with pytest.raises(ConfigError, match="glimpse migrate"):
        await prepare(Config(database_url=postgresql_url))
    assert await revision(postgresql_url) is None


async def test_prepare_refuses_a_shared_database_with_the_schema_of_another_release(
    migrated_postgresql_url: str, postgres: Postgres
) -> None:
    name = urlsplit(migrated_postgresql_url).path[1:]
    await asyncio.to_thread(postgres.run, "UPDATE alembic_version SET version_num = 'another'", name)
    with pytest.raises(ConfigError, match="glimpse migrate"):
        await prepare(Config(database_url=migrated_postgresql_url))


async def test_prepare_accepts_a_shared_database_that_is_migrated(migrated_postgresql_url: str) -> None:
    await prepare(Config(database_url=migrated_postgresql_url))


async def test_prepare_says_when_the_database_is_away() -> None:
    with pytest.raises(DatabaseAway):
        await prepare(Config(database_url=f"postgresql://nobody@127.0.0.1:{free_port()}/none"))


async def test_keys_are_the_configured_secret_and_the_kept_one(tmp_path: Path, migrated_url: str) -> None:
    async with preparing(migrated_url, tmp_path) as (preparation, _):
        kept = await preparation.keys()
    async with preparing(migrated_url, tmp_path, SECRET) as (preparation, _):
        both = await preparation.keys()
    assert both.verify(kept.sign(ID, 1)) == both.verify(Keys(SECRET).sign(ID, 1)) == (ID, 1)
    assert both.sign(ID, 1) == Keys(SECRET).sign(ID, 1)


async def test_copy_of_the_key_is_for_its_owner_only(tmp_path: Path, migrated_sqlite_url: str) -> None:
    async with preparing(migrated_sqlite_url, tmp_path / "spool") as (preparation, database):
        await preparation.keys()
        kept = await Users(database).secret("pixel", "another")
    [file] = (tmp_path / "spool").iterdir()
    assert file.name == KEY_FILE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text() == f"{kept}\n"


async def test_copy_of_the_key_that_finds_no_room_leaves_nothing_of_it(
    tmp_path: Path, migrated_sqlite_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_space(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    async with preparing(migrated_sqlite_url, tmp_path / "spool") as (preparation, _):
        with monkeypatch.context() as full_disk:
            full_disk.setattr("hub.preparation.os.fsync", no_space)
            await preparation.keys()
    assert "without a copy of its key" in caplog.text
    assert list((tmp_path / "spool").iterdir()) == []


@pytest.mark.parametrize("damaged", [b"", b"\xff\xfe", b"of another database"])
async def test_copy_of_the_key_follows_the_database(tmp_path: Path, migrated_sqlite_url: str, damaged: bytes) -> None:
    (tmp_path / KEY_FILE).write_bytes(damaged)
    async with preparing(migrated_sqlite_url, tmp_path) as (preparation, database):
        keys = await preparation.keys()
        kept = await Users(database).secret("pixel", "another")
    assert (tmp_path / KEY_FILE).read_text() == f"{kept}\n"
    with pytest.raises(BadToken):
        keys.verify(Keys("of another database").sign(ID, 1))


async def test_start_while_the_database_is_away_knows_the_keys_of_before(
    tmp_path: Path, migrated_sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with preparing(migrated_sqlite_url, tmp_path) as (preparation, _):
        before = await preparation.keys()
    monkeypatch.setattr("hub.preparation.PATIENCE_SECONDS", 0.2)
    async with preparing(migrated_sqlite_url, tmp_path) as (preparation, database):
        with locked(migrated_sqlite_url):
            keys = await preparation.keys()
            assert keys.verify(before.sign(ID, 1)) == (ID, 1)
            with pytest.raises(DatabaseAway):
                await database.fetch("SELECT 1")
        await eventually(lambda: opened(database), what="the database is opened once it is back")


async def test_start_during_an_outage_learns_the_kept_key_and_migrates_later(
    tmp_path: Path, sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the start the hub knows only the configured secret: its spool's folder is new, and the database is empty."""
    monkeypatch.setattr("hub.preparation.PATIENCE_SECONDS", 0.2)
    async with preparing(sqlite_url, tmp_path, SECRET) as (preparation, database):
        with locked(sqlite_url):
            keys = await preparation.keys()
        await eventually(lambda: opened(database))
        assert await revision(sqlite_url) == head()
        kept = await Users(database).secret("pixel", "another")
        await eventually(lambda: verifies(keys, Keys(kept).sign(ID, 1)), what="the kept key is learnt")


async def test_start_during_an_outage_waits_for_a_schema_that_its_owner_has_yet_to_migrate(
    tmp_path: Path, postgresql_url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.preparation.RETRY_SECONDS", 0.05)
    async with preparing(postgresql_url, tmp_path, SECRET) as (preparation, database):
        async with _away_at_first(monkeypatch):
            await preparation.keys()
        with caplog.at_level(logging.WARNING):
            await eventually(lambda: "glimpse migrate" in caplog.text)
        assert "not there at the start" in caplog.text
        assert not preparation.failed.done()
        assert not await opened(database)
        await migrate(postgresql_url)
        await eventually(lambda: opened(database))


def fail_first(monkeypatch: pytest.MonkeyPatch, *failures: Exception) -> None:
    """Have the first attempts to prepare the database fail with these."""
    left = list(failures)

    async def failing(config: Config) -> None:
        if left:
            raise left.pop(0)
        await prepare(config)

    monkeypatch.setattr("hub.preparation.RETRY_SECONDS", 0.01)
    monkeypatch.setattr("hub.preparation.prepare", failing)


async def test_start_during_an_outage_is_not_told_at_each_attempt(
    tmp_path: Path, migrated_sqlite_url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    reasons = ("no server", "no server", "no server", "it starts up", "it starts up")
    fail_first(monkeypatch, *map(DatabaseAway, reasons))
    async with preparing(migrated_sqlite_url, tmp_path, SECRET) as (preparation, database):
        await preparation.keys()
        await eventually(lambda: opened(database))
    waits = [line.rpartition(": ")[2] for line in caplog.messages if line.startswith("the hub waits")]
    assert waits == ["no server", "it starts up"]


async def test_start_is_tried_again_after_a_failure_that_nobody_foresaw(
    tmp_path: Path, migrated_sqlite_url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_first(monkeypatch, DatabaseAway("as if"), ValueError("a mistake"))
    async with preparing(migrated_sqlite_url, tmp_path, SECRET) as (preparation, database):
        await preparation.keys()
        await eventually(lambda: opened(database))
    assert "the database could not be prepared" in caplog.messages


async def test_start_with_a_slow_database_is_not_taken_for_an_outage(
    tmp_path: Path, postgresql_url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = asyncio.Event()

    async def slow(config: Config) -> None:
        await answers.wait()
        await prepare(config)

    monkeypatch.setattr("hub.preparation.PATIENCE_SECONDS", 0.01)
    monkeypatch.setattr("hub.preparation.prepare", slow)
    async with preparing(postgresql_url, tmp_path, SECRET) as (preparation, _):
        await preparation.keys()
        assert not preparation.failed.done()
        answers.set()
        assert "glimpse migrate" in await asyncio.wait_for(preparation.failed, PATIENCE_SECONDS)
    assert [record.message for record in caplog.records] == [
        "the database is not ready yet: hits go to the spool until it is"
    ]


async def test_start_without_any_key_says_that_the_database_is_away(tmp_path: Path) -> None:
    async with preparing(f"postgresql://nobody@127.0.0.1:{free_port()}/none", tmp_path) as (preparation, _):
        with pytest.raises(DatabaseAway):
            await preparation.keys()


async def test_start_on_a_database_that_time_will_not_mend_fails(tmp_path: Path, postgresql_url: str) -> None:
    no_database = tmp_path / "letter.txt"
    no_database.write_text("Dear Glimpse, this is a letter and no database. " * 100)
    other = postgresql_url.rpartition("/")[0] + "/there_is_no_such"
    for url in (f"sqlite:///{no_database}", f"sqlite:///{tmp_path}", f"sqlite:///{tmp_path}/none/hub.db", other):
        async with preparing(url, tmp_path / "spool", SECRET) as (preparation, _):
            with pytest.raises(DatabaseAway):
                await preparation.keys()


async def test_stop_ends_the_wait_for_the_database(tmp_path: Path) -> None:
    tasks = asyncio.all_tasks()
    async with preparing(f"postgresql://nobody@127.0.0.1:{free_port()}/none", tmp_path, SECRET) as (preparation, _):
        await preparation.keys()
    assert asyncio.all_tasks() == tasks


@asynccontextmanager
async def _away_at_first(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    async def away(_config: Config) -> None:
        raise DatabaseAway("as if")

    with monkeypatch.context() as patch:
        patch.setattr("hub.preparation.prepare", away)
        yield


async def opened(database: Database) -> bool:
    try:
        await database.fetch("SELECT 1")
    except DatabaseAway:
        return False
    return True


def verifies(keys: Keys, token: str) -> bool:
    try:
        keys.verify(token)
    except BadToken:
        return False
    return True


SLOW = """
from pathlib import Path
from alembic import command
from hub.__main__ import main

def forever(config, revision):
    Path("migrating").touch()
    numbers = "WITH RECURSIVE n (x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM n)"
    config.attributes["connection"].exec_driver_sql(f"{numbers} SELECT max(x) FROM n")

command.upgrade = forever
main()
"""
"""A migration that never ends, as one that indexes everything may seem to."""


@pytest.mark.parametrize("environ", [{}, {"HUB_SECRET_KEY": SECRET}])
def test_end_during_a_migration_of_a_file_is_at_once_and_in_order(
    tmp_path: Path, sqlite_url: str, environ: dict[str, str]
) -> None:
    hub = HubProcess(tmp_path, sqlite_url, environ)
    hub.program = ("-c", SLOW)
    hub.launch()
    try:
        wait_until(lambda: (tmp_path / "migrating").exists() and (not environ or hub.serves()))
        assert hub.terminate(END_SECONDS) == 0
    finally:
        hub.kill()
    assert "exception" not in hub.output()
