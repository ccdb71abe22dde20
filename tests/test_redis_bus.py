"""The bus between processes, against a real server and through a network that fails."""

from __future__ import annotations

import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from hub.config import ConfigError
from hub.live.bus import CHANNEL, Bus
from hub.live.notices import Item, Notice, Revoked
from hub.live.redis_bus import Limits, RedisBackend
from tests.processes import eventually
from tests.servers import Valkey
from tests.toxic import ToxicProxy

pytestmark = pytest.mark.alone

PATIENT = Limits(quiet=0.2, answer=30.0, connect=30.0, retry_least=0.01, retry_most=0.1, sound=0.2)
QUICK = replace(PATIENT, answer=0.3, connect=1.0)
"""QUICK notices a silent server soon. But a test that gets no processor for that long takes a good server for silent,
so tests that count generations use PATIENT."""
SOON_SECONDS = 10.0
"""A call that does not wait takes no time, but the machine that runs the tests may be busy."""


def notice(sequence: int) -> Notice:
    return Notice("user-1", sequence, "open.recorded", True, b"{}")


class Process:
    """One process on the bus. All of them share `log`, which is the truth; `resync` reads all of it."""

    def __init__(self, log: list[int], url: str, limits: Limits = PATIENT, **options: Any) -> None:
        self.bus = Bus(RedisBackend(url, limits=limits, **options))
        self.items: list[Item] = []
        self.known: set[int] = set()
        self.resyncs = 0
        self._log = log

    def deliver(self, items: Sequence[Item]) -> None:
        self.items += items
        self.known |= {each.sequence for each in items if isinstance(each, Notice)}

    def resync(self) -> None:
        self.resyncs += 1
        self.known |= set(self._log)

    async def commit(self, sequence: int) -> None:
        """Do as a recorder does: first the log, then the bus."""
        self._log.append(sequence)
        await self.bus.publish([notice(sequence)])

    def got(self, sequence: int) -> int:
        """How many times `sequence` was handed over."""
        return self.items.count(notice(sequence))


Start = Callable[..., Coroutine[Any, Any, Process]]


@pytest.fixture
async def start(redis_url: str) -> AsyncIterator[Start]:
    """Starts processes on the bus of this test and stops them after it."""
    log: list[int] = []
    processes: list[Process] = []

    async def start(url: str = redis_url, *, wait: bool = True, **options: Any) -> Process:
        process = Process(log, url, **options)
        processes.append(process)
        await process.bus.start(process.deliver, process.resync, lambda _user_id: False)
        if wait:
            await eventually(lambda: process.bus.up)
        return process

    yield start
    for process in processes:
        await process.bus.stop()


@pytest.fixture
async def proxy(valkey: Valkey) -> AsyncIterator[ToxicProxy]:
    async with ToxicProxy("127.0.0.1", valkey.port) as proxy:
        yield proxy


async def beyond(count: Callable[[], int], before: int) -> None:
    """Wait until `count` is more than `before`."""
    await eventually(lambda: count() > before)


def through(proxy: ToxicProxy) -> str:
    return f"redis://127.0.0.1:{proxy.port}/0"


async def test_first_channel_of_a_new_process_is_heard(start: Start) -> None:
    one, two = await start(), await start()
    assert one.bus.wants("user-1"), "somebody may listen in the other process"
    await one.bus.publish([notice(1), Revoked("session:a")])
    await eventually(lambda: two.items and one.items)
    assert two.items == one.items == [notice(1), Revoked("session:a")]
    assert two.bus.generation == one.bus.generation == 1


async def test_batch_comes_back_to_its_publisher_once(start: Start) -> None:
    one, two = await start(), await start()
    for sequence in range(50):
        await one.commit(sequence)
    await two.commit(99)
    await eventually(lambda: one.got(99) and two.got(99) and len(one.items) + len(two.items) >= 102)
    assert one.items[:50] == two.items[:50] == [notice(sequence) for sequence in range(50)]
    assert len(one.items) == len(two.items) == 51


@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_link_comes_back_after_the_server_does(valkey: Valkey, start: Start, end: str) -> None:
    one, two = await start(), await start()
    getattr(valkey, end)()
    try:
        await eventually(lambda: not one.bus.up and not two.bus.up)
    finally:
        valkey.start()
    await eventually(lambda: one.bus.up and two.bus.up)
    assert one.bus.generation == two.bus.generation == 2
    await eventually(lambda: two.resyncs == 2, what="it was told that something may have been lost")
    await one.commit(1)
    await eventually(lambda: two.got(1) and one.got(1))


