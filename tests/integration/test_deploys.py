"""Deployments in the middle of everything: nothing that was answered is lost, nobody is told twice."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.duo import Duo
from tests.ledger import ROUTER_SECONDS
from tests.plugins import listening, reading
from tests.processes import PATIENCE_SECONDS, eventually
from tests.resources import children, descriptors, resident_bytes
from tests.servers import HubProcess

GONE_SECONDS = 25.0
GOING_DOWN = 4001
PER_SECOND = 150
SOME_BYTES = 30 << 20


async def restart(duo: Duo, hub: HubProcess) -> float:
    """As a deployment does: SIGTERM, the end, a new start. Returns how many seconds the end took."""
    began = time.monotonic()
    assert await asyncio.to_thread(hub.terminate) == 0
    took = time.monotonic() - began
    hub.launch()
    await duo.ready(hub)
    return took


async def test_sigterm_in_the_middle_of_a_burst_loses_nothing(duo: Duo) -> None:
    """The signal comes three times: the first is enough, and the others do no harm."""
    hub, start = duo.two, await duo.head()
    plugins = [await duo.plugin(hub) for _ in range(15)]
    process = hub.process
    assert process is not None
    headers = {"authorization": f"Bearer {duo.token}"}
    async with (
        listening(*plugins),
        httpx.AsyncClient(headers=headers, timeout=PATIENCE_SECONDS, verify=False) as client,
        client.stream("GET", f"{hub.base_url}/api/v1/stream?stream=history") as stream,
        reading(duo.ledger, [hub], PER_SECOND) as unanswered,
    ):
        ended = asyncio.create_task(read_to_the_end(stream))
        await duo.more_hits(100)
        began = time.monotonic()
        process.terminate()
        await eventually(lambda: says_that_it_goes_down(hub), what="/readyz says that it goes down")
        process.terminate()
        await refuses_newcomers(duo, hub)
        process.terminate()
        assert await asyncio.to_thread(process.wait, GONE_SECONDS) == 0
        took = time.monotonic() - began
        assert "open.recorded" in await ended
        hub.launch()
        await duo.ready(hub)
        await duo.more_hits(100)
        await duo.all_heard(start, plugins)
    sys.stdout.write(f"gone after {took:.1f} s, {len(unanswered)} hits got no answer\n")
    assert took < GONE_SECONDS
    assert {code for plugin in plugins for code in plugin.codes} == {GOING_DOWN}
    assert len(unanswered) == 0
    await duo.settled()


async def says_that_it_goes_down(hub: HubProcess) -> bool:
    """Whether `/readyz` says so. The port may be closed before that could be asked, which counts, too."""
    async with httpx.AsyncClient(timeout=PATIENCE_SECONDS, verify=False) as client:
        try:
            answer = await client.get(f"{hub.base_url}/readyz")
        except httpx.ConnectError:
            return True
    return answer.status_code == 503 and "going down" in answer.json()["checks"]["server"]


async def refuses_newcomers(duo: Duo, hub: HubProcess) -> None:
    """Check that a new socket and a new stream are refused before they begin, or find the port closed already."""
    headers = {"authorization": f"Bearer {duo.token}"}
    with pytest.raises((InvalidStatus, ConnectionRefusedError)) as refusal:
        await connect(hub.ws_url, additional_headers=headers, open_timeout=ROUTER_SECONDS)
    if isinstance(refusal.value, InvalidStatus):
        assert refusal.value.response.status_code == 503
    async with duo.api(hub) as api:
        with contextlib.suppress(httpx.ConnectError):
            assert (await api.get("/stream")).status_code == 503


async def read_to_the_end(stream: httpx.Response) -> str:
    """All that a stream says; raises if it is cut off instead of ended."""
    return "".join([text async for text in stream.aiter_text()])


async def test_rolling_restarts_of_both_lose_nothing_and_repeat_nothing(duo: Duo) -> None:
    start = await duo.head()
    plugins = [await duo.plugin(*hubs) for hubs in ((duo.one, duo.two), (duo.two, duo.one)) for _ in range(5)]
    async with listening(*plugins):
        async with reading(duo.ledger, duo.hubs, PER_SECOND) as unanswered:
            for hub in duo.hubs:
                await duo.more_hits(60)
                assert await restart(duo, hub) < GONE_SECONDS
            await duo.more_hits(60)
        events = await duo.all_heard(start, plugins)
    sys.stdout.write(f"{events} events over 2 restarts, {len(unanswered)} hits got no answer\n")
    assert len(unanswered) == 0
    assert {code for plugin in plugins for code in plugin.codes} == {GOING_DOWN}
    await duo.settled()


async def test_hub_that_is_killed_while_the_other_lives_on_loses_nothing(duo: Duo) -> None:
    """It ends without a word: hits that were answered are recorded, and clients find the other hub."""
    start = await duo.head()
    plugins = [await duo.plugin(duo.two, duo.one) for _ in range(5)]
    async with listening(*plugins):
        async with reading(duo.ledger, duo.hubs, PER_SECOND):
            await duo.more_hits(60)
            duo.two.kill()
            await duo.more_hits(60)
            duo.two.launch()
            await duo.ready()
            await duo.more_hits(60)
        await duo.all_heard(start, plugins)
    await duo.settled()


async def test_descriptors_and_memory_are_back_after_everything(duo: Duo) -> None:
    """Clients, hits, and in between the links to both servers are reset."""
    hub = duo.one

    async def everything() -> None:
        plugins = [await duo.plugin(hub) for _ in range(15)]
        async with listening(*plugins), reading(duo.ledger, [hub], PER_SECOND):
            await duo.more_hits(60)
            duo.to_postgres.reset()
            duo.to_valkey.reset()
            await duo.more_hits(60)
            await duo.ready(hub)
        await eventually(lambda: not duo.spooled())

    await everything()
    before = descriptors(hub.pid), resident_bytes(hub.pid)
    for _ in range(2):
        await everything()
    await eventually(lambda: descriptors(hub.pid) <= before[0] + 4, what="descriptors are back")
    assert resident_bytes(hub.pid) < before[1] + SOME_BYTES
    await duo.settled()


@pytest.fixture
async def workers(duo: Duo, tmp_path: Path) -> AsyncIterator[HubProcess]:
    """A third hub on the same servers, of two worker processes."""
    hub = HubProcess(tmp_path, duo.store.url, {**duo.two.environ, "HUB_SPOOL_DIR": str(tmp_path)}, ("--workers", "2"))
    # `start` waits for both workers: one that died before it served would end the hub, as a start that failed.
    hub.start()
    yield hub
    hub.kill()


async def test_worker_that_dies_is_replaced_and_sigterm_ends_both(duo: Duo, workers: HubProcess) -> None:
    start = await duo.head()
    plugins = [await duo.plugin(workers) for _ in range(12)]
    async with listening(*plugins):
        async with reading(duo.ledger, [workers], PER_SECOND):
            await duo.more_hits(60)
            before = set(the_workers(workers))
            os.kill(max(before), signal.SIGKILL)
            await eventually(
                lambda: len(set(the_workers(workers)) - {max(before)}) == 2, what="another worker is there"
            )
            await duo.more_hits(60)
        await duo.all_heard(start, plugins)
        async with reading(duo.ledger, [workers], PER_SECOND) as unanswered:
            await duo.more_hits(60)
            began = time.monotonic()
            assert await asyncio.to_thread(workers.terminate) == 0
            assert time.monotonic() - began < GONE_SECONDS
        assert len(unanswered) == 0
        # The hub may be gone before this process has read its last frames.
        await eventually(lambda: {code for plugin in plugins for code in plugin.codes[-1:]} == {GOING_DOWN})
    await duo.settled()


def the_workers(hub: HubProcess) -> list[int]:
    """The processes that serve. `multiprocessing` also starts one that tracks resources."""
    return [pid for pid in children(hub.pid) if b"spawn_main" in command_line(pid)]


def command_line(pid: int) -> bytes:
    """What a process was started with, or nothing if it has ended meanwhile."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""
