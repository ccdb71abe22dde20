"""The recorder while another session of PostgreSQL keeps a user's row locked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hub.recorder import ROW_LOCKED
from hub.store.probe import Probe
from tests.absence import locked, times
from tests.factories import T0, Stopwatch, Store, a_recorder, a_visit, audit, open_store
from tests.processes import eventually


@pytest.fixture
async def store(migrated_postgresql_url: str) -> AsyncIterator[Store]:
    async with open_store(migrated_postgresql_url) as store:
        yield store


async def test_hit_whose_users_row_is_locked_is_soon_in_the_spool_and_readyz_says_why(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    user = await store.sender()
    message = await store.message(user)
    # So much patience that it is not the recorder that ends the wait.
    async with a_recorder(store, tmp_path / "spool", commit_seconds=60.0) as recorder:
        async with locked(store, user.id):
            with Stopwatch() as watch:
                await recorder.record(a_visit(message))
            assert watch.seconds < 8, "it waits for 0.4 s; a machine that runs the tests may be busy"
            assert recorder.trouble == f"{ROW_LOCKED}; hits go to the spool"
            assert await Probe(store.database).trouble() is None, "the database itself is well"
        await eventually(lambda: not recorder.spooling)
    assert f"{ROW_LOCKED}: hits go to the spool" in caplog.text
    assert await times(store) == [T0]
    await audit(store.database)
