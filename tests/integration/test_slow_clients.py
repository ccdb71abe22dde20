"""Clients that do not read, vanish, come and go, or come all at once: they harm nobody, and nobody misses an event.

The first clients are cut from the network and looked at again at the end; the other tests run meanwhile.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import cast

import httpx
import pytest

from hub.api.asked import MOST_NAME
from hub.model import Message
from hub.store.database import READERS
from hub.wire import rfc3339
from tests.duo import Duo
from tests.ledger import LONG_AGO
from tests.plugins import Plugin, listening, reading
from tests.processes import PATIENCE_SECONDS, eventually
from tests.resources import descriptors, resident_bytes
from tests.servers import HubProcess
from tests.toxic import ToxicProxy

SEND_SECONDS = 10.0
HALF_OPEN_SECONDS = 90.0
"""Half-open sockets are let go after 45 s; a machine that runs the tests may be busy."""
NEVER_READERS = 8
"""How many WebSockets, and how many streams, are never read from."""
RECIPIENTS = 500
LARGE_EVENTS = 100
"""Events of over 150 KB each: more in all than the buffers of the hub and of the system take for one client. No more
are made once so much waited for each client that it was let go of."""
QUEUE_BYTES = 1 << 20
"""How much may wait for one client. The test allows twice that, and what the system's buffers hold."""
FLAP_SECONDS = 2.0
FLAPS = 5
USERS = 50
SOCKETS_EACH = 20
"""As many as one user may have on a hub."""
STORMS = 2
BACK_SECONDS = 4 * PATIENCE_SECONDS
"""Generous: the thousand clients and the hubs share the machine."""
COME_BACK_SECONDS = 3.0
SOME_BYTES = 30 << 20


@dataclass
class HalfOpen:
    """Plugins whose network went silent; `gone` is after how many seconds the server had closed its ends.

    They belong to a sender with one message and few events, so that all that they miss can be replayed.
    """

    plugins: list[Plugin]
    message: Message
    link: ToxicProxy
    gone: asyncio.Task[float]


@pytest.fixture(scope="module", autouse=True)
async def half_open(duo: Duo) -> AsyncIterator[HalfOpen]:
    """The only sockets of hub one, cut off when the module begins: nothing reaches it any more, not even a close."""
    sender = await duo.store.sender()
    token, _ = await duo.new_token(sender)
    message = await duo.store.message(sender, sent_at=LONG_AGO)
    async with ToxicProxy("127.0.0.1", duo.one.port) as link:
        plugins = [Plugin(token, [f"ws://127.0.0.1:{link.port}/api/v1/ws"], last=1) for _ in range(3)]
        async with listening(*plugins):
            link.go_silent()
            gone = asyncio.create_task(until_gone(duo.one))
            yield HalfOpen(plugins, message, link, gone)
            gone.cancel()


async def until_gone(hub: HubProcess) -> float:
    """Wait until `hub` has no sockets. Returns how many seconds that took."""
    began = time.monotonic()
    assert await metric(hub, "glimpse_sockets") > 0
    while True:
        if await metric(hub, "glimpse_sockets") == 0:
            return time.monotonic() - began
        await asyncio.sleep(0.5)


async def metric(hub: HubProcess, name: str, labels: str = "") -> float:
    """A figure of a hub's `/metrics`, 0 if it is not there yet."""
    async with httpx.AsyncClient(timeout=PATIENCE_SECONDS, verify=False) as client:
        text = (await client.get(f"{hub.base_url}/metrics")).text
    found = re.search(rf"^{name}{re.escape(labels)} (\S+)$", text, re.M)
    return float(found[1]) if found else 0.0


@asynccontextmanager
async def never_reading(duo: Duo, request: bytes, then: bytes) -> AsyncIterator[None]:
    """A connection to hub two of which nothing is read once `request` is answered and `then` is sent."""
    link = socket.socket()
    link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    link.setblocking(False)
    await asyncio.get_running_loop().sock_connect(link, ("127.0.0.1", duo.two.port))
    reader, writer = await asyncio.open_connection(sock=link, limit=1024)
    writer.write(request)
    await reader.readuntil(b"\r\n\r\n")
    writer.write(then)
    cast(asyncio.Transport, writer.transport).pause_reading()
    try:
        yield
    finally:
        writer.transport.abort()


