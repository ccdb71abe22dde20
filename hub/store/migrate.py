"""Migrations: from whatever schema a database has to the one this code needs.

Promise: `migrate` runs as one transaction under a lock, so it can be started twice, cancelled or killed at any
moment and run again; it only goes forward.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, event, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from hub.config import ConfigError
from hub.store.away import DatabaseAway, is_away
from hub.store.database import require_folder
from hub.store.search import VIRTUAL
from hub.store.urls import CONNECT_SECONDS, async_engine_url, connect_arguments, sqlite_path, without_password

ADVISORY_LOCK = 0x676C696D70736502
"""The key of the lock that migrating processes share on PostgreSQL: "glimpse" in ASCII, and a byte of 2."""

MIGRATING_SECONDS = 3600.0
"""How long it may take. PostgreSQL needs a minute to index a million messages for the search."""

ENCODINGS = ("UTF8", "SQL_ASCII")
"""The encodings of a PostgreSQL database that can keep every text."""

INTERRUPT_SECONDS = 0.05
"""How often SQLite is told to interrupt its statement: one that begins right after that does not hear it."""

_NO_TIMEOUTS = (
    "SELECT set_config(name, '0', true) FROM pg_settings"
    " WHERE name IN ('statement_timeout', 'transaction_timeout', 'idle_in_transaction_session_timeout')"
)
"""Hosts and roles limit what a program's everyday statements may take; to wait for the lock and to make an index takes
longer. Not every server has all three."""

logger = logging.getLogger(__name__)

T = TypeVar("T")


async def migrate(url: str) -> str:
    """Bring the database at `url` to the current schema and return its revision.

    Raises `DatabaseAway` if the database cannot be reached or written, and `ConfigError` if its schema is not
    one of ours.
    """

    def upgrade(connection: Connection) -> str:
        if connection.dialect.name == "postgresql":
            connection.execute(text(_NO_TIMEOUTS))
            connection.execute(text(f"SELECT pg_advisory_xact_lock({ADVISORY_LOCK})"))
            _require_encoding(connection, url)
        config = _alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        if connection.dialect.name == "sqlite":
            _require_search(connection, url)
        return head()

    return await _run(url, upgrade)


def head() -> str:
    """The newest revision in `migrations/`."""
    found = ScriptDirectory.from_config(_alembic_config()).get_current_head()
    if found is None:
        raise RuntimeError("the package has no migrations: install it again")
    return found


async def _run(url: str, work: Callable[[Connection], T]) -> T:
    """Run `work` in a transaction. Raises `DatabaseAway`, and `ConfigError` for a schema that is not ours."""
    require_folder(url)
    if url.startswith("sqlite"):
        _make_for_owner(url)
    engine = _engine(url)
    try:
        async with asyncio.timeout(MIGRATING_SECONDS):
            return await _in_transaction(engine, work)
    except CommandError:
        raise ConfigError(
            f"DATABASE_URL is {without_password(url)[:160]}: its schema is one that this version does not know; "
            "install the newer version that made it, or name another database"
        ) from None
    except Exception as error:
        original = getattr(error, "orig", None) or error
        cause = original.__cause__ if isinstance(original.__cause__, Exception) else original
        if is_away(original) or is_away(cause):
            raise DatabaseAway.because(cause, url) from error
        raise
    finally:
        await engine.dispose()


async def _in_transaction(engine: AsyncEngine, work: Callable[[Connection], T]) -> T:
    """Run `work` in a transaction, which is rolled back at once if nobody waits for it any more."""

    async def begun() -> T:
        async with engine.begin() as connection:
            return await connection.run_sync(work)

    if engine.dialect.name != "sqlite":
        return await begun()
    opened: list[Any] = []
    event.listen(engine.sync_engine, "connect", lambda connection, _: opened.append(connection.driver_connection))
    working = asyncio.create_task(begun())
    try:
        await asyncio.wait([working])
    except asyncio.CancelledError:
        # To roll back would wait for the statement that is being run, and making an index may take minutes.
        while not working.done():
            for connection in opened:
                with contextlib.suppress(ValueError, sqlite3.ProgrammingError):
                    await connection.interrupt()
            await asyncio.wait([working], timeout=INTERRUPT_SECONDS)
        if error := working.exception():
            logger.debug("a migration was cut off: %s", error)
        raise
    return working.result()


def _make_for_owner(url: str) -> None:
    """Make an SQLite file, if there is none, so that only its owner may read it: the pixels' key is in it. SQLite gives
    the files that it puts beside it the same mode. What is wrong with its folder, SQLite says itself.
    """
    with contextlib.suppress(OSError):
        Path(sqlite_path(url)).resolve().touch(0o600, exist_ok=False)


def _require_encoding(connection: Connection, url: str) -> None:
    # Hits from a town that the encoding lacks would be put aside, and such a subject could not be registered. One that
    # is in use already is left alone.
    encoding = connection.execute(text("SHOW server_encoding")).scalar_one()
    if encoding not in ENCODINGS and MigrationContext.configure(connection).get_current_revision() is None:
        raise ConfigError(
            f"DATABASE_URL is {without_password(url)[:160]}: its encoding is {encoding}, which lacks many letters; "
            "create one with ENCODING 'UTF8', or name another"
        )


def _require_search(connection: Connection, url: str) -> None:
    # The file may come from another machine. If this SQLite lacks what its triggers need, no message can be registered.
    try:
        connection.execute(text(f"SELECT 1 FROM {VIRTUAL} LIMIT 0"))
    except OperationalError as error:
        if "no such module" in str(error.orig) or "no such tokenizer" in str(error.orig):
            raise ConfigError(
                f"DATABASE_URL is {without_password(url)[:160]}: its index for searches needs FTS5 with trigrams, which"
                f" this Python's SQLite {sqlite3.sqlite_version} lacks ({error.orig}); use a Python that has it"
            ) from None
        if "no such table" not in str(error.orig):
            raise


def _engine(url: str) -> AsyncEngine:
    options: dict[str, Any] = {}
    if not url.startswith("sqlite"):
        options["connect_args"] = {"timeout": CONNECT_SECONDS, **connect_arguments(url)}
        # Who waited for the lock has to see what its last holder made, whatever the server's default.
        options["isolation_level"] = "READ COMMITTED"
    engine = create_async_engine(async_engine_url(url), poolclass=NullPool, **options)
    if url.startswith("sqlite"):
        # By itself the driver begins transactions late, and none for DDL. This is SQLAlchemy's own advice.
        @event.listens_for(engine.sync_engine, "connect")
        def _manual_transactions(connection: Any, _record: Any) -> None:
            connection.isolation_level = None
            # The journal mode stays as it is: of two processes that change it at once one fails, however long it waits.
            for pragma in ("PRAGMA busy_timeout=10000", "PRAGMA synchronous=FULL"):
                connection.execute(pragma)

        @event.listens_for(engine.sync_engine, "begin")
        def _begin_immediate(connection: Connection) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _alembic_config() -> AlembicConfig:
    config = AlembicConfig()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    return config
