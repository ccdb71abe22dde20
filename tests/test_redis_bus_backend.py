"""The backend of the bus by itself, without broadcaster around it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import pytest

from hub.live.redis_bus import Limits, RedisBackend
from tests.processes import PATIENCE_SECONDS, eventually
from tests.servers import Valkey
from tests.test_redis_bus import PATIENT

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
