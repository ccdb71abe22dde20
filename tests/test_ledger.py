"""The ledger itself: it does not add up when it must not."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from hub.model import Verdict, new_id
from hub.tracking.rules import BURST_CLIENTS
from tests import ledger as ledger_module
from tests.factories import Store, seeded
from tests.follower import a_follower
from tests.hub_process import HubProcess
from tests.ledger import FEW, VISITORS, Pixel, a_ledger
from tests.samples import an_open


async def test_ledger_does_not_take_a_hit_that_is_never_answered_for_one_cut_off_by_a_kill(
    embedded: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "ROUTER_SECONDS", 0.05)
    ledger = await a_ledger(embedded, pixels=1)

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await reader.read()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        hub = HubProcess(tmp_path, embedded.url, port=server.sockets[0].getsockname()[1])
        with pytest.raises(AssertionError, match="not answered within"):
            await ledger.ask(hub)


async def record(store: Store, pixel: Pixel, **changes: Any) -> None:
    """Record an open on the pixel, and nothing else: an audit would find that."""
    message_id, position = pixel
    row = await store.database.fetch_one("SELECT user_id FROM messages WHERE id = $1", message_id)
    assert row is not None
    client = changes.pop("client", None)
    open_ = an_open(id=new_id(), user_id=row["user_id"], message_id=message_id, position=position, **changes)
    async with store.database.write() as tx:
        await tx.change(store.opens.added([(open_, client)]))


async def test_ledger_finds_a_hit_that_was_answered_and_not_recorded(embedded: Store) -> None:
    ledger = await a_ledger(embedded, pixels=2)
    await ledger.check(embedded.database)
    ledger.answered[pixel := ledger.pixel()] += 1
    with pytest.raises(AssertionError, match="1 of 1 answered hits were not recorded"):
        await ledger.check(embedded.database)
    ledger.answered[pixel] += 1
    await record(embedded, pixel)
    with pytest.raises(AssertionError, match="1 of 2 answered hits were not recorded"):
        await ledger.check(embedded.database)


@pytest.mark.parametrize(("answered", "uncertain"), [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0)])
async def test_ledger_finds_a_hit_that_was_recorded_more_often_than_asked_for(
    embedded: Store, answered: int, uncertain: int
) -> None:
    ledger = await a_ledger(embedded, pixels=2)
    ledger.answered[pixel := ledger.pixel()] += answered
    ledger.uncertain[pixel] += uncertain
    for _ in range(answered + uncertain):
        await record(embedded, pixel)
    # Every hit may be there; only the audit sees that nothing else is.
    if answered + uncertain:
        with pytest.raises(AssertionError, match=str(pixel[0])):
            await ledger.check(embedded.database)
    await record(embedded, pixel)
    with pytest.raises(AssertionError, match="1 hits were recorded that were never asked for"):
        await ledger.check(embedded.database)


async def test_ledger_finds_a_person_in_a_burst(embedded: Store) -> None:
    ledger = await a_ledger(embedded, pixels=2)
    ledger.answered[pixel := ledger.pixel()] += BURST_CLIENTS
    for number in range(BURST_CLIENTS):
        verdict = Verdict("scanner" if number else "human", "medium", (), "test")
        await record(embedded, pixel, verdict=verdict, counted=not number, client=f"client {number}")
    with pytest.raises(AssertionError, match="1 in a burst"):
        await ledger.check(embedded.database)


async def test_ledger_draws_repeats_early_hits_and_hits_of_every_kind(embedded: Store) -> None:
    ledger = await a_ledger(embedded, pixels=2000, chance=seeded())
    await ledger.send(embedded)
    drawn = Counter(ledger._draw() for _ in range(1000))
    pixels = Counter(pixel for pixel, _ in drawn)
    assert sum(times > 1 for times in drawn.values()) > 20, "hits come again"
    assert sum(times >= BURST_CLIENTS for times in pixels.values()) == FEW, "several come to the pixels just sent"
    for _, user_agent, network in VISITORS:
        assert any(f"{user_agent}\r\nX-Forwarded-For: {network}." in visitor for _, visitor in drawn)


@pytest.mark.parametrize("heard", [[], [1, 3], [1, 2, 2, 3], [2, 1, 3], [1, 2, 3, 4]])
async def test_follower_finds_an_event_that_did_not_come_or_came_twice(embedded: Store, heard: list[int]) -> None:
    user = await embedded.sender()
    follower = await a_follower(embedded, user, [])
    async with embedded.database.write() as tx:
        for _ in range(3):
            await embedded.users.bump(tx, user.id)
    follower.heard, follower.last = [1, 2, 3], 3
    await follower.check(embedded)
    follower.heard = heard
    with pytest.raises(AssertionError, match="did not come, or came twice"):
        await follower.check(embedded)
