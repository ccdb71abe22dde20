"""Several processes behind one port: what happens in one is heard, and enforced, in all."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect

from tests.api import LONG_AGO, MAIL_PROGRAM, Socket
from tests.hub_process import Start
from tests.processes import PATIENCE_SECONDS
from tests.servers import HubProcess, Valkey

SOCKETS = 12
"""So many that both processes have some, except in one of two thousand runs; the test holds in that one, too."""


@pytest.fixture
def workers(valkey: Valkey, migrated_postgresql_url: str, start_hub: Start) -> Iterator[HubProcess]:
    """A hub of two processes on PostgreSQL and Valkey, with one account."""
    valkey.command("FLUSHALL")
    hub = start_hub(migrated_postgresql_url, REDIS_URL=valkey.url, arguments=("--workers", "2"))
    hub.add_user("sender@example.com", "Sender", "correct horse battery")
    yield hub
    assert hub.terminate() == 0
    assert "Traceback" not in hub.output()


async def test_processes_tell_and_enforce_alike(workers: HubProcess) -> None:
    token = await asyncio.to_thread(workers.create_token, "sender@example.com")
    bearer = {"authorization": f"Bearer {token}"}
    async with AsyncExitStack() as stack:
        api = await stack.enter_async_context(
            httpx.AsyncClient(
                base_url=f"{workers.base_url}/api/v1", headers=bearer, timeout=PATIENCE_SECONDS, verify=False
            )
        )
        sockets = [
            Socket(await stack.enter_async_context(connect(workers.ws_url, additional_headers=bearer)))
            for _ in range(SOCKETS)
        ]
        for socket in sockets:
            await socket.say(type="connect", stream="notifications")
            assert (await socket.hear())["type"] == "connected"

        async def all_hear(type_: str) -> dict[str, Any]:
            heard = [await socket.event(type_) for socket in sockets]
            assert len({json.dumps(event) for event in heard}) == 1
            return heard[0]

        body = {"subject": "x", "recipients": [{"address": "a@example.com"}], "sent_at": LONG_AGO}
        message = (await api.post("/messages", json=body)).json()
        await all_hear("message.registered")
        for number in range(6):
            # A new connection each time, so that each process records some of the hits.
            async with httpx.AsyncClient(timeout=PATIENCE_SECONDS, verify=False) as reader:
                headers = {"user-agent": MAIL_PROGRAM[0], "x-forwarded-for": f"198.51.100.{number}"}
                assert (await reader.get(message["pixels"][0]["url"], headers=headers)).status_code == 200
            assert (await all_hear("open.recorded"))["data"]["message"]["opens"] == number + 1
        await api.patch(f"/messages/{message['id']}", json={"muted": True})
        await all_hear("message.updated")
        for number in range(6, 10):
            async with httpx.AsyncClient(timeout=PATIENCE_SECONDS, verify=False) as reader:
                headers = {"user-agent": MAIL_PROGRAM[0], "x-forwarded-for": f"198.51.100.{number}"}
                await reader.get(message["pixels"][0]["url"], headers=headers)
        # The message is muted on every process, so the next event that anybody hears is this one.
        await api.patch("/settings", json={"realtime_notifications": False})
        await all_hear("settings.updated")
        assert (await api.get("/me")).json()["sequence"] == 13
        [own] = (await api.get("/tokens")).json()["items"]
        assert (await api.delete(f"/tokens/{own['id']}")).status_code == 204
        assert [await socket.closed() for socket in sockets] == [4401] * SOCKETS
