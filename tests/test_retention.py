"""Retention: what is kept for a limited time is deleted when that time is over, and nothing else is."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from hub.model import DAY_MS, Event, new_id
from hub.store.credentials import SESSION_MS
from hub.store.retention import VIEWINGS_MS, Retention
from tests.factories import T0, Store, a_recorder, a_visit, audit, open_store, together
from tests.samples import an_open


async def number(store: Store, what: str) -> int:
    row = await store.database.fetch_one(f"SELECT count(*) AS n FROM {what}")
    assert row is not None
    return int(row["n"])


async def sweep_at(store: Store, at: int, log_days: int = 30) -> int:
    return await Retention(store.database, log_days).sweep(at)


async def test_everything_goes_when_its_time_is_over_and_not_before(store: Store) -> None:
    user = await store.sender()
    message = await store.message(user)
    await store.credentials.add_session(user.id, "hash", "hash", None, T0)
    async with store.database.write() as tx:
        await tx.change(store.opens.seen({(message.id, 1, "a client"): T0}))
        await tx.change(store.opens.added([(an_open(user_id=user.id, message_id=message.id, at=T0), "a client")]))
        await store.messages.add_viewing(tx, message.id, T0)
        await store.idempotency.claim(tx, user.id, "key", "body", T0)
    for last, tables in (
        (T0 + DAY_MS, ("last_seen", "idempotency_keys", "opens WHERE client_hash IS NOT NULL")),
        (T0 + VIEWINGS_MS, ("viewings",)),
        (T0 + SESSION_MS, ("sessions", "events")),
    ):
        await sweep_at(store, last)
        assert {table: await number(store, table) for table in tables} == dict.fromkeys(tables, 1), "too early"
        await sweep_at(store, last + 1)
        assert {table: await number(store, table) for table in tables} == dict.fromkeys(tables, 0), "too late"
    assert await number(store, "opens") == await number(store, "messages") == await number(store, "users") == 1
    assert await sweep_at(store, T0 + 365 * DAY_MS) == 0


async def test_log_is_kept_for_as_many_days_as_configured(store: Store) -> None:
    user = await store.sender()
    await store.message(user)
    assert await sweep_at(store, T0 + 2 * DAY_MS, log_days=2) == 0
    assert await sweep_at(store, T0 + 2 * DAY_MS + 1, log_days=2) == 1


async def test_more_than_a_slice_goes_in_one_sweep(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in ("events", "retention"):
        monkeypatch.setattr(f"hub.store.{place}.TRIM_SLICE", 3)
    user = await store.sender()
    message = await store.message(user)
    opens = [(an_open(id=new_id(), user_id=user.id, message_id=message.id, at=T0), "a client") for _ in range(7)]
    async with store.database.write() as tx:
        await tx.change(store.opens.added(opens))
        await tx.change(store.opens.seen({(message.id, 1, f"client {n}"): T0 for n in range(7)}))
        await tx.change(store.events.added([Event(user.id, n, "notifications.seen", T0, seen=1) for n in range(2, 8)]))
    assert await sweep_at(store, T0 + 31 * DAY_MS) == 21
    assert await number(store, "last_seen") == await number(store, "events") == 0


async def test_sweep_passes_over_rows_that_another_transaction_holds(
    migrated_postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise two processes that sweep at once would each wait for rows that the other holds."""
    monkeypatch.setattr("hub.store.retention.TRIM_SLICE", 2)
    over = T0 + SESSION_MS + 1
    held = {"last_seen": "client", "viewings": "at", "idempotency_keys": "key", "sessions": "hash", "opens": "id"}
    async with open_store(migrated_postgresql_url) as store, open_store(migrated_postgresql_url) as other:
        user = await store.sender()
        message = await store.message(user)
        opens = [an_open(id=new_id(), user_id=user.id, message_id=message.id, at=T0 + n) for n in range(5)]
        async with store.database.write() as tx:
            await tx.change(store.opens.added([(open_, "a client") for open_ in opens]))
            await tx.change(store.opens.seen({(message.id, 1, f"client {n}"): T0 + n for n in range(5)}))
            for n in range(5):
                await store.messages.add_viewing(tx, message.id, T0 + n)
                await store.idempotency.claim(tx, user.id, f"key {n}", "body", T0 + n)
        for n in range(5):
            await store.credentials.add_session(user.id, "hash", f"hash {n}", None, T0 - n)
        async with other.database.write() as tx:
            for table, column in held.items():
                locked = await tx.fetch(f"SELECT 1 FROM {table} ORDER BY {column} LIMIT 2 FOR UPDATE")
                assert len(locked) == 2
            async with asyncio.timeout(5):
                assert await sweep_at(store, over, log_days=365) == 3 * len(held)
        assert await sweep_at(store, over, log_days=365) == 2 * len(held)


async def test_sweep_goes_on_beside_the_recorder(store: Store, tmp_path: Path) -> None:
    user = await store.sender()
    message = await store.message(user)

    async def hits() -> None:
        for n in range(20):
            await recorder.record(a_visit(message, at=T0 + n))

    async def sweeps() -> None:
        for _ in range(10):
            await sweep_at(store, T0 + 29 * DAY_MS)

    async with a_recorder(store, tmp_path) as recorder:
        await together(*(hits() for _ in range(4)), sweeps())
        assert not recorder.spooling
    await audit(store.database)
    assert (await store.reload(message)).hits == 80


async def test_sweep_that_finds_nothing_over_does_not_wait_for_the_writer(store: Store) -> None:
    """What is over is looked for in all of a table: hits would wait for that if it were the writer who looked."""
    async with store.database.write(), asyncio.timeout(5):
        assert await sweep_at(store, T0) == 0
