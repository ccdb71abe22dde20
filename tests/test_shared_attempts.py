"""Log-in attempts on several processes, and while Redis is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from hub.api.attempts import WINDOW_SECONDS, Attempts
from hub.app import _attempts
from hub.config import Config
from hub.tracking.token import Keys
from tests.servers import Valkey
from tests.test_attempts import check_attempts_given_back

SECRET = "the hub's own secret"


def seconds_left(valkey: Valkey) -> int:
    """In how many seconds Valkey forgets its only key."""
    return int(valkey.command("EVAL", "return redis.call('TTL', redis.call('KEYS', '*')[1])", "0").removeprefix(":"))


@pytest.fixture
async def processes(redis_url: str) -> AsyncIterator[list[Attempts]]:
    """The attempts as two processes of one hub count them."""
    async with AsyncExitStack() as stack:
        config = Config(redis_url=redis_url)
        yield [_attempts(config, Keys(SECRET), stack) for _ in range(2)]


async def test_processes_count_together(processes: list[Attempts]) -> None:
    for number in range(3):
        assert await processes[number % 2].begin("a", 3) == 0
    for process in processes:
        assert 0 < await process.begin("a", 3) <= WINDOW_SECONDS
    assert await processes[0].begin("b", 3) == 0


async def test_processes_count_together_on_a_redis_before_7(processes: list[Attempts], valkey: Valkey) -> None:
    # Redis 6 refuses EXPIRE with the options that it has since.
    assert valkey.command("ACL", "SETUSER", "default", "-expire") == "+OK"
    try:
        for process in processes:
            assert await process.begin("a", 2) == 0
            await process.give_back("a")
            assert await process.begin("a", 2) == 0
        assert await processes[0].begin("a", 2) > 0
    finally:
        valkey.command("ACL", "SETUSER", "default", "+expire")
    assert 0 < seconds_left(valkey) <= WINDOW_SECONDS


async def test_processes_count_together_however_many_attempts_come_at_once(processes: list[Attempts]) -> None:
    waits = await asyncio.gather(*(processes[number % 2].begin("a", 10) for number in range(60)))
    assert waits.count(0) == 10


async def test_attempt_refused_by_redis_is_not_counted_by_the_process(
    processes: list[Attempts], valkey: Valkey
) -> None:
    one, other = processes
    for _ in range(3):
        await one.begin("a", 3)
    for _ in range(3):
        assert await other.begin("a", 3) > 0
    valkey.command("FLUSHDB")
    assert await other.begin("a", 3) == 0


async def test_success_on_one_process_clears_its_count_and_that_in_redis(processes: list[Attempts]) -> None:
    for process in processes:
        await process.begin("a", 2)
    await processes[0].succeeded("a")
    assert await processes[0].begin("a", 2) == 0
    assert await processes[1].begin("a", 2) == 0
    assert await processes[1].begin("a", 2) > 0


async def test_redis_is_told_no_address(processes: list[Attempts], valkey: Valkey) -> None:
    await processes[0].begin("account:sender@example.com", 2)
    assert valkey.command("DBSIZE") == ":1"
    # A plain hash of an IPv4 address would be found out by trying all addresses.
    name = f"glimpse:attempts:{Keys(SECRET).pseudonym('account:sender@example.com')}"
    assert valkey.command("EXISTS", name) == ":1"
    assert name != f"glimpse:attempts:{Keys('another').pseudonym('account:sender@example.com')}"
    assert 0 < seconds_left(valkey) <= WINDOW_SECONDS


async def test_each_process_counts_for_itself_while_redis_is_away(processes: list[Attempts], valkey: Valkey) -> None:
    valkey.stop()
    try:
        for process in processes:
            assert [await process.begin("a", 2) for _ in range(2)] == [0, 0]
            assert await process.begin("a", 2) > 0
        await processes[0].succeeded("a")
        assert await processes[0].begin("a", 2) == 0
    finally:
        valkey.start()


async def test_log_is_not_flooded_by_attempts_while_redis_is_away(
    processes: list[Attempts], valkey: Valkey, caplog: pytest.LogCaptureFixture
) -> None:
    # Anybody may try to log in, as often as they like under other names.
    valkey.stop()
    try:
        for number in range(5):
            assert await processes[0].begin(f"account:{number}", 2) == 0
    finally:
        valkey.start()
    assert caplog.text.count("log-in attempts are counted by this process alone") == 1


async def test_attempt_given_back_to_redis_is_not_counted(processes: list[Attempts]) -> None:
    await check_attempts_given_back(processes[0])


async def test_attempt_given_back_leaves_nothing_in_redis_for_ever(processes: list[Attempts], valkey: Valkey) -> None:
    await processes[0].give_back("never tried")
    assert 0 < seconds_left(valkey) <= WINDOW_SECONDS
