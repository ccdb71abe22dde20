"""The bus after a fail-over behind one address: its sender and its listener may be at different servers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from redis import Redis

from hub.live.bus import Bus
from tests.processes import eventually
from tests.servers import Valkey
from tests.test_redis_bus import Start, proxy, start, through
from tests.toxic import ToxicProxy

__all__ = ["proxy", "start"]

pytestmark = pytest.mark.alone


@pytest.fixture
def successor() -> Iterator[Valkey]:
    """The server that takes over."""
    with Valkey() as server:
        yield server


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub.live.bus.ASK_SECONDS", 0.1)


async def has_links(bus: Bus, number: int) -> None:
    await eventually(lambda: bus.generation >= number and bus.up, what=f"link number {number}")


def fail_over(proxy: ToxicProxy, valkey: Valkey, successor: Valkey) -> None:
    """New links lead to the successor. Of the old ones, those that listen are cut and those that send stay."""
    proxy.lead_to(successor.port)
    valkey.command("CLIENT", "KILL", "TYPE", "pubsub")


async def test_process_that_sends_to_one_server_and_listens_to_another_is_healed(
    proxy: ToxicProxy, valkey: Valkey, successor: Valkey, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    one, two = await start(through(proxy)), await start(through(proxy))
    fail_over(proxy, valkey, successor)
    await has_links(one.bus, 2)
    await has_links(two.bus, 2)
    await one.commit(1)
    await has_links(one.bus, 3)
    await one.commit(2)
    await eventually(lambda: one.got(1) and one.got(2) and two.got(2))
    assert "brings none back: its links are made anew" in caplog.text


async def test_process_that_has_nothing_to_send_is_healed_too(
    proxy: ToxicProxy, valkey: Valkey, successor: Valkey, start: Start
) -> None:
    one = await start(through(proxy))
    fail_over(proxy, valkey, successor)
    await has_links(one.bus, 3)
    two = await start(successor.url)
    await one.commit(1)
    await eventually(lambda: two.got(1))


async def test_process_that_is_quiet_sends_empty_parcels_again_and_again(
    valkey: Valkey, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.live.bus.ASK_SECONDS", 0.01)
    one = await start(valkey.url)
    await has_links(one.bus, 1)

    def published() -> int:
        with Redis.from_url(valkey.url) as redis:
            calls: int = redis.info("commandstats").get("cmdstat_publish", {}).get("calls", 0)
            return calls

    before = published()
    await eventually(lambda: published() >= before + 3)
