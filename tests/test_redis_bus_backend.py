"""The backend of the bus by itself, without broadcaster around it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import cast

import pytest
from redis.asyncio import Connection
from redis.asyncio.connection import AbstractConnection

from hub.live.redis_bus import Limits, RedisBackend
from tests.processes import PATIENCE_SECONDS, eventually, free_port
from tests.servers import Valkey
from tests.test_redis_bus import PATIENT, beyond, through
from tests.toxic import ToxicProxy

pytestmark = pytest.mark.alone


@asynccontextmanager
async def backend_on(url: str, *channels: str, limits: Limits = PATIENT) -> AsyncIterator[RedisBackend]:
    """A backend that hears these channels."""
    backend = RedisBackend(url, limits=limits)
    await backend.connect()
    try:
        for channel in channels:
            await backend.subscribe(channel)
        await eventually(lambda: backend.up or not channels)
        for _ in channels:
            assert await taken(backend) == b""
        yield backend
    finally:
        await backend.disconnect()


async def taken(backend: RedisBackend) -> bytes:
    async with asyncio.timeout(PATIENCE_SECONDS):
        return cast(bytes, (await backend.next_published()).message)


async def test_messages_that_are_taken_as_they_come_never_overflow(redis_url: str) -> None:
    async with backend_on(redis_url, "busy", limits=Limits(inbound_bytes=1000)) as backend:
        for number in range(30):
            message = b"%100d" % number
            await backend.publish("busy", message)
            assert await taken(backend) == message
        assert backend.generation == 1


async def test_who_takes_many_messages_lets_others_have_a_turn_between_two(redis_url: str) -> None:
    async with backend_on(redis_url, "busy") as backend:
        for message in (b"1", b"2", b"3"):
            await backend.publish("busy", message)
        await eventually(lambda: backend._inbound.qsize() == 3)
        turns: list[bool] = []
        for _ in range(3):
            asyncio.get_running_loop().call_soon(turns.append, True)
            await taken(backend)
        assert len(turns) == 3


async def test_message_published_before_there_is_a_link_is_sent_before_the_end(redis_url: str) -> None:
    async with backend_on(redis_url, "news") as other:
        async with backend_on(redis_url) as backend:
            await backend.publish("news", b"the last")
        assert await taken(other) == b"the last"


async def test_messages_that_could_not_be_sent_come_before_those_published_since(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with backend_on(redis_url, "news") as backend:
        send = backend._sender._send

        async def fail_once(connection: AbstractConnection, batch: deque[tuple[str, bytes]]) -> None:
            if not batch:
                return await send(connection, batch)
            monkeypatch.undo()
            await backend.publish("news", b"2")
            raise ConnectionError("cut off")

        monkeypatch.setattr(backend._sender, "_send", fail_once)
        await backend.publish("news", b"1")
        assert [await taken(backend) for _ in range(2)] == [b"1", b"2"]


async def test_backend_that_was_let_go_leaves_no_task(redis_url: str) -> None:
    before = asyncio.all_tasks()
    async with backend_on(redis_url, "one", "two"):
        assert len(asyncio.all_tasks() - before) == 3, "two listeners and a sender"
    assert asyncio.all_tasks() <= before


async def test_backend_that_hears_no_channel_is_not_up(redis_url: str) -> None:
    async with backend_on(redis_url, "news") as other, backend_on(redis_url) as backend:
        await backend.publish("news", b"it sends")
        assert await taken(other) == b"it sends"
        assert not backend.up


async def test_channel_that_is_heard_no_more_has_no_link_and_none_is_missed(valkey: Valkey, redis_url: str) -> None:
    async with backend_on(redis_url, "kept", "dropped") as backend:
        await backend.unsubscribe("dropped")
        await eventually(lambda: valkey.command("PUBLISH", "dropped", "x") == ":0", what="nobody listens to it")
        assert backend.up


async def test_backend_that_is_told_again_and_again_to_renew_its_links_is_down_and_makes_each_once(
    redis_url: str,
) -> None:
    async with backend_on(redis_url, "news") as backend:
        for _ in range(5):
            backend.renew()
            assert not backend.up
            await asyncio.sleep(0)
        await eventually(lambda: backend.up)
        assert backend.generation == 2


@pytest.mark.parametrize(("sound", "parts"), [(1000.0, [2, 4, 8, 10, 10]), (0.0, [1, 1, 1, 1, 1])])
async def test_waits_between_tries_grow_unless_the_link_was_sound(
    monkeypatch: pytest.MonkeyPatch, sound: float, parts: list[int]
) -> None:
    waits: list[tuple[float, float]] = []

    def uniform(least: float, most: float) -> float:
        waits.append((least, most))
        return 0.0

    monkeypatch.setattr("hub.live.redis_bus.random.uniform", uniform)
    limits = replace(PATIENT, sound=sound, retry_least=1.0, retry_most=10.0, answer=0.0)
    async with backend_on(f"redis://127.0.0.1:{free_port()}/0", limits=limits):
        await eventually(lambda: len(waits) >= 5)
    assert waits[:5] == [(0, part) for part in parts]


async def test_server_that_accepts_and_says_nothing_is_given_up_for_another_try(
    valkey: Valkey, caplog: pytest.LogCaptureFixture
) -> None:
    async with ToxicProxy("127.0.0.1", valkey.port) as proxy:
        proxy.go_silent()
        async with backend_on(through(proxy), limits=replace(PATIENT, connect=0.05)):
            await eventually(lambda: proxy.accepted >= 3)
    assert "is down, trying again: no answer in time" in caplog.text


async def test_link_that_flaps_is_told_once_as_down_and_once_as_up_again(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("hub.live.redis_bus.WARNING_SECONDS", 1000.0)
    caplog.set_level("INFO", "hub.live.redis_bus")
    async with ToxicProxy("127.0.0.1", valkey.port) as proxy, backend_on(through(proxy), "news") as backend:
        proxy.refuse()
        await eventually(lambda: caplog.text.count("is down, trying again") >= 2, what="listener and sender say so")
        await proxy.listen()
        await eventually(lambda: caplog.text.count("is up again") >= 2)
        for _ in range(3):
            links = backend.generation
            proxy.reset()
            await beyond(lambda: backend.generation, links)
        assert [caplog.text.count(said) for said in ("is down, trying again", "is up again")] == [2, 2]
    assert "HUB_REDIS_INSECURE_TLS" not in caplog.text


async def test_message_whose_link_broke_is_sent_again_as_soon_as_there_is_another(
    valkey: Valkey, redis_url: str
) -> None:
    never_quiet = replace(PATIENT, quiet=1000.0, answer=5.0)
    async with (
        ToxicProxy("127.0.0.1", valkey.port) as proxy,
        backend_on(redis_url, "news") as other,
        backend_on(through(proxy), limits=never_quiet) as backend,
    ):
        await backend.publish("news", b"1")
        assert await taken(other) == b"1"
        proxy.reset()
        await backend.publish("news", b"2")
        while await taken(other) != b"2":
            pass


async def test_link_that_breaks_while_there_is_nothing_to_send_is_made_anew(valkey: Valkey) -> None:
    async with ToxicProxy("127.0.0.1", valkey.port) as proxy, backend_on(through(proxy)):
        await eventually(lambda: proxy.open == 1)
        before = proxy.accepted
        proxy.reset()
        await beyond(lambda: proxy.accepted, before)


async def test_messages_that_could_not_be_sent_count_as_waiting(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("hub.live.redis_bus.random.uniform", lambda _least, _most: 1000.0)
    valkey.command("ACL", "SETUSER", "reader", "on", ">pass", "~*", "&*", "+@all", "-publish")
    limits = replace(PATIENT, outbound_bytes=100, answer=0.5)
    async with backend_on(f"redis://reader:pass@127.0.0.1:{valkey.port}/0", limits=limits) as backend:
        await backend.publish("news", b"x" * 60)
        await eventually(lambda: "the sender of the bus is down" in caplog.text)
        await backend.publish("news", b"y" * 60)
        assert list(backend._sender._waiting) == [("news", b"")]


async def test_switch_for_tls_does_no_harm_where_there_is_none(redis_url: str) -> None:
    backend = RedisBackend(redis_url, insecure_tls=True)
    await backend.connect()
    await backend.subscribe("news")
    await eventually(lambda: backend.up)
    await backend.disconnect()


@pytest.mark.parametrize("query", ["protocol=3", "decode_responses=true"])
async def test_query_of_a_url_leaves_the_bus_its_hearing(redis_url: str, query: str) -> None:
    async with backend_on(f"{redis_url}?{query}", "news") as backend:
        await backend.publish("news", b"heard")
        assert await taken(backend) == b"heard"


def test_query_of_a_url_puts_no_checks_and_no_timeouts_into_what_is_read() -> None:
    backend = RedisBackend("redis://127.0.0.1/5?health_check_interval=1&socket_timeout=1&client_name=ours")
    connection = cast(Connection, backend._connect())
    assert (connection.health_check_interval, connection.socket_timeout) == (0, None)
    assert (connection.db, connection.client_name) == (5, "ours"), "the rest of the URL is heeded"
