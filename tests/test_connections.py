"""Connections: each listener gets its stream once and in order, whatever comes live, late, twice or not at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from hub.live.close_codes import CloseCode
from hub.live.connections import MOST_REPLAYED, Connections, TooManyListeners
from hub.live.listener import MOST_HELD, Listener
from hub.live.log_pages import PAGE, LogPages
from hub.live.notices import Item, Notice, Revoked
from hub.model import Event, Settings, Stream, User
from hub.store.away import DatabaseAway

ME = "06d80000000000000000000004"


def a_notice(sequence: int, notified: bool = True, size: int = 10, user_id: str = ME) -> Notice:
    return Notice(user_id, sequence, "open.recorded", notified, b"x" * size)


@dataclass
class Log:
    """A user's log, in place of the stores."""

    head: int = 0
    first: int = 1
    quiet: frozenset[int] = frozenset()
    reads: int = 0
    is_away: bool = False
    meanwhile: Callable[[], None] = lambda: None
    revoked: set[str] = field(default_factory=set)

    def user(self) -> User:
        return User(ME, "sender@example.com", "A Sender", "user", Settings(), self.head, 0)

    async def get(self, _user_id: str) -> User | None:
        return self.user()

    async def heads(self, user_ids: Sequence[str]) -> dict[str, int]:
        if self.is_away:
            raise DatabaseAway("gone")
        return dict.fromkeys(user_ids, self.head)

    async def valid(self, keys: Sequence[str], _at: int) -> set[str]:
        return set(keys) - self.revoked

    async def after(self, user_id: str, sequence: int, limit: int) -> list[Event]:
        self.reads += 1
        self.meanwhile()
        numbers = range(max(sequence + 1, self.first), self.head + 1)[:limit]
        self.meanwhile()
        return [Event(user_id, n, "open.recorded", 0, notified=n not in self.quiet) for n in numbers]

    def event(self, _event: Event, _settings: Settings, _base_url: str | None) -> bytes:
        return b"x"


@dataclass
class Desk:
    """Connections on a log."""

    log: Log = field(default_factory=Log)
    max_per_user: int = 20
    max_bytes: int = 1 << 20
    delivered: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        log = cast(Any, self.log)
        self.connections = Connections(
            *(log, log, LogPages(log, log)),
            max_per_user=self.max_per_user,
            max_bytes=self.max_bytes,
            clock=lambda: 5000,
            on_delivered=self.delivered.append,
        )

    def listener(self, stream: Stream = "history", credential: str = "token:1") -> Listener:
        return self.connections.add(ME, stream, credential)

    async def started(self, after: int | None = None, stream: Stream = "history") -> Listener:
        listener = self.listener(stream)
        await self.connections.start(listener, self.log.user(), after)
        return listener

    async def all_sent(self, listener: Listener) -> list[int]:
        """Do what a socket does until there is nothing left to send. Returns the sequences that it sends."""
        sent = []
        while listener.closing is None and await listener.wait(0):
            if listener.behind:
                await self.connections.catch_up(listener)
            sent += [notice.sequence for notice in listener.take()]
        return sent

    def deliver(self, *items: Item) -> None:
        self.connections.deliver(items)


async def test_live_event_is_written_at_once_while_nothing_waits_before_it() -> None:
    desk = Desk(Log(head=7))
    listener = await desk.started()
    written: list[bytes] = []
    fast = True

    def write(frames: bytes) -> bool:
        if fast:
            written.append(frames)
        return fast

    listener.write = write
    desk.deliver(a_notice(8), a_notice(9))
    fast = False
    desk.deliver(a_notice(10))
    fast = True
    desk.deliver(a_notice(11))
    together = a_notice(8).frame + a_notice(9).frame
    assert written == [together], "nothing overtakes what has to wait"
    assert await desk.all_sent(listener) == [10, 11]
    desk.deliver(a_notice(12), a_notice(14))
    desk.deliver(a_notice(13))
    assert (written, listener.behind) == ([together, a_notice(12).frame], True)


async def test_event_that_a_stream_does_not_carry_is_not_written_and_not_missed() -> None:
    desk = Desk(Log(head=7))
    listener, history = await desk.started(stream="notifications"), await desk.started()
    heard: dict[Stream, list[bytes]] = {"notifications": [], "history": []}

    def write(stream: Stream, frames: bytes) -> bool:
        heard[stream].append(frames)
        return True

    for each in (listener, history):
        each.write = partial(write, each.stream)
    silent, loud = a_notice(8, notified=False), a_notice(9)
    desk.deliver(silent)
    desk.deliver(a_notice(9), a_notice(10, notified=False))
    assert heard["notifications"] == [loud.frame]
    rest = loud.frame + a_notice(10, notified=False).frame
    assert heard["history"] == [silent.frame, rest]
    assert (listener.position, history.position) == (10, 10)


