"""Which schema a database has, and which this code needs.

Promise: nothing is written, and Alembic is not asked. Its import takes a seventh of a start, and readers' pixels wait
for a hub that is started again; nearly always there is nothing to migrate.
"""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

import asyncpg
import databases

from hub.store.away import DatabaseAway, is_away
from hub.store.search import VIRTUAL
from hub.store.urls import driver_options, driver_url, sqlite_path

NEEDED = "0004"
"""The newest revision in `migrations/`."""

_ASK = "SELECT version_num FROM alembic_version"


async def revision(url: str) -> str | None:
    """The revision the database at `url` is at, or None if it is empty. Of a file also None if it cannot be read, or
    not be searched by this Python's SQLite: `migrate` says what is wrong with it. Raises `DatabaseAway` for a server.
    """
    if url.startswith("sqlite"):
        return await asyncio.to_thread(_of_file, Path(sqlite_path(url)))
    return await _of_server(url)


def _of_file(file: Path) -> str | None:
    try:
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True, timeout=0)) as connection:
            connection.execute(f"SELECT 1 FROM {VIRTUAL} LIMIT 0")
            row = connection.execute(_ASK).fetchone()
    except (OSError, sqlite3.Error):
        return None
    return None if row is None else str(row[0])


async def _of_server(url: str) -> str | None:
    try:
        async with databases.Database(driver_url(url), **driver_options(url, 1)) as database:
            found: str | None = await database.fetch_val(_ASK)
    except asyncpg.UndefinedTableError:
        return None
    except Exception as error:
        if is_away(error):
            raise DatabaseAway.because(error, url) from error
        raise
    return found
