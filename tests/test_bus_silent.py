"""The bus on a link that takes parcels and brings them back late, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from broadcaster import BroadcastBackend, Event

from hub.live.bus import CHANNEL, MOST_TRIES, QUIET_TURNS, TRIES, Bus, Parcel
from hub.live.redis_bus import RedisBackend
from tests.processes import eventually
from tests.test_bus import Listener, notice

NEVER_SECONDS = 1000.0


class Link(BroadcastBackend):
    """A backend whose link keeps what is published until it is let through. It counts how often it was asked whether it
    is up, and notes that with each publication."""

    def __init__(self) -> None:
        self.is_up = True
        self.fails = False
        self.looks = 0
        self.looks_before: list[int] = []
        self.generation = 1
        self.taken: list[bytes] = []
        self.renewed_after: list[int] = []
        self._inbound: asyncio.Queue[Event] = asyncio.Queue()

    @property
    def up(self) -> bool:
        self.looks += 1
        return self.is_up

    async def connect(self) -> None: ...

    async def disconnect(self) -> None: ...

    async def subscribe(self, channel: str) -> None: ...

    async def unsubscribe(self, channel: str) -> None: ...

    async def publish(self, channel: str, message: Any) -> None:
        assert channel == CHANNEL
        if self.fails:
            raise ConnectionError("as if")
        self.taken.append(message)
        self.looks_before.append(self.looks)

    async def next_published(self) -> Event:
        return await self._inbound.get()

    def renew(self) -> None:
        self.renewed_after.append(len(self.taken))

    def let_through(self) -> None:
        for message in self.taken:
            self._inbound.put_nowait(Event(CHANNEL, cast(str, message)))
        self.taken.clear()


@pytest.fixture
def link() -> Link:
    return Link()


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest.fixture
async def bus(link: Link, listener: Listener) -> AsyncIterator[Bus]:
    bus = Bus(cast(RedisBackend, link))
    await bus.start(listener.deliver, listener.resync)
    yield bus
    await bus.stop()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub.live.bus.BACK_SECONDS", NEVER_SECONDS)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub.live.bus.BACK_SECONDS", 0.01)


@pytest.mark.usefixtures("patient")
async def test_parcel_is_handed_over_as_it_comes_back(bus: Bus, link: Link, listener: Listener) -> None:
    await bus.publish([notice(1)])
    await bus.publish([notice(2)])
    assert listener.parcels == []
    link.let_through()
    await eventually(lambda: listener.parcels == [(notice(1),), (notice(2),)])


@pytest.mark.usefixtures("impatient")
async def test_parcel_that_is_late_is_handed_over_once_with_all_after_it(
    bus: Bus, link: Link, listener: Listener
) -> None:
    first, second, third = [notice(1)], [notice(2)], [notice(3)]
    await bus.publish(first)
    await bus.publish(second)
    await eventually(lambda: len(listener.parcels) == 2)
    await bus.publish(third)
    assert listener.parcels == [(*first,), (*second,), (*third,)], "the link is silent: nothing waits for it any more"
    link.let_through()
    await bus.publish([notice(4)])
    link.let_through()
    await eventually(lambda: len(listener.parcels) == 4)
    assert listener.parcels[3] == (notice(4),)


@pytest.mark.usefixtures("patient")
async def test_parcel_waits_again_once_one_has_come_back(bus: Bus, link: Link, listener: Listener) -> None:
    bus._is_silent = True
    await bus.publish([notice(1)])
    assert listener.parcels == [(notice(1),)]
    link.let_through()
    await eventually(lambda: not bus._is_silent)
    await bus.publish([notice(2)])
    assert listener.parcels == [(notice(1),)]


@pytest.mark.usefixtures("patient")
async def test_parcel_on_a_link_that_is_down_does_not_overtake_what_is_on_its_way(
    bus: Bus, link: Link, listener: Listener
) -> None:
    await bus.publish([notice(1)])
    link.is_up = False
    await bus.publish([notice(2)])
    assert listener.parcels == [(notice(1),), (notice(2),)]
    link.let_through()
    await bus.publish([notice(3)])
    link.let_through()
    assert listener.parcels[2:] == [(notice(3),)]


@pytest.mark.usefixtures("patient")
async def test_each_parcel_has_time_of_its_own_to_come_back(
    bus: Bus, link: Link, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.live.bus.BACK_SECONDS", 0.01)
    await bus.publish([notice(1)])
    monkeypatch.setattr("hub.live.bus.BACK_SECONDS", NEVER_SECONDS)
    link.let_through()
    await bus.publish([notice(2)])
    await eventually(lambda: bus._timer is not None and bus._timer.when() > asyncio.get_running_loop().time() + 1)
    assert not bus._is_silent
    assert listener.parcels == [(notice(1),)]


@pytest.mark.usefixtures("impatient")
async def test_link_that_brings_nothing_back_is_down_and_made_anew_ever_less_often(
    bus: Bus, link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.live.bus.ASK_SECONDS", 0.001)
    assert bus.up
    await bus.publish([notice(1)])
    await eventually(lambda: len(link.renewed_after) == 6)
    asked = [after - before for before, after in zip([1, *link.renewed_after], link.renewed_after, strict=False)]
    # What was published before the parcel was found to be late does not count.
    assert asked[1:] == [2 * TRIES, 4 * TRIES, 8 * TRIES, MOST_TRIES, MOST_TRIES]
    assert not bus.up
    link.let_through()
    await eventually(lambda: bus.up)
    await bus.publish([notice(2)])
    await eventually(lambda: len(link.renewed_after) == 7)
    assert link.renewed_after[6] <= TRIES + 2, "it begins anew"


async def test_link_that_is_down_is_not_asked_until_it_is_up(
    bus: Bus, link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.live.bus.ASK_SECONDS", 0.001)
    bus._is_silent, link.is_up = True, False
    await eventually(lambda: link.looks > 2 * TRIES)
    assert (link.taken, link.renewed_after) == ([], [])
    link.is_up = True
    await eventually(lambda: link.renewed_after == [TRIES])


@pytest.mark.usefixtures("impatient")
async def test_parcel_that_the_link_cannot_take_is_handed_over_and_said(
    bus: Bus, link: Link, listener: Listener, caplog: pytest.LogCaptureFixture
) -> None:
    link.fails = True
    await bus.publish([notice(1)])
    await eventually(lambda: listener.parcels == [(notice(1),)])
    assert "the bus could not take a parcel" in caplog.text


async def test_nothing_is_not_sent(bus: Bus, link: Link) -> None:
    await bus.publish([])
    assert link.taken == []


async def test_bus_that_hears_nothing_any_more_is_down(bus: Bus) -> None:
    assert bus._reader is not None
    bus._reader.cancel()
    await eventually(lambda: not bus.up)


async def test_link_that_nothing_is_sent_on_is_asked_now_and_then(
    link: Link, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.live.bus.ASK_SECONDS", 0)
    bus = Bus(cast(RedisBackend, link))
    await bus.start(listener.deliver, listener.resync)
    await eventually(lambda: len(link.looks_before) >= 3)
    first, second, third = link.looks_before[:3]
    assert first == second - first == third - second == QUIET_TURNS + 1, "once a turn, and once to send"
    await bus.stop()


async def test_parcel_of_another_process_is_handed_over_and_says_nothing_of_the_own(
    bus: Bus, link: Link, listener: Listener
) -> None:
    bus._is_silent = True
    link.taken += [bus._encode(Parcel(items, "another", 1)) for items in ((), (notice(1),))]
    link.let_through()
    await eventually(lambda: listener.parcels == [(notice(1),)])
    assert bus._is_silent


@pytest.mark.parametrize(
    "message",
    [
        b"\xc1",
        b"\x93\x90\xa2\xff\xfe\x01",
        b"\x93\x91\x92\xa1\xff\x01\xa0\x01",
        b"\x94\x90\xa0\x01" + b"\x91" * 100_000,
    ],
    ids=["no message pack", "sender not in UTF-8", "kind of an item not in UTF-8", "nested too deeply"],
)
async def test_parcel_that_cannot_be_read_means_catching_up_and_the_next_is_handed_over(
    bus: Bus, link: Link, listener: Listener, message: bytes
) -> None:
    link.taken.append(message)
    link.let_through()
    await bus.publish([notice(1)])
    link.let_through()
    await eventually(lambda: listener.parcels == [(notice(1),)])
    assert listener.resyncs == 1
    assert bus.up


@pytest.mark.usefixtures("patient")
async def test_bus_that_stops_waits_for_nothing_and_leaves_no_task(link: Link, listener: Listener) -> None:
    before = asyncio.all_tasks()
    bus = Bus(cast(RedisBackend, link))
    await bus.start(listener.deliver, listener.resync)
    await bus.publish([notice(1)])
    timer = bus._timer
    assert timer is not None
    await bus.stop()
    assert timer.cancelled()
    await eventually(lambda: asyncio.all_tasks() <= before)
