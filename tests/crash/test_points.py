"""Killed on purpose at each moment where it matters: between two acts that have to look like one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack

from tests.factories import Store, seeded
from tests.faults import FaultyHub
from tests.faulty import COMMITTING, ONCE, REPLAYING, SPOOLING
from tests.follower import a_follower
from tests.ledger import CUT_OFF, a_ledger, asking
from tests.plugins import listening
from tests.processes import eventually

SOME = 30
CONNECTIONS = 24
"""Well above `hub.pipeline.ENOUGH`, so that on PostgreSQL batches are judged while others are kept."""


async def survives(store: Store, hub: FaultyHub, points: Sequence[str]) -> None:
    """Kill the hub at one point after another while hits and followers come; after each, compare everything."""
    users = [await store.sender(), await store.sender()]
    ledger = await a_ledger(store, *users, pixels=30000, chance=seeded())
    followers = [await a_follower(store, user, [hub]) for user in users]
    async with AsyncExitStack() as stack:
        for point in (*points, ""):
            hub.be(crash=point, nth=1 if point in ONCE else 10)
            hub.start()
            # What is wrong here went wrong at the point before.
            assert not hub.segments()
            assert not hub.complaints()
            await ledger.check(store.database)
            if not point:
                break
            if point == points[0]:
                await stack.enter_async_context(listening(*followers))
            async with asking(ledger, [hub], CONNECTIONS):
                start = len(ledger.answered)
                await eventually(lambda start=start: len(ledger.answered) > start + SOME)  # type: ignore[misc]
                await ledger.send(store)
                if point in SPOOLING + REPLAYING:
                    hub.set("away")
                if point in REPLAYING:
                    await eventually(lambda start=start: len(ledger.answered) > start + 3 * SOME)  # type: ignore[misc]
                    hub.set("away", None)
                hub.set("armed")
                await eventually(hub.crashed, what=f"killed {point}")
            hub.clear()
        for follower in followers:
            await follower.check(store)
    assert ledger.uncertain.total() <= CUT_OFF * len(points) * CONNECTIONS, "more was cut off than kills can have done"
    assert hub.terminate() == 0


async def test_kill_at_each_point_of_a_commit_loses_and_doubles_nothing(
    store: Store, faulty_hub: Callable[[str], FaultyHub]
) -> None:
    await survives(store, faulty_hub(store.url), COMMITTING)


async def test_kill_at_each_point_of_the_spool_loses_and_doubles_nothing(
    embedded: Store, faulty_hub: Callable[[str], FaultyHub]
) -> None:
    await survives(embedded, faulty_hub(embedded.url), SPOOLING + REPLAYING)
