"""A hit from the outside: over HTTP, through the whole hub, into the database."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx

from tests.factories import READER, Store
from tests.hub_process import Start
from tests.ledger import LEDGER_KEYS, SECRET, a_ledger, asking
from tests.processes import PATIENCE_SECONDS, eventually

PERSON = {"user-agent": READER}


async def test_burst_over_many_connections_is_recorded_whole(store: Store, start_hub: Start) -> None:
    ledger = await a_ledger(store, pixels=8000)
    hub = start_hub(store.url, HUB_SECRET_KEY=SECRET)
    async with asking(ledger, [hub], 32):
        await eventually(lambda: len(ledger.answered) > 1500)
    assert not ledger.uncertain
    await ledger.check(store.database)
    assert hub.terminate() == 0


async def test_only_a_get_with_a_good_token_is_recorded(store: Store, start_hub: Start) -> None:
    ledger = await a_ledger(store, pixels=8000)
    message = ledger.messages[0]
    good = LEDGER_KEYS.sign(message.id, 1)
    forged = good[:-1] + ("A" if good[-1] != "A" else "B")
    hub = start_hub(store.url, HUB_SECRET_KEY=SECRET)
    async with httpx.AsyncClient(
        base_url=hub.base_url, headers=PERSON, timeout=PATIENCE_SECONDS, verify=False
    ) as client:
        answers = [
            await client.get(f"/o/{good}.gif"),
            await client.get(f"/o/{forged}.gif"),
            await client.get("/o/.gif"),
        ]
        head = await client.head(f"/o/{good}.gif")
        post = await client.post(f"/o/{good}.gif")
    assert {(answer.status_code, answer.content) for answer in answers} == {(200, answers[0].content)}
    assert (head.status_code, head.content, post.status_code) == (200, b"", 405)
    ledger.answered[message.id, 1] += 1
    await ledger.check(store.database)


async def test_waiting_hits_are_answered_and_recorded_at_the_end(store: Store, start_hub: Start) -> None:
    """SIGTERM in the middle of a burst: what was answered is there, and nothing waits in the spool."""
    ledger = await a_ledger(store, pixels=8000)
    hub = start_hub(store.url, HUB_SECRET_KEY=SECRET)
    async with asking(ledger, [hub], 16):
        await eventually(lambda: len(ledger.answered) > 200)
        assert await asyncio.to_thread(hub.terminate) == 0
    await ledger.check(store.database)
    assert list_spool(hub.environ["HUB_SPOOL_DIR"]) == []


def list_spool(folder: str) -> list[str]:
    return [path.name for path in Path(folder).glob("*.spool")]
