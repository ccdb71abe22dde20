"""Notices: each form of an event is made once, and events that came together are written together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode

from hub.live.notices import RUN, Item, Notice, Revoked, runs, text_frame

EVENT = b'{"type":"open.recorded","sequence":"7"}'


def notice(sequence: int, user_id: str = "user-1", *, notified: bool = True) -> Notice:
    return Notice(user_id, sequence, "open.recorded", notified, EVENT)


def test_notice_is_framed_once_for_all_sockets() -> None:
    shown = notice(7)
    assert shown.payload == b'{"type":"event","event":' + EVENT + b"}"
    assert shown.sse == b"id: 7\nevent: open.recorded\ndata: " + EVENT + b"\n\n"
    assert shown.frame == text_frame(shown.payload)
    assert shown.frame is shown.frame
    assert shown.sse is shown.sse


@pytest.mark.parametrize("length", [0, 1, 125, 126, 127, 65_535, 65_536, 70_000])
def test_text_frame_is_as_the_protocol_has_it(length: int) -> None:
    payload = b"x" * length
    assert text_frame(payload) == Frame(Opcode.TEXT, payload).serialize(mask=False)


def test_run_has_for_each_stream_what_it_carries() -> None:
    [run] = runs([notice(1), notice(2, notified=False), notice(3)])
    assert run.frames("notifications") == notice(1).frame * 2
    assert run.frames("history") == notice(1).frame * 3
    assert run.frames("history") is run.frames("history")


def test_runs_end_at_a_gap_and_leave_out_what_is_no_event() -> None:
    items: list[Item] = [notice(1), notice(2), Revoked("token:a"), notice(3), notice(5)]
    assert [[each.sequence for each in run.notices] for run in runs(items)] == [[1, 2, 3], [5]]


def test_runs_are_bounded() -> None:
    many = [notice(sequence) for sequence in range(1, 2 * RUN + 2)]
    assert [len(run.notices) for run in runs(many)] == [RUN, RUN, 1]


@given(st.lists(st.sampled_from(["user-1", "user-2", "user-3"])))
def test_runs_carry_each_users_events_in_their_order(users: list[str]) -> None:
    items = [notice(1 + users[:place].count(user), user) for place, user in enumerate(users)]
    made = list(runs(items))
    assert all(len({each.user_id for each in run.notices}) == 1 for run in made)
    for user in set(users):
        assert [each for run in made for each in run.notices if each.user_id == user] == [
            each for each in items if each.user_id == user
        ]
