"""Checkpoints: SQLite's log stays short, and no write waits for a checkpoint or is harmed by one."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from hub.store.checkpoints import LEAST_ROWS, PASS, ROWS, Checkpoints
from hub.store.database import Database
from hub.store.held import Row
from hub.store.urls import sqlite_path
from tests.notes import WAYS, Add, a_database, add, numbers
from tests.processes import eventually

PAGE_BYTES = 4096


@pytest.fixture
async def embedded(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Database]:
    monkeypatch.setattr("hub.store.checkpoints.ROWS", 20)
    monkeypatch.setattr("hub.store.checkpoints.EVERY_SECONDS", 0)
    async with a_database(sqlite_url) as database:
        yield database


def log_bytes(url: str) -> int:
    return Path(f"{sqlite_path(url)}-wal").stat().st_size


@pytest.mark.parametrize("add", WAYS)
async def test_log_stays_short_under_writes(embedded: Database, sqlite_url: str, add: Add) -> None:
    for number in range(300):
        await add(embedded, number)
    assert log_bytes(sqlite_url) < 200 * PAGE_BYTES, "each write adds a page or two"
    assert await numbers(embedded) == list(range(300))


async def test_log_that_grew_while_somebody_read_for_long_is_cut_back(embedded: Database, sqlite_url: str) -> None:
    limit = 64 * 1024 * 1024
    await add(embedded, 0)
    with closing(sqlite3.connect(sqlite_path(sqlite_url), isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM note").fetchall()
        for number in range(1, 18):
            await add(embedded, number, "x" * 4_000_000)
        assert log_bytes(sqlite_url) > limit
    numbered = count(100)

    async def is_cut_back() -> bool:
        await add(embedded, next(numbered))
        return log_bytes(sqlite_url) <= limit

    await eventually(is_cut_back)


async def test_checkpoint_that_fails_harms_no_write_and_the_next_makes_up_for_it(
    embedded: Database, sqlite_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "hub.store.checkpoints")
    monkeypatch.setattr("hub.store.checkpoints.PASS", "SELECT * FROM nowhere")
    for number in range(100):
        await add(embedded, number)
    assert "a checkpoint was not made: no such table: nowhere" in caplog.text
    before = log_bytes(sqlite_url)
    monkeypatch.setattr("hub.store.checkpoints.PASS", PASS)
    for number in range(100, 400):
        await add(embedded, number)
    assert log_bytes(sqlite_url) < before + 200 * PAGE_BYTES
    assert await numbers(embedded) == list(range(400))


class Copying:
    """Checkpoints without a database; `turns` is how often they had the writer."""

    def __init__(self) -> None:
        self.turns = 0
        self.failures: list[Exception] = []
        self.checkpoints = Checkpoints(self.fetch, self.writing)

    async def fetch(self, _sql: str) -> Sequence[Row]:
        if self.failures:
            raise self.failures.pop()
        return ()

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Any]:
        yield self
        self.turns += 1

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.checkpoints.run())
        yield
        task.cancel()
        await asyncio.wait([task])

    async def made(self, rows: int) -> bool:
        """Whether a checkpoint is made once this many rows have been written in all."""
        before = self.turns
        self.checkpoints.written(rows)
        for _ in range(20):
            await asyncio.sleep(0)
        return self.turns > before


async def test_checkpoint_that_kept_the_writer_for_long_is_made_after_fewer_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    copying = Copying()
    async with copying.running():
        assert not await copying.made(ROWS - 1)
        monkeypatch.setattr("hub.store.checkpoints.LONG_SECONDS", -1)
        rows = ROWS
        assert await copying.made(rows)
        for fewer in (ROWS // 2, ROWS // 4, ROWS // 8, LEAST_ROWS, LEAST_ROWS):
            rows += fewer
            assert await copying.made(rows)
        assert not await copying.made(rows + LEAST_ROWS - 1)
        monkeypatch.setattr("hub.store.checkpoints.LONG_SECONDS", 60)
        rows += LEAST_ROWS
        assert await copying.made(rows)
        assert not await copying.made(rows + 2 * LEAST_ROWS - 1)
        assert await copying.made(rows + 2 * LEAST_ROWS)


async def test_rows_that_an_earlier_writer_changed_count_towards_the_next_checkpoint() -> None:
    copying = Copying()
    async with copying.running():
        for rows in (ROWS // 2, ROWS // 4, ROWS // 4 - 1):
            assert not await copying.made(rows)
        assert await copying.made(1)


async def test_checkpoints_go_on_after_the_count_of_sqlite_began_anew_below_zero(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hub.store.checkpoints.EVERY_SECONDS", 0)
    copying, least = Copying(), -(2**31)
    async with copying.running():
        assert await copying.made(2**31 - 1)
        assert not await copying.made(least)
        assert not await copying.made(least + ROWS - 1)
        assert await copying.made(least + ROWS)


@pytest.mark.parametrize(("seconds", "turns"), [(0, 3), (60, 1)])
async def test_checkpoint_is_not_made_soon_after_another(
    monkeypatch: pytest.MonkeyPatch, seconds: float, turns: int
) -> None:
    monkeypatch.setattr("hub.store.checkpoints.EVERY_SECONDS", seconds)
    copying = Copying()
    async with copying.running():
        for rows in (ROWS, 2 * ROWS, 3 * ROWS):
            await copying.made(rows)
    assert copying.turns == turns


async def test_checkpoint_that_fails_unexpectedly_is_logged_and_the_next_is_made(
    caplog: pytest.LogCaptureFixture,
) -> None:
    copying = Copying()
    copying.failures = [MemoryError("no room")]
    async with copying.running():
        assert not await copying.made(ROWS)
        assert "a checkpoint was not made" in caplog.text
        assert await copying.made(2 * ROWS)
