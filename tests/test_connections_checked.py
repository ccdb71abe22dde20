"""The check of the log: a listener that lacks events reads them there, and the check says whether there was one.

Neither minds a database that is away.
"""

from __future__ import annotations

import asyncio

import pytest

from hub.live.close_codes import CloseCode
from hub.store.away import DatabaseAway
from tests.test_connections import Desk, Log, a_notice


async def test_check_finds_a_listener_that_lacks_events() -> None:
    desk = Desk(Log(head=3))
    listener = await desk.started()
    assert not await desk.connections.check()
    assert not listener.behind
    desk.log.head = 4
    assert await desk.connections.check()
    assert not await desk.connections.check(), "the listener is about to read the log"
    assert await desk.all_sent(listener) == [4]
    assert not await desk.connections.check()


async def test_check_says_that_a_listener_lacks_an_event_while_another_is_behind() -> None:
    desk = Desk(Log(head=3))
    await desk.started()
    desk.connections.add("another", "history", "token:2")
    desk.log.head = 4
    assert await desk.connections.check()


async def test_check_gives_an_event_just_committed_the_time_to_come() -> None:
    desk = Desk(Log(head=4))
    listener = desk.listener()
    listener.caught_up(3)
    check = asyncio.create_task(desk.connections.check(0.001))
    await asyncio.sleep(0)
    desk.deliver(a_notice(4))
    assert not await check
    assert not listener.behind


async def test_check_leaves_out_listeners_that_left_meanwhile() -> None:
    desk = Desk(Log(head=4))
    closed, gone = desk.listener(), desk.listener()
    for listener in (closed, gone):
        listener.caught_up(3)
    closed.close(CloseCode.TOO_SLOW, "too slow")
    check = asyncio.create_task(desk.connections.check(0.001))
    await asyncio.sleep(0)
    desk.connections.remove(gone)
    assert not await check


async def test_check_of_a_database_that_is_away_does_nothing() -> None:
    desk = Desk(Log(head=3))
    listener = await desk.started()
    desk.log.is_away = True
    assert not await desk.connections.check()
    assert not listener.behind


async def test_listener_that_is_behind_waits_a_while_for_a_database_that_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hub.live.connections.RETRY_SECONDS", 0.01)
    desk = Desk(Log(head=3))
    listener = await desk.started()
    listener.fall_behind()
    desk.log.head = 4

    async def away(_user_id: str) -> None:
        raise DatabaseAway("gone")

    loop = asyncio.get_running_loop()
    began = loop.time()
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(desk.log, "get", away)
        await desk.connections.catch_up(listener)
    assert loop.time() >= began + 0.01
    assert listener.behind
    assert await desk.all_sent(listener) == [4]
