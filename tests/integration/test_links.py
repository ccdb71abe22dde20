"""Two hubs as one: what happens on either is told on the sockets of the other, at once and once, and holds there."""

from __future__ import annotations

import asyncio
import statistics
import sys
import time

import httpx
import pytest

from tests.duo import Duo
from tests.plugins import listening, reading
from tests.processes import PATIENCE_SECONDS, eventually
from tests.resources import connections_to

PROMPT_SECONDS = 15.0
"""Far more than an event takes, even on a busy machine. Without the bus, only the check after 30 s would bring it."""


async def test_hit_on_one_hub_is_told_on_the_sockets_of_both(duo: Duo) -> None:
    start = await duo.head()
    plugins = [await duo.plugin(duo.one), await duo.plugin(duo.two)]
    async with listening(*plugins):
        took = []
        for number in range(60):
            began = time.time()
            await duo.hit(duo.hubs[number % 2])
            await eventually(lambda number=number: all(len(each.heard) > number for each in plugins))  # type: ignore[misc,arg-type]
            took.append(max(each.heard_at[-1] for each in plugins) - began)
        assert await duo.all_heard(start, plugins) == 60
        async with reading(duo.ledger, duo.hubs, per_second=200):
            await eventually(lambda: len(plugins[0].heard) > 200)
        await duo.all_heard(start, plugins)
    await duo.settled()
    sys.stdout.write(f"hit to both sockets: median {statistics.median(took) * 1000:.1f} ms, most {max(took):.3f} s\n")
    assert max(took) < PROMPT_SECONDS
    assert [each.codes for each in plugins] == [[], []]


async def test_decision_of_the_sender_on_one_hub_holds_on_the_other(duo: Duo) -> None:
    """Every control, given on each hub in turn, silences hits on the other and shows on its sockets."""
    message = duo.ledger.messages[0].id
    for here, there in ((duo.one, duo.two), (duo.two, duo.one)):
        pops = await duo.plugin(there, stream="notifications")
        async with duo.api(here) as api, listening(pops):
            await duo.hit(there)
            assert (await pops.told("open.recorded"))["notify"]
            await api.post("/messages/mute-all")
            await pops.told("messages.muted")
            await duo.hit(there)
            assert (await api.patch(f"/messages/{message}", json={"muted": False})).json()["muted"] is False
            assert (await pops.told("message.updated"))["message"]["muted"] is False
            assert (await api.patch("/settings", json={"realtime_notifications": False})).is_success
            assert (await pops.told("settings.updated"))["settings"]["realtime_notifications"] is False
            await duo.hit(there)
            head = await duo.head()
            assert (await api.post("/seen", json={"sequence": head})).status_code == 204
            assert (await pops.told("notifications.seen"))["sequence"] == head
            await api.patch("/settings", json={"realtime_notifications": True})
            await pops.told("settings.updated")
        assert [event["type"] for event in pops.events].count("open.recorded") == 1
        async with duo.api(there) as api:
            for each in duo.ledger.messages:
                await api.patch(f"/messages/{each.id}", json={"muted": False})
    await duo.settled()


async def test_revoked_token_closes_its_sockets_and_streams_on_both(duo: Duo) -> None:
    token, token_id = await duo.new_token()
    revoked = [await duo.plugin(hub, token=token) for hub in duo.hubs]
    async with (
        listening(*revoked),
        duo.api(duo.one) as api,
        duo.api(duo.two, token) as other,
        other.stream("GET", "/stream") as stream,
    ):
        began = time.monotonic()
        assert (await api.delete(f"/tokens/{token_id}")).status_code == 204
        await eventually(lambda: [each.codes for each in revoked] == [[4401], [4401]])
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert "retry:" in "".join([text async for text in stream.aiter_text()])
        assert time.monotonic() - began < PROMPT_SECONDS
        assert (await other.get("/me")).status_code == 401


@pytest.mark.parametrize("known", [True, False])
async def test_log_in_attempts_are_counted_on_both_together(duo: Duo, known: bool) -> None:
    email = duo.user.email if known else "nobody@example.com"
    statuses = []
    async with httpx.AsyncClient(verify=False, timeout=PATIENCE_SECONDS) as client:
        for number in range(14):
            hub = duo.hubs[number % 2]
            answer = await client.post(
                f"{hub.base_url}/api/v1/session",
                json={"email": email, "password": "a guess"},
                headers={"x-forwarded-for": f"198.51.100.{number}"},
            )
            statuses.append(answer.status_code)
    assert 0 < statuses.index(429) <= 10
    assert set(statuses[: statuses.index(429)]) == {401}
    assert set(statuses[statuses.index(429) :]) == {429}
    assert int(answer.headers["retry-after"]) > 0


async def test_process_holds_no_more_connections_than_the_documents_say(duo: Duo) -> None:
    """Only those that last a second count: the driver opens one more for an instant, to cancel a statement."""
    ports = {"postgres": duo.to_postgres.port, "valkey": duo.to_valkey.port}
    most = dict.fromkeys(ports, 0)
    ended = asyncio.Event()

    async def ask(api: httpx.AsyncClient) -> set[int]:
        statuses = set()
        while not ended.is_set():
            statuses.add((await api.get("/me")).status_code)
        return statuses

    async with duo.api(duo.one) as api, reading(duo.ledger, [duo.one]):
        asked = asyncio.gather(*(ask(api) for _ in range(40)))
        before = {server: connections_to(port) for server, port in ports.items()}
        for _ in range(4):
            await asyncio.sleep(1)
            for server, port in ports.items():
                now = connections_to(port)
                most[server] = max(most[server], len(now & before[server]))
                before[server] = now
        ended.set()
        assert set().union(*await asked) == {200}
    assert 2 <= most["postgres"] <= 5
    assert 2 <= most["valkey"] <= 6