async def test_listener_from_now_on_gets_what_comes_live() -> None:
    desk = Desk(Log(head=7))
    listener = await desk.started()
    desk.deliver(a_notice(8), a_notice(9))
    assert await desk.all_sent(listener) == [8, 9]
    assert desk.log.reads == 0


async def test_listener_does_not_get_events_that_it_has() -> None:
    desk = Desk(Log(head=7))
    listener = await desk.started()
    desk.deliver(a_notice(6), a_notice(7), a_notice(8), a_notice(8))
    assert await desk.all_sent(listener) == [8]


async def test_live_events_wait_until_the_log_is_read() -> None:
    desk = Desk(Log(head=8))
    listener = desk.listener()
    desk.deliver(a_notice(8))
    assert list(listener.take()) == []
    # The log that is now read has the 8th event, too, but not the 9th.
    desk.deliver(a_notice(9))
    await desk.connections.start(listener, desk.log.user(), after=4)
    assert await desk.all_sent(listener) == [5, 6, 7, 8, 9]


async def test_gap_is_read_from_the_log() -> None:
    desk = Desk(Log(head=7))
    listener = await desk.started()
    desk.log.head = 10
    desk.deliver(a_notice(10))
    assert await desk.all_sent(listener) == [8, 9, 10]
    desk.deliver(a_notice(11))
    assert await desk.all_sent(listener) == [11]


@pytest.mark.parametrize(
    ("missed", "read"), [(1, 1), (PAGE - 1, 1), (PAGE, 1), (PAGE, 2), (PAGE + 1, 1), (PAGE + 1, 2), (PAGE * 2, 3)]
)
async def test_events_that_come_while_a_page_of_the_log_is_read_come_once(missed: int, read: int) -> None:
    desk = Desk(Log(head=missed))

    def arrive() -> None:
        if desk.log.reads == read:
            desk.log.head += 1
            desk.deliver(a_notice(desk.log.head))

    desk.log.meanwhile = arrive
    listener = await desk.started(after=0)
    assert await desk.all_sent(listener) == list(range(1, missed + 3))


async def test_stream_leaves_out_events_that_do_not_notify_and_moves_on() -> None:
    desk = Desk(Log(head=3, quiet=frozenset({2})))
    listener = await desk.started(after=0, stream="notifications")
    desk.deliver(a_notice(4, notified=False), a_notice(5))
    assert await desk.all_sent(listener) == [1, 3, 5]
    desk.deliver(a_notice(6, notified=False))
    assert await desk.all_sent(listener) == []
    assert listener.position == 6
    desk.deliver(a_notice(7))
    assert await desk.all_sent(listener) == [7]


async def test_long_log_is_read_in_pages() -> None:
    desk = Desk(Log(head=PAGE * 2))
    listener = await desk.started(after=0)
    assert await desk.all_sent(listener) == list(range(1, PAGE * 2 + 1))
    assert desk.log.reads == 3


@settings(max_examples=300)
@given(
    before=st.integers(0, 5),
    after=st.one_of(st.none(), st.integers(0, 5)),
    steps=st.lists(st.sampled_from(["live", "lost", "late", "twice", "read", "resync", "check"]), max_size=40),
)
async def test_listener_gets_everything_once_and_in_order_whatever_the_bus_does(
    before: int, after: int | None, steps: list[str]
) -> None:
    after = None if after is None else min(after, before)
    desk = Desk(Log(head=before))
    listener = await desk.started(after)
    start, sent, withheld = before if after is None else after, [], []
    for step in steps:
        if step in ("live", "lost", "late", "twice"):
            desk.log.head += 1
            notice = a_notice(desk.log.head)
            if step == "late":
                withheld.append(notice)
            elif step != "lost":
                desk.deliver(*[notice] * (2 if step == "twice" else 1))
        elif step == "read":
            if listener.behind:
                await desk.connections.catch_up(listener)
            sent += [each.sequence for each in listener.take()]
        elif step == "resync":
            desk.connections.resync()
        else:
            await desk.connections.check()
            desk.deliver(*withheld)
            withheld.clear()
    desk.connections.resync()
    sent += await desk.all_sent(listener)
    assert sent == list(range(start + 1, desk.log.head + 1))


@pytest.mark.parametrize(
    ("head", "first", "after", "recovered", "position"),
    [
        (0, 1, 0, True, 0),
        (0, 1, None, True, 0),
        (5, 1, None, True, 5),
        (5, 1, 0, True, 0),
        (5, 1, 5, True, 5),
        (5, 1, 6, False, 5),
        (5, 3, 2, True, 2),
        (5, 3, 1, False, 5),
        (5, 6, 4, False, 5),
        (5, 6, 5, True, 5),
        (MOST_REPLAYED, 1, 0, True, 0),
        (MOST_REPLAYED + 1, 1, 0, False, MOST_REPLAYED + 1),
        (0, 1, 1, False, 0),
    ],
)
async def test_start_recovers_what_the_log_still_has(
    head: int, first: int, after: int | None, recovered: bool, position: int
) -> None:
    desk = Desk(Log(head=head, first=first))
    listener = desk.listener()
    assert await desk.connections.start(listener, desk.log.user(), after) is recovered
    assert desk.log.reads == 0 or after not in (None, head), "nothing is read for who has all"
    assert await desk.all_sent(listener) == list(range(position + 1, head + 1))
    assert (listener.position, listener.behind) == (head, False)