async def test_frozen_server_is_noticed_and_survived(
    valkey: Valkey, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    one, two = await start(limits=QUICK), await start(limits=QUICK)
    valkey.freeze()
    try:
        await eventually(lambda: not one.bus.up and not two.bus.up)
        # A bus counts as down when only its sender has noticed. Its listener has to notice, too, or it keeps its link.
        await eventually(lambda: caplog.text.count("the listener of the bus is down") >= 2)
        await one.commit(1)
        assert one.got(1) == 1
    finally:
        valkey.thaw()
    await eventually(lambda: one.bus.up and two.bus.up and 1 in two.known)
    assert min(one.bus.generation, two.bus.generation) >= 2
    await two.commit(2)
    await eventually(lambda: one.got(2) and two.got(2))
    assert one.got(1) == 1


async def test_silent_server_does_not_hold_up_what_a_process_publishes_itself(valkey: Valkey, start: Start) -> None:
    one, two = await start(limits=QUICK), await start(limits=QUICK)
    await one.commit(1)
    await eventually(lambda: one.got(1))
    valkey.freeze()
    try:
        await one.commit(2)
        await one.commit(3)
        await eventually(lambda: one.got(3))
        await one.commit(4)
        assert one.got(4) == 1
    finally:
        valkey.thaw()
    await eventually(lambda: one.bus.up and two.bus.up and two.known >= {2, 3, 4})
    await one.commit(5)
    await eventually(lambda: one.got(5) and two.got(5))
    assert one.items == [notice(sequence) for sequence in range(1, 6)]


async def test_publishing_while_down_is_fast_and_reaches_the_others_later(proxy: ToxicProxy, start: Start) -> None:
    one, two = await start(through(proxy)), await start()
    proxy.refuse()
    await eventually(lambda: not one.bus.up)
    began = time.monotonic()
    for sequence in range(100):
        await one.commit(sequence)
    assert time.monotonic() - began < SOON_SECONDS
    assert [one.got(sequence) for sequence in range(100)] == [1] * 100
    await proxy.listen()
    await eventually(lambda: one.bus.up and all(map(two.got, range(100))))
    await one.commit(100)
    await eventually(lambda: one.got(100))
    assert [one.got(sequence) for sequence in range(100)] == [1] * 100


async def test_batch_that_was_handed_over_while_down_is_not_handed_over_again(valkey: Valkey, start: Start) -> None:
    valkey.command("ACL", "SETUSER", "listener", "on", ">pass", "~*", "&*", "+@all", "-publish")
    one = await start(f"redis://listener:pass@127.0.0.1:{valkey.port}/0", wait=False)
    await eventually(lambda: one.bus.generation == 1)
    await one.commit(0)
    for sequence in range(1, 20):
        await eventually(lambda: not one.bus.up)
        await one.commit(sequence)
        assert one.got(sequence) == 1
    valkey.command("ACL", "SETUSER", "listener", "+publish")
    await eventually(lambda: one.bus.up)
    await one.commit(20)
    await eventually(lambda: one.got(20))
    assert [one.got(sequence) for sequence in range(21)] == [1] * 21
    assert one.bus.generation == 1


async def test_start_without_a_server_does_not_wait(proxy: ToxicProxy, start: Start) -> None:
    proxy.refuse()
    began = time.monotonic()
    one = await start(through(proxy), wait=False)
    assert time.monotonic() - began < SOON_SECONDS
    assert not one.bus.up
    assert one.bus.generation == 0
    await proxy.listen()
    await eventually(lambda: one.bus.up)
    assert one.resyncs == 1


async def test_flapping_network_loses_nothing(proxy: ToxicProxy, start: Start) -> None:
    one, two = await start(through(proxy)), await start(through(proxy))

    def generations() -> int:
        return one.bus.generation + two.bus.generation

    sequence = 0
    for _ in range(12):
        before = generations()
        for _ in range(20):
            sequence += 1
            await one.commit(sequence)
            sequence += 1
            await two.commit(sequence)
        proxy.reset()
        await beyond(generations, before)
    everything = set(range(1, sequence + 1))
    await eventually(lambda: one.known == two.known == everything)
    await eventually(lambda: one.bus.up and two.bus.up)


async def test_half_closed_link_is_made_anew(proxy: ToxicProxy, start: Start) -> None:
    one = await start(through(proxy))
    proxy.half_close("client")
    await eventually(lambda: one.bus.generation == 2 and one.bus.up)
    proxy.half_close("server")
    await eventually(lambda: one.bus.generation == 3 and one.bus.up)
    await one.commit(1)
    await eventually(lambda: one.got(1))


async def test_silent_network_is_noticed(proxy: ToxicProxy, start: Start) -> None:
    one, two = await start(through(proxy), limits=QUICK), await start()
    proxy.go_silent()
    await eventually(lambda: not one.bus.up)
    await two.commit(1)
    assert 1 not in one.known
    proxy.speak()
    await eventually(lambda: one.bus.up and one.bus.generation >= 2 and 1 in one.known)


async def test_slow_network_is_not_taken_for_a_dead_one(proxy: ToxicProxy, start: Start) -> None:
    limits = replace(PATIENT, answer=1.5)
    proxy.delay = limits.answer / 5
    one = await start(through(proxy), limits=limits)
    await one.commit(1)
    await eventually(lambda: one.got(1))
    accepted = proxy.accepted
    for sequence in range(2, 6):
        await one.commit(sequence)
        await beyond(lambda: len(one.items), sequence - 1)
    assert proxy.accepted == accepted
    assert one.bus.generation == 1


async def test_closed_idle_sender_loses_no_message(valkey: Valkey, start: Start) -> None:
    one, two = await start(), await start()
    for sequence in range(20):
        valkey.command("CLIENT", "KILL", "TYPE", "normal")
        await one.commit(sequence)
    await eventually(lambda: two.known == set(range(20)))
    assert two.bus.generation == 1


async def test_links_made_anew_leave_no_descriptor_behind(proxy: ToxicProxy, start: Start) -> None:
    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    one = await start(through(proxy))
    before = descriptors()
    for generation in range(2, 22):
        proxy.reset()
        await beyond(lambda: one.bus.generation, generation - 1)
        await eventually(lambda: one.bus.up)
    await eventually(lambda: descriptors() <= before)
    await one.bus.stop()
    await eventually(lambda: proxy.open == 0)
    assert descriptors() < before


async def test_stop_sends_what_waits(start: Start) -> None:
    one, two = await start(), await start()
    await one.commit(1)
    await one.bus.stop()
    await eventually(lambda: two.got(1))


async def test_stop_while_frozen_ends_in_time(valkey: Valkey, start: Start) -> None:
    one = await start(limits=QUICK)
    valkey.freeze()
    try:
        await one.commit(1)
        began = time.monotonic()
        await one.bus.stop()
        assert time.monotonic() - began < SOON_SECONDS
    finally:
        valkey.thaw()


async def test_unreadable_message_means_catching_up(valkey: Valkey, start: Start) -> None:
    one = await start()
    for message in ("", "not a batch", '{"items":[]}'):
        before = one.resyncs
        valkey.command("PUBLISH", CHANNEL, message)
        await beyond(lambda: one.resyncs, before)
    assert one.items == []


async def test_inbound_overflow_is_a_new_generation(redis_url: str) -> None:
    backend = RedisBackend(redis_url, limits=Limits(inbound_bytes=1000))
    await backend.connect()
    try:
        await backend.subscribe("busy")
        await eventually(lambda: backend.up)
        for _ in range(11):
            await backend.publish("busy", b"x" * 100)
        await eventually(lambda: backend.generation == 2)
        await backend.publish("busy", b"after")
        messages = [cast(bytes, (await backend.next_published()).message) for _ in range(2)]
        assert messages == [b"", b"after"]
    finally:
        await backend.disconnect()


async def test_outbound_overflow_becomes_one_call_to_catch_up(proxy: ToxicProxy, start: Start) -> None:
    one, two = await start(through(proxy)), await start()
    proxy.refuse()
    await eventually(lambda: not one.bus.up)
    resyncs = two.resyncs
    large = Notice("user-1", 1, "open.recorded", True, b" " * 100_000)
    for _ in range(QUICK.outbound_bytes // 100_000 + 1):
        await one.bus.publish([large])
    await one.commit(2)
    await proxy.listen()
    await eventually(lambda: two.got(2))
    assert two.items == [notice(2)]
    assert two.resyncs == resyncs + 1


@pytest.fixture
def certificate(tmp_path: Path) -> ssl.SSLContext:
    """The TLS of a server whose certificate nobody vouches for."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=redis.example.com"
    subprocess.run([*command.split(), "-keyout", key, "-out", certificate], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


async def test_self_signed_certificate_needs_the_switch(
    valkey: Valkey, start: Start, certificate: ssl.SSLContext, caplog: pytest.LogCaptureFixture
) -> None:
    async with ToxicProxy("127.0.0.1", valkey.port, tls=certificate) as proxy:
        url = f"rediss://127.0.0.1:{proxy.port}/0"
        refusing = await start(url, wait=False)
        await eventually(lambda: "set HUB_REDIS_INSECURE_TLS=1" in caplog.text)
        assert not refusing.bus.up
        trusting = await start(url, insecure_tls=True)
        await trusting.commit(1)
        await eventually(lambda: trusting.got(1))


async def test_wrong_password_is_told_in_the_log_but_not_shown(
    valkey: Valkey, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    one = await start(f"redis://hub:not-the-password@127.0.0.1:{valkey.port}/0", wait=False)
    await eventually(lambda: "is down, trying again" in caplog.text)
    assert not one.bus.up
    assert "not-the-password" not in caplog.text
    assert all(record.exc_info is None for record in caplog.records)


@pytest.mark.parametrize("url", ["redis://host:port/0", "redis://host/0?nonsense=1", "redis://[::1/0"])
def test_unreadable_url_is_a_configuration_error(url: str) -> None:
    with pytest.raises(ConfigError, match="REDIS_URL"):
        RedisBackend(url)
