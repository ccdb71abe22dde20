"""Killed in the middle of a migration: the database is as it was before, and the next try migrates it."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

from hub.store.migrate import head
from hub.store.revision import revision
from tests.factories import Store
from tests.faults import FaultyHub
from tests.ledger import a_ledger, asking
from tests.processes import eventually

MORE_MIGRATIONS = str(Path(__file__).parent / "migrations")
MOMENTS = (("in the middle of a migration", 2), ("in the middle of a migration", 5), ("before a migration's commit", 1))


def killed(hub: FaultyHub, point: str, nth: int, migrations: str | None = None) -> None:
    """Migrate, and be killed at this point."""
    hub.be(crash=point, nth=nth, migrations=migrations)
    with hub.fault("armed"):
        assert hub.command("migrate").returncode == -signal.SIGKILL


async def test_kill_in_the_first_migration_leaves_nothing_and_the_next_try_works(
    database_url: str, faulty_hub: Callable[[str], FaultyHub]
) -> None:
    hub = faulty_hub(database_url)
    for moment in MOMENTS[1:]:
        killed(hub, *moment)
        assert await revision(database_url) is None
    hub.be()
    assert hub.command("migrate").returncode == 0
    hub.start()


async def test_kill_in_a_later_migration_changes_nothing_that_was_recorded(
    store: Store, faulty_hub: Callable[[str], FaultyHub]
) -> None:
    hub = faulty_hub(store.url)
    ledger = await a_ledger(store, pixels=20000)
    async with asking(ledger, [hub.start()], 4):
        await eventually(lambda: len(ledger.answered) > 50)
        hub.kill()
    for moment in MOMENTS:
        killed(hub, *moment, MORE_MIGRATIONS)
        assert await revision(store.url) == head()
        await ledger.check(store.database)
    hub.be(migrations=MORE_MIGRATIONS)
    assert hub.command("migrate").returncode == 0
    assert await revision(store.url) == "9000"
    async with asking(ledger, [hub.start()], 4):
        before = len(ledger.answered)
        await eventually(lambda: len(ledger.answered) > before + 50)
    assert hub.terminate() == 0
    await ledger.check(store.database)