async def test_listener_with_too_much_waiting_is_closed_and_lets_go_of_it_all() -> None:
    desk = Desk(max_bytes=25)
    listener = await desk.started()
    desk.deliver(a_notice(1), a_notice(2))
    assert (listener.closing, listener.queued_bytes, desk.connections.queued_bytes) == (None, 20, 20)
    desk.deliver(a_notice(3))
    assert listener.closing is not None
    assert listener.closing.code == CloseCode.TOO_SLOW
    assert desk.connections.queued_bytes == 0, "though whoever sends for it may still wait for its client"
    assert list(listener.take()) == []
    desk.deliver(a_notice(4))
    assert listener.queued_bytes == 0


async def test_event_that_a_stream_does_not_carry_takes_no_room() -> None:
    desk = Desk(max_bytes=100)
    listener = await desk.started(stream="notifications")
    desk.deliver(*(a_notice(n, notified=n == 5, size=60) for n in range(1, 6)))
    assert listener.closing is None
    assert await desk.all_sent(listener) == [5]


async def test_event_that_was_taken_takes_no_room() -> None:
    desk = Desk(max_bytes=25)
    listener = await desk.started()
    for sequence in range(1, 10):
        desk.deliver(a_notice(sequence))
        assert [notice.sequence for notice in listener.take()] == [sequence]
    assert listener.closing is None


async def test_live_events_of_a_listener_that_never_reads_its_log_are_bounded() -> None:
    desk = Desk()
    listener = await desk.started()
    listener.fall_behind()
    for sequence in range(1, MOST_HELD * 2):
        desk.log.head = sequence
        desk.deliver(a_notice(sequence))
    assert len(listener._held) == MOST_HELD
    assert await desk.all_sent(listener) == list(range(1, MOST_HELD * 2))


async def test_newest_of_too_many_events_to_hold_is_not_forgotten() -> None:
    desk = Desk(Log(head=1))
    calls = []

    def arrive() -> None:
        calls.append(desk.log.reads)
        # After the page was read.
        if len(calls) == 2:
            for _ in range(MOST_HELD + 1):
                desk.log.head += 1
                desk.deliver(a_notice(desk.log.head))

    desk.log.meanwhile = arrive
    listener = await desk.started(after=0)
    assert await desk.all_sent(listener) == list(range(1, MOST_HELD + 3))


async def test_listeners_of_a_user_are_limited_and_others_are_not() -> None:
    desk = Desk(max_per_user=2)
    first, _ = desk.listener(), desk.listener()
    with pytest.raises(TooManyListeners):
        desk.listener()
    desk.connections.add("another", "history", "token:2")
    assert len(desk.connections) == 3
    desk.connections.remove(first)
    desk.connections.remove(first)
    desk.listener()


async def test_user_is_known_while_somebody_listens() -> None:
    desk = Desk()
    assert not desk.connections.wants(ME)
    first, second = desk.listener(), desk.listener()
    for listener in (first, second):
        assert desk.connections.wants(ME)
        desk.connections.remove(listener)
    assert not desk.connections.wants(ME)


async def test_revoked_credential_closes_its_listeners_only() -> None:
    desk = Desk()
    ended, other = desk.listener(credential="token:1"), desk.listener(credential="session:1")
    desk.deliver(Revoked("token:1"), Revoked("token:unknown"))
    assert ended.closing is not None
    assert ended.closing.code == CloseCode.NOT_AUTHENTICATED
    assert other.closing is None


async def test_event_of_one_user_reaches_no_other() -> None:
    desk = Desk()
    listener = await desk.started()
    desk.deliver(a_notice(1, user_id="somebody else"))
    assert await desk.all_sent(listener) == []
    assert not listener.behind


async def test_seconds_since_its_commit_are_told_of_each_live_event() -> None:
    desk = Desk()
    await desk.started()
    desk.deliver(replace(a_notice(1), committed_at=3500), replace(a_notice(2), committed_at=4000))
    desk.deliver(replace(a_notice(1, user_id="06d80000000000000000000005"), committed_at=1))
    assert desk.delivered == [1.5, 1.0]


async def test_event_from_a_machine_whose_clock_is_ahead_took_no_time() -> None:
    desk = Desk()
    await desk.started()
    desk.deliver(replace(a_notice(1), committed_at=5007))
    assert desk.delivered == [0]
