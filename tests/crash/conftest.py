"""What the tests of crashes share: a store beside the hub, and hubs that can be made to fail."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from tests.factories import Store, open_store
from tests.faults import FaultyHub
from tests.ledger import SECRET


@pytest.fixture
async def embedded(migrated_sqlite_url: str) -> AsyncIterator[Store]:
    """The stores on the hub's SQLite file."""
    async with open_store(migrated_sqlite_url) as store:
        yield store


@pytest.fixture
async def remote(migrated_postgresql_url: str) -> AsyncIterator[Store]:
    """The stores on the hub's PostgreSQL database."""
    async with open_store(migrated_postgresql_url) as store:
        yield store


@pytest.fixture
def faulty_hub(tmp_path: Path) -> Iterator[Callable[[str], FaultyHub]]:
    """Makes hubs on the database at a URL, not started yet, and ends them after the test."""
    hubs: list[FaultyHub] = []

    def make(url: str) -> FaultyHub:
        hub = FaultyHub(tmp_path, url, {"HUB_SECRET_KEY": SECRET})
        hubs.append(hub)
        return hub

    yield make
    for hub in hubs:
        hub.kill()