def upgrade(duo: Duo) -> tuple[bytes, bytes]:
    """A handshake, and the first frame, to be sent when it is answered."""
    head = (
        b"GET /api/v1/ws HTTP/1.1\r\nHost: hub.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    frame = json.dumps({"type": "connect", "token": duo.token, "stream": "history"}).encode()
    masked, key, text = 0x80, bytes(4), 0x81
    assert len(frame) < 126
    return head, bytes([text, masked | len(frame)]) + key + frame


def stream(duo: Duo) -> tuple[bytes, bytes]:
    """A request for server-sent events, and nothing after it."""
    head = (
        "GET /api/v1/stream?stream=history HTTP/1.1\r\nHost: hub.example.com\r\n"
        f"Authorization: Bearer {duo.token}\r\n\r\n"
    )
    return head.encode(), b""


async def test_clients_that_never_read_are_let_go_and_harm_nobody(duo: Duo) -> None:
    start = await duo.head()
    healthy = await duo.plugin(duo.two)
    message = {
        "subject": "Large",
        "recipients": [{"address": f"r{n}@example.com", "name": "n" * MOST_NAME} for n in range(RECIPIENTS)],
        "pixels": "shared",
        "sent_at": rfc3339(LONG_AGO),
    }
    closed = await metric(duo.two, "glimpse_socket_closes_total", '{code="4008"}')
    async with AsyncExitStack() as stack, duo.api(duo.two) as api:
        await stack.enter_async_context(listening(healthy))
        await open_readers(duo, duo.two)
        before = descriptors(duo.two.pid), resident_bytes(duo.two.pid), await metric(duo.two, "glimpse_sockets")
        for way in (upgrade, stream) * NEVER_READERS:
            await stack.enter_async_context(never_reading(duo, *way(duo)))
        await eventually(lambda: sockets(duo.two, before[2] + 2 * NEVER_READERS))
        late = 0.0
        most_queued = most_resident = 0.0
        for number in range(LARGE_EVENTS):
            began = time.time()
            assert (await api.post("/messages", json=message)).status_code == 201
            await eventually(lambda number=number: len(healthy.heard) > number)  # type: ignore[misc]
            late = max(late, healthy.heard_at[-1] - began)
            queued = await metric(duo.two, "glimpse_queue_bytes")
            most_queued = max(most_queued, queued)
            most_resident = max(most_resident, resident_bytes(duo.two.pid))
            if most_queued and not queued:
                break
        await eventually(lambda: sockets(duo.two, before[2]), what="those that do not read are let go")
        await eventually(lambda: descriptors(duo.two.pid) <= before[0] + 2, what="their descriptors are closed")
        assert await metric(duo.two, "glimpse_socket_closes_total", '{code="4008"}') == closed + NEVER_READERS
        assert late < SEND_SECONDS, "nobody waits for those that do not read"
        assert QUEUE_BYTES / 2 < most_queued <= 2 * NEVER_READERS * 2 * QUEUE_BYTES
        assert most_resident - before[1] < (2 * NEVER_READERS * 4 + 60) * QUEUE_BYTES
        assert await metric(duo.two, "glimpse_queue_bytes") == 0
        await duo.all_heard(start, [healthy])
        assert healthy.codes == []


async def open_readers(duo: Duo, hub: HubProcess) -> None:
    """Have a hub open all connections to its database that it opens only as they are needed, and keeps."""
    async with duo.api(hub) as api:
        for answer in await asyncio.gather(*(api.get("/opens") for _ in range(4 * READERS))):
            assert answer.status_code == 200


async def sockets(hub: HubProcess, number: float) -> bool:
    return await metric(hub, "glimpse_sockets") == number


async def flap(network: ToxicProxy, number: int) -> None:
    """Cut the network off, each time in another way, and have it back half a period later."""
    match number % 5:
        case 0:
            network.reset()
        case 1:
            network.refuse()
        case 2:
            network.go_silent()
        case 3:
            network.half_close("server")
        case 4:
            network.half_close("client")
    await asyncio.sleep(FLAP_SECONDS / 2)
    match number % 5:
        case 1:
            await network.listen()
        case 2:
            network.reset()
            network.speak()


async def test_network_that_flaps_every_two_seconds_delivers_everything_once(duo: Duo) -> None:
    start = await duo.head()
    async with ToxicProxy("127.0.0.1", duo.two.port) as network:
        url = f"ws://127.0.0.1:{network.port}/api/v1/ws"
        plugins = [Plugin(duo.token, [url], last=start) for _ in range(8)]
        async with listening(*plugins):
            async with reading(duo.ledger, duo.hubs, per_second=150):
                for number in range(FLAPS):
                    # A fixed time, because that is what is tested: how often the network comes and goes.
                    await asyncio.sleep(FLAP_SECONDS / 2)
                    await eventually(lambda number=number: min(each.connected for each in plugins) > number)  # type: ignore[misc]
                    await flap(network, number)
            assert await duo.all_heard(start, plugins) > 100
    assert min(plugin.connected for plugin in plugins) >= FLAPS
    await duo.settled()


@dataclass
class Crowd:
    """Senders with a message each, and `SOCKETS_EACH` plugins each, all on hub two."""

    messages: list[Message]
    plugins: list[Plugin]


@pytest.fixture(scope="module")
async def crowd(duo: Duo) -> Crowd:
    messages, plugins = [], []
    for _ in range(USERS):
        user = await duo.store.sender()
        token, _ = await duo.new_token(user)
        messages.append(await duo.store.message(user, sent_at=LONG_AGO))
        plugins += [
            Plugin(token, [duo.two.ws_url], last=1, come_back_seconds=COME_BACK_SECONDS) for _ in range(SOCKETS_EACH)
        ]
    return Crowd(messages, plugins)


async def test_thousand_clients_come_back_to_a_killed_hub_and_miss_nothing(duo: Duo, crowd: Crowd) -> None:
    async with listening(*crowd.plugins):
        for storm in range(STORMS):
            duo.two.kill()
            for message in crowd.messages:
                await duo.hit(duo.one, (message.id, 1))
            duo.two.launch()
            await duo.ready(duo.two)
            began = time.monotonic()
            await eventually(lambda: all(each.online for each in crowd.plugins), BACK_SECONDS, "all are back")
            sys.stdout.write(f"{len(crowd.plugins)} clients were back after {time.monotonic() - began:.1f} s\n")
            for message in crowd.messages:
                await duo.hit(duo.one, (message.id, 1))
            last = 1 + 2 * (storm + 1)
            await eventually(lambda: all(each.last == last for each in crowd.plugins), BACK_SECONDS)  # noqa: B023
            assert all(each.heard == list(range(2, last + 1)) for each in crowd.plugins)
    assert not any(each.not_recovered for each in crowd.plugins)


async def test_thousand_clients_that_left_hold_no_descriptor_and_no_memory(duo: Duo, crowd: Crowd) -> None:
    """Both are compared with what they were after the first thousand, which fill the allocator's pools."""
    await eventually(lambda: sockets(duo.two, 0), what="the first thousand are gone")
    await eventually(lambda: descriptors(duo.two.pid) < 100, what="their descriptors are closed")
    before = descriptors(duo.two.pid), resident_bytes(duo.two.pid)
    for _ in range(2):
        async with listening(*crowd.plugins):
            assert descriptors(duo.two.pid) >= USERS * SOCKETS_EACH
        await eventually(lambda: descriptors(duo.two.pid) <= before[0] + 3, what="descriptors are back")
    assert resident_bytes(duo.two.pid) < before[1] + SOME_BYTES


async def test_half_open_sockets_are_gone_within_a_minute_and_come_back_to_what_they_missed(
    duo: Duo, half_open: HalfOpen
) -> None:
    """Last in this file, so that most of the minute has passed."""
    for _ in range(3):
        await duo.hit(duo.one, (half_open.message.id, 1))
    async with asyncio.timeout(2 * HALF_OPEN_SECONDS):
        assert await half_open.gone < HALF_OPEN_SECONDS
    half_open.link.speak()
    await eventually(lambda: all(plugin.last == 4 for plugin in half_open.plugins))
    assert [plugin.heard for plugin in half_open.plugins] == [[2, 3, 4]] * 3
    assert {plugin.not_recovered for plugin in half_open.plugins} == {0}
