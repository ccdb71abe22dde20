"""Checkpoints: the log stays short, and nothing that is written waits for one or is harmed by one."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hub.store.checkpoints import PASS
from hub.store.database import Database
from hub.store.urls import sqlite_path
from tests.notes import a_database, add, numbers

PAGE_BYTES = 4096


@pytest.fixture
async def embedded(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Database]:
    monkeypatch.setattr("hub.store.checkpoints.ROWS", 20)
    async with a_database(sqlite_url) as database:
        yield database


def log_bytes(url: str) -> int:
    return Path(f"{sqlite_path(url)}-wal").stat().st_size


async def test_log_stays_short_under_writes(embedded: Database, sqlite_url: str) -> None:
    for number in range(300):
        await add(embedded, number)
    assert log_bytes(sqlite_url) < 200 * PAGE_BYTES, "each write adds a page or two"
    assert await numbers(embedded) == list(range(300))


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
