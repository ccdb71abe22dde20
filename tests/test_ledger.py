"""The ledger itself: it does not add up when it must not."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest

from hub.model import new_id
from tests import ledger as ledger_module
from tests.factories import Store
from tests.follower import a_follower
from tests.hub_process import HubProcess
from tests.ledger import a_ledger
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


async def test_ledger_finds_a_hit_that_was_answered_and_not_recorded(embedded: Store) -> None:
    ledger = await a_ledger(embedded, pixels=2)
    await ledger.check(embedded.database)
    ledger.answered.add(ledger.pixel())
    with pytest.raises(AssertionError, match="1 of 1 answered hits were not recorded"):
        await ledger.check(embedded.database)


async def test_ledger_finds_a_hit_that_was_recorded_twice_or_never_asked_for(embedded: Store) -> None:
    ledger = await a_ledger(embedded, pixels=2)
    message_id, position = ledger.pixel()
    user_id = ledger.messages[0].user_id
    for said in ("1 hits were recorded that were never asked for", "1 hits were recorded more than once"):
        again = an_open(id=new_id(), user_id=user_id, message_id=message_id, position=position)
        async with embedded.database.write() as tx:
            await tx.change(embedded.opens.added([(again, None)]))
        with pytest.raises(AssertionError, match=said):
            await ledger.check(embedded.database)


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
