"""Two processes on one PostgreSQL and one Redis: one user's log, written by both, without a gap or a double."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable

import httpx
import pytest
from websockets.asyncio.client import connect

from hub.api.auth import new_secret, secret_hash
from tests.factories import T0, Store, open_store, seeded
from tests.hub_process import Start
from tests.ledger import SECRET, a_ledger, asking
from tests.processes import PATIENCE_SECONDS, eventually
from tests.servers import HubProcess


@pytest.fixture
async def store(migrated_postgresql_url: str) -> AsyncIterator[Store]:
    async with open_store(migrated_postgresql_url) as store:
        yield store


@pytest.fixture
def start_two(start_hub: Start, redis_url: str) -> Callable[[str], list[HubProcess]]:
    """Starts two hubs on a database."""

    def start(url: str) -> list[HubProcess]:
        return [start_hub(url, HUB_SECRET_KEY=SECRET, REDIS_URL=redis_url) for _ in range(2)]

    return start


async def listen(hub: HubProcess, token: str, until: asyncio.Event, heard: list[int]) -> None:
    """A plugin that notes every event of the user's in `heard`."""
    async with connect(hub.ws_url, subprotocols=["glimpse.v1"]) as socket:  # type: ignore[list-item]
        await socket.send(json.dumps({"type": "connect", "token": token, "stream": "history", "after": 0}))
        while not until.is_set():
            try:
                frame = json.loads(await asyncio.wait_for(socket.recv(), 0.1))
            except TimeoutError:
                continue
            if frame["type"] == "event":
                heard.append(int(frame["event"]["sequence"]))


async def test_log_of_a_busy_user_is_whole_on_two_processes(
    store: Store, start_two: Callable[[str], list[HubProcess]]
) -> None:
    """Hits and the sender's own acts come to both processes at once, on the same messages."""
    chance = seeded()
    user, other = await store.sender(), await store.sender()
    token = new_secret()
    await store.credentials.add_token(user.id, "test", secret_hash(token), T0)
    ledger = await a_ledger(store, user, other, user, pixels=20_000)
    ours = [message.id for message in ledger.messages if message.user_id == user.id]
    hubs = start_two(store.url)
    ended = asyncio.Event()
    heard: list[list[int]] = [[], []]
    listening = [
        asyncio.create_task(listen(hub, token, ended, heard_here)) for hub, heard_here in zip(hubs, heard, strict=True)
    ]

    async def act(hub: HubProcess) -> None:
        headers = {"authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(
            base_url=f"{hub.base_url}/api/v1", headers=headers, timeout=PATIENCE_SECONDS
        ) as client:
            for _ in range(12):
                message = chance.choice(ours)
                for answer in (
                    await client.patch(f"/messages/{message}", json={"muted": chance.random() < 0.5}),
                    await client.post("/messages/mute-all"),
                    await client.post(f"/messages/{message}/viewing"),
                    await client.patch("/settings", json={"realtime_notifications": chance.random() < 0.5}),
                ):
                    assert answer.is_success, answer.text

    async with asking(ledger, hubs, 8):
        await asyncio.gather(*(act(hub) for hub in hubs for _ in range(2)))
        target = len(ledger.answered) + 200
        await eventually(lambda: len(ledger.answered) > target)
    head = (await store.user(user.id)).sequence
    await eventually(lambda: all(len(each) >= head for each in heard), what="both sockets heard the whole log")
    ended.set()
    await asyncio.gather(*listening)
    assert heard == [list(range(1, head + 1))] * 2
    assert not ledger.uncertain
    for hub in hubs:
        assert hub.terminate() == 0
        assert "deadlock" not in hub.output()
        assert "exception" not in hub.output()
    await ledger.check(store.database)


async def test_killed_process_leaves_a_whole_log_to_the_other(
    store: Store, start_two: Callable[[str], list[HubProcess]]
) -> None:
    user = await store.sender()
    ledger = await a_ledger(store, user, pixels=10_000)
    hubs = start_two(store.url)
    async with asking(ledger, hubs, 8):
        await eventually(lambda: len(ledger.answered) > 200)
        hubs[0].kill()
        before = len(ledger.answered)
        await eventually(lambda: len(ledger.answered) > before + 200)
    assert hubs[1].terminate() == 0
    await ledger.check(store.database)
