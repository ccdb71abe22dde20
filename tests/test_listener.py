"""A listener: whatever it is offered, it gives out its stream in the log's order, each event once, or ends."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from hub.live.close_codes import CloseCode
from hub.live.listener import MOST_HELD, Closing, Listener
from hub.live.notices import Notice, Run
from hub.model import Stream

LOUD = (1, 2, 5, 6, 7, 10, 11, 14)
"""The events that notify: the others are carried by `history` alone."""


def a_notice(sequence: int) -> Notice:
    return Notice("a user", sequence, "open.recorded", sequence in LOUD, b"%010d" % sequence)


def a_run(first: int, last: int | None = None) -> Run:
    return Run([a_notice(sequence) for sequence in range(first, (last or first) + 1)])


def a_listener(stream: Stream = "history", max_bytes: int = 1000, at: int = 0) -> Listener:
    """A listener that has read its log up to `at`."""
    listener = Listener("a user", stream, "token:1", max_bytes)
    listener.caught_up(at)
    return listener


def taken(listener: Listener) -> list[int]:
    return [notice.sequence for notice in listener.take()]


class Client:
    """Takes what a listener sends: written at once while it is fast, or else when it comes to read."""

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self.frames = b""
        self.is_fast = True
        listener.write = self.write

    def write(self, frames: bytes) -> bool:
        if self.is_fast:
            self.frames += frames
        return self.is_fast

    def read(self) -> None:
        self.frames += b"".join(notice.frame for notice in self.listener.take())


STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["live", "decision"]), st.integers(1, 12), st.integers(0, 3)),
        st.tuples(
            st.sampled_from(["lost", "behind", "ask", "page", "end", "read", "fast", "slow"]),
            *(st.integers(1, 4), st.just(0)),
        ),
    ),
    max_size=30,
)


def frames(stream: Stream, after: int, position: int) -> bytes:
    """What a client is to get of the log between these two places."""
    numbers = range(after + 1, position + 1)
    return b"".join(a_notice(n).frame for n in numbers if stream == "history" or n in LOUD)


@settings(max_examples=150)
@given(st.sampled_from(["history", "notifications"]), st.integers(0, 4), STEPS)
def test_every_event_after_its_position_comes_once_and_in_order_or_the_listener_is_behind(
    stream: Stream, start: int, steps: Sequence[tuple[str, int, int]]
) -> None:
    """`committed` is where the log ends, and `asked` where it ended as it was last asked; events come meanwhile."""
    listener = Listener("a user", stream, "token:1", 10_000)
    client = Client(listener)
    listener.position = committed = offered = start
    asked: int | None = None
    for step, number, more in steps:
        if step in ("live", "decision"):
            offered = max(offered, number + more)
            committed = max(committed, offered)
            run = a_run(number, number + more)
            listener.offer(run if step == "live" else Run([replace(each, decides=True) for each in run.notices]))
        elif step == "lost":
            committed += number
        elif step == "behind":
            listener.fall_behind()
            asked = None
        elif step == "ask" and listener.behind:
            asked = committed
        elif step in ("page", "end") and listener.behind and asked is not None:
            until = min(listener.position + number, asked) if step == "page" else asked
            listener.replay(map(a_notice, range(listener.position + 1, until + 1)))
            if step == "end":
                listener.caught_up(asked)
                asked = None
        elif step == "read":
            client.read()
        elif step in ("fast", "slow"):
            client.is_fast = step == "fast"
        assert client.frames == frames(stream, start, listener.position)[: len(client.frames)]
        assert listener.behind or listener.position >= offered
    client.read()
    assert client.frames == frames(stream, start, listener.position)
    listener.fall_behind()
    listener.replay(map(a_notice, range(listener.position + 1, committed + 1)))
    listener.caught_up(committed)
    client.read()
    assert (listener.position, listener.has_work) == (committed, False)
    assert client.frames == frames(stream, start, committed)


@pytest.mark.parametrize(
    ("run", "sent", "position", "behind", "is_old"),
    [
        (a_run(6), [6], 6, False, False),
        (a_run(6, 8), [6, 7, 8], 8, False, False),
        (a_run(5), [], 5, False, True),
        (a_run(1, 4), [], 5, False, True),
        (a_run(4, 7), [6, 7], 7, False, True),
        (a_run(7), [], 5, True, False),
        (a_run(7, 9), [], 5, True, False),
    ],
)
def test_offer_takes_what_is_next_leaves_out_what_is_old_and_falls_behind_at_a_gap(
    run: Run, sent: list[int], position: int, behind: bool, is_old: bool
) -> None:
    listener = a_listener(at=5)
    assert listener.offer(run) is is_old
    assert (taken(listener), listener.position, listener.behind) == (sent, position, behind)


def test_run_after_a_gap_is_held_and_sent_once_the_log_is_read() -> None:
    listener = a_listener(at=5)
    listener.offer(a_run(8, 9))
    assert not listener.offer(a_run(5)), "who is behind cannot tell what is old"
    listener.offer(a_run(10))
    assert taken(listener) == []
    listener.replay([a_notice(6), a_notice(7), a_notice(8)])
    assert (taken(listener), listener.behind) == ([6, 7, 8], True)
    listener.caught_up(8)
    assert (taken(listener), listener.position, listener.behind) == ([9, 10], 10, False)


def test_caught_up_short_of_what_came_live_is_behind_again() -> None:
    listener = Listener("a user", "history", "token:1", 1000)
    listener.offer(a_run(3))
    listener.caught_up(1)
    assert (taken(listener), listener.position, listener.behind) == ([], 1, True)
    listener.replay([a_notice(2), a_notice(3)])
    listener.caught_up(3)
    assert (taken(listener), listener.position, listener.behind) == ([2, 3], 3, False)


def test_position_never_goes_back() -> None:
    listener = a_listener(at=5)
    listener.fall_behind()
    listener.caught_up(3)
    assert listener.position == 5


@pytest.mark.parametrize(("stream", "waiting"), [("history", 3), ("notifications", 1)])
def test_stream_moves_on_over_what_it_does_not_carry_and_only_the_rest_waits(stream: Stream, waiting: int) -> None:
    listener = a_listener(stream, at=2)
    listener.offer(a_run(3, 5))
    assert (listener.position, listener.queued_bytes) == (5, waiting * 10)
    assert taken(listener)[-1:] == [5]
    assert listener.queued_bytes == 0


def test_what_is_taken_counts_as_waiting_until_it_is_given_out() -> None:
    listener = a_listener(max_bytes=30)
    listener.offer(a_run(1, 3))
    given = listener.take()
    assert [(next(given).sequence, listener.queued_bytes) for _ in range(2)] == [(1, 20), (2, 10)]
    listener.offer(a_run(4, 6))
    assert listener.queued_bytes == 40
    listener.offer(a_run(7))
    assert (listener.closing is not None, listener.queued_bytes, list(given)) == (True, 0, [])


def test_live_events_over_the_bound_close_the_listener_and_let_go_of_what_waits() -> None:
    listener = a_listener(max_bytes=30)
    for first in (1, 4, 7):
        assert taken(listener) == list(range(max(1, first - 3), first)), "what is taken takes no room"
        listener.offer(a_run(first, first + 2))
        assert listener.closing is None
    listener.offer(a_run(10))
    assert listener.closing == Closing(CloseCode.TOO_SLOW, "too slow: come back and resume")
    assert not listener.offer(a_run(1)), "nothing is told to who ends"
    assert (taken(listener), listener.has_work) == ([], True)


def test_pages_of_the_log_have_no_bound_and_do_not_count_for_what_comes_live() -> None:
    listener = a_listener(max_bytes=30)
    listener.fall_behind()
    listener.replay(map(a_notice, range(1, 10)))
    listener.caught_up(9)
    listener.offer(a_run(10, 12))
    assert (listener.closing, listener.queued_bytes) == (None, 120)
    assert taken(listener) == list(range(1, 13))


def test_oldest_of_too_many_held_goes_and_makes_a_gap_to_read_from_the_log() -> None:
    listener = a_listener(max_bytes=1 << 20)
    listener.fall_behind()
    for sequence in range(1, MOST_HELD + 3):
        listener.offer(a_run(sequence))
    listener.caught_up(0)
    assert (taken(listener), listener.behind) == ([], True)
    listener.replay(map(a_notice, (1, 2, 3)))
    listener.caught_up(3)
    assert (taken(listener), listener.behind) == (list(range(1, MOST_HELD + 3)), False)


def test_events_held_are_bounded_in_bytes_and_none_of_them_is_missed() -> None:
    listener = a_listener(max_bytes=35)
    listener.fall_behind()
    for sequence in range(1, 9):
        listener.offer(a_run(sequence))
    listener.caught_up(0)
    assert (taken(listener), listener.behind, listener.closing) == ([], True, None)
    listener.replay(map(a_notice, range(1, 7)))
    listener.caught_up(6)
    assert (taken(listener), listener.behind, listener.closing) == (list(range(1, 9)), False, None)


def test_event_that_alone_is_over_the_bound_still_shows_the_gap_before_it() -> None:
    listener = a_listener(max_bytes=5)
    listener.fall_behind()
    listener.offer(a_run(1, 3))
    listener.caught_up(1)
    assert (taken(listener), listener.behind) == ([], True)


def test_event_is_written_at_once_and_nobody_is_woken() -> None:
    listener, woken = a_listener(), []
    client = Client(listener)
    listener.on_work = lambda: woken.append(listener.position)
    listener.offer(a_run(1, 2))
    assert (client.frames, listener.position, woken) == (a_run(1, 2).frames("history"), 2, [])
    client.is_fast = False
    listener.offer(a_run(3))
    assert (woken, listener.queued_bytes) == ([3], 10)


def test_event_does_not_overtake_one_that_waits_though_it_could_be_written_at_once() -> None:
    listener = a_listener()
    client = Client(listener)
    client.is_fast = False
    listener.offer(a_run(1))
    client.is_fast = True
    listener.offer(a_run(2))
    assert (client.frames, taken(listener)) == (b"", [1, 2])


def test_event_is_not_written_at_once_after_a_gap_or_while_the_log_is_to_be_read() -> None:
    listener = a_listener()
    client = Client(listener)
    listener.offer(a_run(3))
    assert (client.frames, listener.position, listener.behind) == (b"", 0, True)
    listener.offer(a_run(1))
    assert (client.frames, listener.position) == (b"", 0)


def test_first_end_of_a_listener_is_the_one_that_is_told() -> None:
    listener, woken = a_listener(), []
    listener.on_work = lambda: woken.append(listener.closing)
    first = Closing(CloseCode.NOT_AUTHENTICATED, "revoked")
    listener.close(first.code, first.reason)
    listener.close(CloseCode.GOING_DOWN, "going down")
    assert (listener.closing, woken) == (first, [first, first])


async def test_wait_is_over_at_once_with_work_and_otherwise_with_its_time() -> None:
    listener = Listener("a user", "history", "token:1", 1000)
    assert await listener.wait(0), "its log is to be read first"
    listener.caught_up(0)
    assert not await listener.wait(0)
    assert not await listener.wait(0.001)


@pytest.mark.parametrize("what", ["event", "gap", "end"])
async def test_wait_is_ended_by_whatever_there_is_to_do(what: str) -> None:
    listener = a_listener("notifications", at=2)
    waiting = asyncio.create_task(listener.wait(30))
    await asyncio.sleep(0)
    listener.offer(a_run(3))
    await asyncio.sleep(0)
    assert not waiting.done(), "its stream does not carry that one"
    if what == "end":
        listener.close(CloseCode.GOING_DOWN, "going down")
    else:
        listener.offer(a_run(4, 5) if what == "event" else a_run(7))
    async with asyncio.timeout(5):
        assert await waiting
