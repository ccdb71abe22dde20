"""The bus in one process: what is published comes back once, and a failing delivery does not stop it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest

from hub.live.bus import Bus
from hub.live.notices import Item, Notice, Revoked
from tests.processes import eventually

EVENT = b'{"type":"open.recorded","sequence":"7"}'


def notice(sequence: int, user_id: str = "user-1") -> Notice:
    return Notice(user_id, sequence, "open.recorded", True, EVENT)


class Listener:
    """A process on the bus: it keeps the parcels that are handed over, and counts the calls of `resync`."""

    def __init__(self) -> None:
        self.parcels: list[tuple[Item, ...]] = []
        self.resyncs = 0
        self.broken = False

    def deliver(self, items: Sequence[Item]) -> None:
        self.parcels.append(tuple(items))
        if self.broken:
            raise RuntimeError("a broken delivery")

    def resync(self) -> None:
        self.resyncs += 1


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest.fixture
async def bus(listener: Listener) -> AsyncIterator[Bus]:
    bus = Bus()
    await bus.start(listener.deliver, listener.resync)
    yield bus
    await bus.stop()


async def test_parcel_comes_back_once_and_in_order(bus: Bus, listener: Listener) -> None:
    first = (notice(1), Revoked("token:a"), Notice("user-2", 9, "settings.updated", False, b"{}"))
    await bus.publish(first)
    await bus.publish([notice(2)])
    await bus.publish([notice(3)])
    await eventually(lambda: len(listener.parcels) >= 3)
    assert listener.parcels == [first, (notice(2),), (notice(3),)]
    assert listener.resyncs == 0


async def test_bus_in_process_is_up_from_start_to_stop(listener: Listener) -> None:
    bus = Bus()
    assert not bus.up
    await bus.start(listener.deliver, listener.resync)
    assert bus.up
    assert bus.generation == 1
    await bus.stop()
    await bus.stop()
    assert not bus.up


async def test_failing_delivery_does_not_stop_the_bus(
    bus: Bus, listener: Listener, caplog: pytest.LogCaptureFixture
) -> None:
    listener.broken = True
    for sequence in (1, 2, 3):
        await bus.publish([notice(sequence)])
    await eventually(lambda: len(listener.parcels) == 3)
    assert bus.up
    assert [record.getMessage() for record in caplog.records] == [
        "handing over a parcel from the bus failed; the log will tell it"
    ]


async def test_bus_in_process_carries_only_events_that_somebody_listens_to(bus: Bus, listener: Listener) -> None:
    assert bus.wants("user-1")
    asking = Bus()
    await asking.start(listener.deliver, listener.resync, lambda user_id: user_id == "user-1")
    assert asking.wants("user-1")
    assert not asking.wants("user-2")
    await asking.stop()


async def test_publishing_nothing_delivers_nothing(bus: Bus, listener: Listener) -> None:
    await bus.publish([])
    await bus.publish([notice(1)])
    await eventually(lambda: listener.parcels)
    assert listener.parcels == [(notice(1),)]


async def test_publishing_before_start_and_after_stop_does_not_raise(listener: Listener) -> None:
    bus = Bus()
    await bus.publish([notice(1)])
    await bus.start(listener.deliver, listener.resync)
    await bus.stop()
    await bus.publish([notice(2)])
    assert [parcel[0] for parcel in listener.parcels] in ([], [notice(2)])
