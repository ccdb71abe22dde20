"""Killed without warning, at any moment: every hit that was answered is recorded once, and everything adds up."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

from hub.spool import Spool
from tests.factories import Store, a_hit, seeded
from tests.follower import a_follower
from tests.hub_process import Start
from tests.ledger import SECRET, Ledger, a_ledger, asking
from tests.plugins import listening
from tests.processes import eventually

KILLS = 5
DRAIN_KILLS = 3
CONNECTIONS = 16
SPOOLED = 6000
SEGMENTS = 4


async def recorded(store: Store) -> int:
    row = await store.database.fetch_one("SELECT count(*) AS n FROM opens")
    assert row is not None
    return int(row["n"])


async def a_moment(chance: random.Random, ledger: Ledger) -> None:
    """Wait until some more hits are answered, and then a little longer."""
    target = len(ledger.answered) + chance.randrange(1, 400)
    await eventually(lambda: len(ledger.answered) >= target, what="the hub answers")
    await asyncio.sleep(chance.random() * 0.01)


async def test_kill_in_the_middle_of_a_burst_loses_and_doubles_no_answered_hit_and_no_event(
    store: Store, start_hub: Start
) -> None:
    chance = seeded()
    users = [await store.sender(), await store.sender()]
    ledger = await a_ledger(store, *users, pixels=20000)
    followers = [await a_follower(store, user, []) for user in users]
    hub = start_hub(store.url, HUB_SECRET_KEY=SECRET)
    for follower in followers:
        follower.urls = [hub.ws_url]
    async with listening(*followers):
        async with asking(ledger, [hub], CONNECTIONS):
            for _ in range(KILLS):
                await a_moment(chance, ledger)
                hub.kill()
                await asyncio.to_thread(hub.start)
            await a_moment(chance, ledger)
        for follower in followers:
            await follower.check(store)
    assert hub.terminate() == 0
    await ledger.check(store.database)


async def test_kill_while_the_spool_is_replayed_records_each_spooled_hit_once(
    store: Store, start_hub: Start, tmp_path: Path
) -> None:
    chance = seeded()
    ledger = await a_ledger(store, pixels=20000)
    spool_dir = tmp_path / "spool"
    hub = start_hub(store.url, HUB_SECRET_KEY=SECRET, HUB_SPOOL_DIR=str(spool_dir))
    hub.kill()
    # Only now: a start waits until the hub is ready, which it is once its spool is replayed.
    spool = Spool(spool_dir)
    for _ in range(SEGMENTS):
        pixels = [ledger.pixel() for _ in range(SPOOLED // SEGMENTS)]
        by_id = {message.id: message for message in ledger.messages}
        await spool.append([a_hit(by_id[message_id], position) for message_id, position in pixels])
        ledger.answered.update(pixels)
        spool.close()
    in_the_middle = 0
    for _ in range(DRAIN_KILLS):
        before = await recorded(store)
        hub.launch()
        target = before + chance.randrange(1, max(2, (SPOOLED - before) // 3))
        await eventually(lambda target=target: _reached(store, target))  # type: ignore[misc]
        hub.kill()
        in_the_middle += before < await recorded(store) < SPOOLED
    assert in_the_middle
    async with asking(ledger, [hub.start()], 4):
        await eventually(lambda: not Spool(spool_dir).pending() and len(ledger.answered) > SPOOLED + 50)
    assert hub.terminate() == 0
    assert not list_segments(spool_dir)
    await ledger.check(store.database)


async def _reached(store: Store, target: int) -> bool:
    return await recorded(store) >= min(target, SPOOLED)


def list_segments(spool_dir: Path) -> list[Path]:
    return list(spool_dir.glob("*.spool"))
