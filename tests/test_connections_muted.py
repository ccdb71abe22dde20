"""Connections as the sender mutes: what was made before that, and is not sent yet, is told as it is now."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import pytest
from msgspec.structs import replace

from hub.live.listener import Listener
from hub.live.log_pages import PAGE
from hub.live.notices import Notice
from hub.model import Event
from hub.store.away import DatabaseAway
from tests.test_connections import ME, Desk, Log, a_notice


def decide(desk: Desk) -> None:
    """The sender mutes all that the log has."""
    desk.log.quiet = frozenset(range(1, desk.log.head + 1))
    desk.log.head += 1
    desk.deliver(Notice(ME, desk.log.head, "messages.muted", True, b"x", decides=True))


def once(act: Callable[[], None]) -> Callable[[], None]:
    """`act` at the first call; nothing at the others."""
    acts = [act]
    return lambda: acts.pop()() if acts else None


def come(desk: Desk, number: int) -> None:
    """So many opens are told at once."""
    first, desk.log.head = desk.log.head + 1, desk.log.head + number
    desk.deliver(*(a_notice(sequence) for sequence in range(first, desk.log.head + 1)))


async def test_opens_that_wait_are_not_announced_once_they_are_muted() -> None:
    desk = Desk()
    listener, all_told = await desk.started(stream="notifications"), await desk.started(stream="history")
    come(desk, 5)
    decide(desk)
    assert listener.queued_bytes == 0
    assert await desk.all_sent(listener) == [6]
    assert await desk.all_sent(all_told) == [1, 2, 3, 4, 5, 6]
    come(desk, 1)
    assert await desk.all_sent(listener) == [7]


async def test_open_that_is_next_is_not_announced_once_it_is_muted() -> None:
    desk = Desk()
    listener = await desk.started(stream="notifications")
    come(desk, 3)
    sent = []
    for notice in listener.take():
        sent.append(notice.sequence)
        if notice.sequence == 2:
            decide(desk)
            come(desk, 1)
    assert sent == [1, 2]
    assert await desk.all_sent(listener) == [4, 5]


async def muted_after(desk: Desk, listener: Listener, sent: int) -> list[int]:
    """What a client gets in all if the sender mutes after it had so many."""
    got = []
    while listener.has_work:
        if listener.behind:
            await desk.connections.catch_up(listener)
        for notice in listener.take():
            got.append(notice.sequence)
            if len(got) == sent:
                decide(desk)
    return got


@pytest.mark.parametrize("sent", [1, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE])
async def test_opens_that_are_replayed_are_not_announced_once_they_are_muted(sent: int) -> None:
    head = 2 * PAGE + 3
    desk = Desk(Log(head=head))
    listener = await desk.started(after=0, stream="notifications")
    assert await muted_after(desk, listener, sent) == [*range(1, sent + 1), head + 1]


@dataclass
class SlowLog(Log):
    """A log of which something happens between the reading of a page and its arrival."""

    arriving: Callable[[], None] = lambda: None

    async def after(self, user_id: str, sequence: int, limit: int) -> list[Event]:
        page = await super().after(user_id, sequence, limit)
        self.arriving()
        return page


@pytest.mark.parametrize("first", [True, False], ids=["as it begins", "later"])
async def test_page_that_was_read_before_its_opens_were_muted_announces_none_of_them(first: bool) -> None:
    log = SlowLog(head=2 * PAGE)
    desk = Desk(log)
    if first:
        log.arriving = once(lambda: decide(desk))
    listener = desk.listener("notifications")
    assert await desk.connections.start(listener, log.user(), after=0)
    had = [notice.sequence for notice in listener.take()]
    assert had == ([] if first else list(range(1, PAGE + 1)))
    if not first:
        log.arriving = once(lambda: decide(desk))
    assert await desk.all_sent(listener) == [2 * PAGE + 1]


async def test_page_that_is_read_as_what_waits_before_it_is_muted_leaves_nothing_out() -> None:
    """Both are let go: the log is read from the first that was not sent."""
    desk = Desk()
    listener = await desk.started(stream="history")
    come(desk, 2)
    desk.log.head += 1
    listener.fall_behind()
    desk.log.meanwhile = once(lambda: decide(desk))
    assert await desk.all_sent(listener) == [1, 2, 3, 4]


async def test_decision_that_comes_again_is_none() -> None:
    desk = Desk(Log(head=3))
    listener = await desk.started(stream="history")
    come(desk, 2)
    desk.deliver(replace(a_notice(2), decides=True))
    assert not listener.behind
    assert [notice.sequence for notice in listener.take()] == [4, 5]


async def test_decision_is_written_at_once_where_nothing_waits() -> None:
    desk = Desk(Log(head=3))
    listener = await desk.started(stream="history")
    written: list[bytes] = []
    listener.write = lambda frames: written.append(frames) or True  # type: ignore[func-returns-value]
    decide(desk)
    assert len(written) == 1
    assert not listener.has_work


async def test_what_was_let_go_is_read_once_the_database_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub.live.connections.RETRY_SECONDS", 0)
    desk = Desk()
    listener = await desk.started(stream="notifications")
    come(desk, 2)

    def gone() -> None:
        raise DatabaseAway("gone")

    cast(Any, desk.log).meanwhile = once(gone)
    decide(desk)
    assert await desk.all_sent(listener) == [3]
