"""The disk of both database and spool is full, then read-only: pixels answer, no hit is lost, and the hub heals.

Wherever a file system can be mounted, this is a real one: `tests.places`.
"""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from hub.store.urls import sqlite_path
from tests.factories import Store, open_store
from tests.faults import FaultyHub
from tests.ledger import SECRET, Ledger, a_ledger, asking
from tests.places import NoDisk, SmallDisk, a_place
from tests.processes import PATIENCE_SECONDS, eventually

SOME = 40
READ_ONLY = "attempt to write a readonly database"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[SmallDisk | NoDisk]:
    place = a_place(tmp_path)
    yield place
    place.close()


@pytest.fixture
def hub_there(place: SmallDisk | NoDisk, tmp_path: Path) -> Iterator[FaultyHub]:
    """A hub with its database and its spool in the place, not started yet."""
    environ = {"HUB_SECRET_KEY": SECRET, "HUB_SPOOL_DIR": str(place.path / "spool")}
    hub = FaultyHub(tmp_path, f"sqlite:///{place.path / 'hub.db'}", environ)
    hub.spool = place.files / "spool"
    place.take(hub)
    yield hub
    hub.kill()


async def a_ledger_there(embedded: Store, place: SmallDisk | NoDisk) -> Ledger:
    ledger = await a_ledger(embedded, pixels=10000)
    await embedded.database.disconnect()
    shutil.copy(sqlite_path(embedded.url), place.files / "hub.db")
    return ledger


async def check(ledger: Ledger, hub: FaultyHub, place: SmallDisk | NoDisk, tmp_path: Path) -> None:
    """End the hub, and compare. SQLite would not find the place from here, so it gets a copy."""
    assert not ledger.uncertain
    assert not hub.complaints()
    assert await asyncio.to_thread(hub.terminate) == 0
    assert not hub.segments()
    shutil.copy(place.files / "hub.db", copy := tmp_path / "copy.db")
    async with open_store(f"sqlite:///{copy}") as store:
        await ledger.check(store.database)


async def test_disk_of_database_and_spool_that_is_full_or_read_only_costs_no_hit_and_the_hub_heals(
    embedded: Store, hub_there: FaultyHub, place: SmallDisk | NoDisk, tmp_path: Path
) -> None:
    ledger = await a_ledger_there(embedded, place)
    place.fill_and_launch(hub_there)
    await eventually(hub_there.serves, what="the hub serves")
    async with (
        httpx.AsyncClient(base_url=hub_there.base_url, timeout=PATIENCE_SECONDS, verify=False) as client,
        asking(ledger, [hub_there], 2),
    ):

        async def told(database: str, recorder: str) -> bool:
            checks = (await client.get("/readyz")).json()["checks"]
            return bool(re.fullmatch(database, checks["database"]) and re.fullmatch(recorder, checks["recorder"]))

        async def in_memory(why: str, database: str) -> None:
            words = rf"the spool cannot be written \({why}\): \d+ hits are in memory only"
            await eventually(lambda: told(database, words), what=f"told that there is: {why}")
            before = len(ledger.answered)
            await eventually(lambda: len(ledger.answered) > before + SOME, what=f"pixels in spite of: {why}")

        await in_memory(place.full, ".*")
        place.make_room()
        await eventually(lambda: told("ok", "ok"), what="well after a start on a full disk")
        place.fill()
        await in_memory(place.full, ".*")
        place.make_read_only()
        place.make_room()
        await in_memory("Read-only file system", rf"the database cannot be written \({READ_ONLY}\)")
        place.make_writable()
        await eventually(lambda: told("ok", "ok"), what="well at the end")
    said = hub_there.output()
    assert re.search(r"the database is away \((database or disk is full|disk I/O error)\): hits go to the spool", said)
    assert re.search(rf"the spool cannot be written \(\[Errno \d+\] {place.full}", said)
    await check(ledger, hub_there, place, tmp_path)
    if isinstance(place, SmallDisk):
        place.make_read_only()
        refused = await asyncio.to_thread(hub_there.command, "serve")
        assert (refused.returncode, refused.stdout) == (1, "")
        assert re.fullmatch(r"glimpse: DATABASE_URL is \S+: Read-only file system; see that .*\n", refused.stderr)
