"""A thousand clients lose their hub at the same moment: all are back, have missed nothing, and leave nothing behind."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from hub.model import Message
from tests.duo import Duo
from tests.ledger import LONG_AGO
from tests.plugins import Plugin, listening
from tests.processes import eventually
from tests.resources import descriptors, resident_bytes

USERS = 50
SOCKETS_EACH = 20
"""As many as one user may have on a hub."""
STORMS = 3
BACK_SECONDS = 45.0
"""Generous: the thousand clients and the hubs share the machine."""
COME_BACK_SECONDS = 3.0
SOME_BYTES = 30 << 20


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


@pytest.fixture
async def connected(crowd: Crowd) -> AsyncIterator[list[Plugin]]:
    async with listening(*crowd.plugins):
        yield crowd.plugins


async def test_thousand_clients_come_back_to_a_killed_hub_and_miss_nothing(
    duo: Duo, crowd: Crowd, connected: list[Plugin]
) -> None:
    for storm in range(STORMS):
        duo.two.kill()
        for message in crowd.messages:
            await duo.hit(duo.one, (message.id, 1))
        duo.two.launch()
        await duo.ready(duo.two)
        began = time.monotonic()
        await eventually(lambda: all(each.online for each in connected), BACK_SECONDS, "all are back")
        sys.stdout.write(f"{len(connected)} clients were back after {time.monotonic() - began:.1f} s\n")
        async with asyncio.timeout(10):
            await duo.hit(duo.one)
        for message in crowd.messages:
            await duo.hit(duo.one, (message.id, 1))
        everything = list(range(2, 2 + 2 * (storm + 1)))
        last = everything[-1]
        await eventually(lambda last=last: all(each.last == last for each in connected), BACK_SECONDS)  # type: ignore[misc,arg-type]
        assert all(each.heard == everything for each in connected)
    assert not any(each.not_recovered for each in connected)


async def test_thousand_clients_that_left_hold_no_descriptor_and_no_memory(duo: Duo, crowd: Crowd) -> None:
    """Compared with what it was after the first thousand, which fill the allocator's pools."""
    await eventually(lambda: descriptors(duo.two.pid) < 100, what="the first thousand are gone")
    before = descriptors(duo.two.pid), resident_bytes(duo.two.pid)
    for _ in range(2):
        async with listening(*crowd.plugins):
            assert descriptors(duo.two.pid) >= USERS * SOCKETS_EACH
        await eventually(lambda: descriptors(duo.two.pid) <= before[0] + 3, what="descriptors are back")
    assert resident_bytes(duo.two.pid) < before[1] + SOME_BYTES
