"""Connections whose database is replaced by an older copy, or whose log is trimmed while they read it: no listener is
left deaf or without what it lacks, and none is closed needlessly.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest

from hub.live.close_codes import CloseCode
from hub.live.connections import LOG_WAS_TRIMMED, LOG_WENT_BACK
from hub.live.listener import Closing, Listener
from hub.live.log_pages import PAGE
from tests.processes import eventually
from tests.test_connections import ME, Desk, Log, a_notice

WENT_BACK = Closing(CloseCode.GOING_DOWN, LOG_WENT_BACK)


async def ahead_of_the_log(desk: Desk, head: int) -> Listener:
    """A listener that has had all of a log, which then goes back to `head`."""
    listener = await desk.started()
    desk.log.head = head
    return listener


async def test_check_closes_a_listener_ahead_of_the_log() -> None:
    desk = Desk(Log(head=30))
    listener = await ahead_of_the_log(desk, 10)
    await desk.connections.check()
    assert listener.closing == WENT_BACK
    back = desk.listener()
    assert not await desk.connections.start(back, desk.log.user(), after=30)
    desk.log.head = 11
    desk.deliver(a_notice(11))
    assert await desk.all_sent(back) == [11]


@pytest.mark.parametrize("is_away", [False, True], ids=["there", "away at first"])
async def test_gap_on_the_bus_closes_a_listener_ahead_of_the_log(is_away: bool) -> None:
    desk = Desk(Log(head=30, is_away=is_away))
    listener = await ahead_of_the_log(desk, 10)
    desk.connections.resync()
    assert await desk.all_sent(listener) == []
    assert listener.closing == WENT_BACK


async def test_first_event_of_a_log_that_went_back_closes_a_listener_ahead_of_it() -> None:
    desk = Desk(Log(head=30))
    listener = await ahead_of_the_log(desk, 11)
    desk.deliver(a_notice(11))
    await eventually(lambda: listener.closing == WENT_BACK)
    assert list(listener.take()) == []


@pytest.mark.parametrize("fast", [True, False])
async def test_events_in_their_order_are_no_reason_to_look_at_the_log(fast: bool) -> None:
    desk = Desk(Log(head=7))
    listener = await desk.started()
    listener.write = lambda _frames: fast
    desk.deliver(a_notice(8), a_notice(9))
    list(listener.take())
    desk.deliver(a_notice(10), a_notice(12))
    assert not desk.connections._doubted
    listener.close(CloseCode.TOO_SLOW, "too slow")
    desk.deliver(a_notice(10))
    assert not desk.connections._doubted, "nor is what comes for a listener that ends"


async def test_event_that_comes_twice_closes_nobody() -> None:
    desk = Desk(Log(head=7))
    listener = await desk.started()
    for _ in range(3):
        desk.log.head += 1
        desk.deliver(*[a_notice(desk.log.head)] * 3)
        assert len(desk.connections._checks) == 1, "the log is looked at once"
        await eventually(lambda: not desk.connections._doubted)
    assert listener.closing is None
    assert await desk.all_sent(listener) == [8, 9, 10]
    await eventually(lambda: not desk.connections._checks, what="nothing is kept of a check that is over")


@pytest.mark.parametrize("twice", [False, True])
async def test_event_that_comes_while_the_log_is_asked_closes_nobody(twice: bool) -> None:
    desk = Desk(Log(head=7))
    listener = await desk.started()
    asked = []

    async def heads(user_ids: Sequence[str]) -> dict[str, int]:
        answer = dict.fromkeys(user_ids, desk.log.head)
        asked.append(answer)
        desk.log.head += 1
        desk.deliver(a_notice(desk.log.head))
        return answer

    cast(Any, desk.log).heads = heads
    if twice:
        desk.deliver(a_notice(7))
    else:
        await desk.connections.check()
    await eventually(lambda: asked and not desk.connections._doubted)
    assert asked == [{ME: 7}]
    assert listener.closing is None
    assert await desk.all_sent(listener) == [8]


async def test_doubt_about_a_log_is_put_off_while_the_database_is_away() -> None:
    desk = Desk(Log(head=30))
    listener = await ahead_of_the_log(desk, 11)
    desk.log.is_away = True
    desk.deliver(a_notice(11))
    await eventually(lambda: not desk.connections._doubted)
    assert listener.closing is None
    desk.log.is_away = False
    desk.deliver(a_notice(12))
    await eventually(lambda: listener.closing == WENT_BACK)


@pytest.mark.parametrize("left", [5, PAGE, 0], ids=["a part", "a page", "nothing"])
async def test_listener_hears_that_its_log_was_trimmed_before_it_had_read_it(left: int) -> None:
    desk = Desk(Log(head=3 * PAGE))
    listener = await desk.started(after=0)
    assert [notice.sequence for notice in listener.take()] == list(range(1, PAGE + 1))
    desk.log.first = desk.log.head - left + 1
    assert await desk.all_sent(listener) == []
    assert listener.closing == Closing(CloseCode.GOING_DOWN, LOG_WAS_TRIMMED)
    back = desk.listener()
    assert not await desk.connections.start(back, desk.log.user(), after=PAGE)


async def test_listener_stays_when_only_what_it_has_is_trimmed() -> None:
    desk = Desk(Log(head=2 * PAGE))
    listener = await desk.started(after=0)
    assert len(list(listener.take())) == PAGE
    desk.log.first = PAGE + 1
    assert await desk.all_sent(listener) == list(range(PAGE + 1, 2 * PAGE + 1))
    desk.log.first = desk.log.head + 1
    listener.fall_behind()
    assert await desk.all_sent(listener) == []
    assert listener.closing is None
