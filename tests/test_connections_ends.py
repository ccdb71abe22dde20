"""Connections at their end: the drain, listeners that come during it, and how long a wait lasts."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any, cast

import pytest

from hub.live.close_codes import CloseCode
from hub.live.connections import PAGES_A_TURN, Turnstile
from hub.live.listener import Closing
from hub.live.log_pages import PAGE
from tests.test_connections import Desk, Log


@pytest.mark.parametrize(
    ("count", "at_once", "lasts"),
    [(0, 0, 0.0), (1, 1, 0.08), (20, 1, 1.6), (50, 1, 4.0), (51, 2, 2.08), (200, 4, 4.0), (999, 20, 4.0)],
)
async def test_drain_closes_everybody_spread_over_the_time_it_has(count: int, at_once: int, lasts: float) -> None:
    desk = Desk(max_per_user=1000)
    listeners = [desk.listener() for _ in range(count)]
    slept: list[float] = []
    closed = [0]

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        closed.append(sum(listener.closing is not None for listener in listeners))

    await desk.connections.drain(4.0, sleep)
    assert sum(slept) == pytest.approx(lasts)
    assert max((after - before for before, after in pairwise(closed)), default=0) == at_once
    said = Closing(CloseCode.GOING_DOWN, "the server is going down")
    assert [listener.closing for listener in listeners] == [said] * count


async def test_listener_that_comes_while_draining_is_closed_at_once() -> None:
    desk = Desk()
    await desk.connections.drain(0)
    late = desk.listener()
    assert late.closing is not None
    assert late.closing.code == CloseCode.GOING_DOWN


async def test_account_that_is_gone_closes_its_listeners() -> None:
    desk = Desk(Log(head=1))
    listener = await desk.started(after=0)

    async def nobody(_user_id: str) -> None:
        return None

    cast(Any, desk.log).get = nobody
    await desk.connections.catch_up(listener)
    assert listener.closing is not None
    assert listener.closing.code == CloseCode.NOT_AUTHENTICATED


async def test_turnstile_lets_a_few_pass_in_each_turn_of_the_loop() -> None:
    turnstile = Turnstile(3)
    passed: list[int] = []
    turns: list[int] = []

    async def newcomer(number: int) -> None:
        await turnstile.passed()
        passed.append(number)

    everybody = asyncio.gather(*(newcomer(number) for number in range(10)))
    while not everybody.done():
        await asyncio.sleep(0)
        turns.append(len(passed))
    assert passed == list(range(10)), "in the order in which they came"
    assert max(after - before for before, after in pairwise([0, *turns])) == 3


async def test_listeners_far_behind_do_not_keep_the_loop_to_themselves() -> None:
    desk = Desk(Log(head=PAGE * 10))
    # Each stands at a place of its own: they share no page.
    listeners = [await desk.started(after=number) for number in range(20)]
    together = asyncio.gather(*(desk.all_sent(listener) for listener in listeners))
    before, most = desk.log.reads, 0
    while not together.done():
        await asyncio.sleep(0)
        before, most = desk.log.reads, max(most, desk.log.reads - before)
    assert most <= PAGES_A_TURN
    assert await together == [list(range(number + 1, PAGE * 10 + 1)) for number in range(20)]
