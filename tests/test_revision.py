"""Which schema a database has, told without Alembic."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from hub.store.away import DatabaseAway
from hub.store.migrate import head
from hub.store.revision import NEEDED, revision
from hub.store.search import VIRTUAL
from hub.store.urls import sqlite_path
from tests.processes import free_port
from tests.servers import ROOT

HEAVY = ("alembic", "sqlalchemy.orm", "rich", "redis", "hub.store.schema", "ua_parser_builtins.regexes")


def test_revision_needed_is_the_newest_migration() -> None:
    assert head() == NEEDED


async def test_revision_of_a_migrated_database_is_the_one_needed(migrated_url: str) -> None:
    assert await revision(migrated_url) == NEEDED


async def test_revision_of_a_database_without_tables_is_none(database_url: str) -> None:
    assert await revision(database_url) is None


def test_revision_of_a_file_that_is_not_there_makes_none(sqlite_url: str) -> None:
    assert asyncio.run(revision(sqlite_url)) is None
    assert not Path(sqlite_path(sqlite_url)).exists()


def test_revision_of_a_file_changes_nothing_in_it(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "other.db")) as other:
        other.execute("CREATE TABLE anything (id)")
    before = (tmp_path / "other.db").read_bytes()
    assert asyncio.run(revision(f"sqlite:///{tmp_path / 'other.db'}")) is None
    assert (tmp_path / "other.db").read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["other.db"]


@pytest.mark.parametrize("content", [b"no database " * 1000, b""])
async def test_revision_of_a_file_that_is_no_database_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "hub #1.db").write_bytes(content)
    assert await revision(f"sqlite:///{tmp_path / 'hub #1.db'}") is None


def test_revision_of_a_file_with_an_odd_name_is_found(tmp_path: Path, sqlite_template: Path) -> None:
    shutil.copy(sqlite_template, tmp_path / "hub #1.db")
    assert asyncio.run(revision(f"sqlite:///{tmp_path / 'hub #1.db'}")) == NEEDED


async def test_revision_of_a_file_that_cannot_be_searched_is_none(migrated_sqlite_url: str) -> None:
    """Only `migrate` tells a Python whose SQLite cannot do it, and says what to do."""
    with closing(sqlite3.connect(sqlite_path(migrated_sqlite_url))) as connection:
        connection.execute(f"DROP TABLE {VIRTUAL}")
    assert await revision(migrated_sqlite_url) is None


async def test_revision_on_a_server_that_is_away_is_not_known() -> None:
    with pytest.raises(DatabaseAway, match="DATABASE_URL"):
        await revision(f"postgresql://nobody@127.0.0.1:{free_port()}/none")


def test_hub_that_has_nothing_to_migrate_does_without_what_only_others_need(migrated_sqlite_url: str) -> None:
    """A start would take half as long again, and a process 30 MiB more."""
    script = f"""
import asyncio, sys
import hub.commands, hub.app, hub.server
from hub.config import Config
from hub.preparation import prepare
asyncio.run(prepare(Config(database_url={migrated_sqlite_url!r})))
print([name for name in {HEAVY} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("[]\n", "")
