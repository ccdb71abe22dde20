"""The policy: the whole truth table, and that the policy agrees with a history told act by act."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.model import COUNTABLE, EventType, Settings, Stream, Withheld
from hub.policy import as_told_now, is_muted, streamed, withheld
from tests.samples import a_message, an_event, an_open

MUTED = [
    # registered, mute-all, speaker, its sequence -> silent
    (5, 0, None, 0, False),
    (5, 0, True, 6, True),
    (5, 0, False, 6, False),
    (5, 3, None, 0, False),
    (5, 3, True, 6, True),
    (5, 3, False, 6, False),
    (5, 8, None, 0, True),
    (5, 8, True, 6, True),
    (5, 8, False, 6, True),
    (5, 8, True, 9, True),
    (5, 8, False, 9, False),
]
"""Every order of the three acts, by their sequence in the user's log; 0 is never. A message is registered
before its speaker is touched, and no two acts have the same sequence."""

WITHHELD: list[tuple[bool, bool, bool, Withheld | None]] = [
    # counted, real-time on, muted -> withheld
    (True, True, False, None),
    (True, True, True, "muted"),
    (True, False, False, "realtime_off"),
    (True, False, True, "realtime_off"),
    (False, True, False, "not_counted"),
    (False, True, True, "not_counted"),
    (False, False, False, "not_counted"),
    (False, False, True, "not_counted"),
]


@pytest.mark.parametrize(("registered", "muted_all", "speaker", "spoken", "silent"), MUTED)
def test_message_is_muted_by_the_later_of_mute_all_and_speaker(
    registered: int, muted_all: int, speaker: bool | None, spoken: int, silent: bool
) -> None:
    message = a_message(registered_sequence=registered, muted=speaker, muted_set_sequence=spoken)
    assert is_muted(message, Settings(muted_all_sequence=muted_all)) is silent


@pytest.mark.parametrize(
    ("counted", "realtime", "order", "expected"),
    [
        (counted, realtime, order, expected)
        for (counted, realtime, muted, expected), order in product(WITHHELD, MUTED)
        if order[-1] is muted
    ],
)
def test_open_is_withheld_for_the_first_reason_that_holds(
    counted: bool, realtime: bool, order: tuple[int, int, bool | None, int, bool], expected: Withheld | None
) -> None:
    registered, muted_all, speaker, spoken, _ = order
    message = a_message(registered_sequence=registered, muted=speaker, muted_set_sequence=spoken)
    settings = Settings(realtime_notifications=realtime, muted_all_sequence=muted_all)
    assert withheld(counted=counted, message=message, settings=settings) == expected


def test_clock_of_a_mute_all_decides_nothing() -> None:
    """Two acts within a millisecond, or on two machines, are in the order of the log."""
    message = a_message(registered_sequence=9, created_at=100)
    assert not is_muted(message, Settings(muted_all_at=200, muted_all_sequence=8))
    assert is_muted(message, Settings(muted_all_at=50, muted_all_sequence=10))


@given(st.lists(st.sampled_from(["mute all", "speaker off", "speaker on"]), max_size=8), st.integers(0, 8))
def test_history_of_any_kind_leaves_the_last_act_in_force(acts: list[str], registered_after: int) -> None:
    before, after = acts[:registered_after], acts[registered_after:]
    message = a_message(registered_sequence=len(before) + 1)
    muted_all = max((at for at, act in enumerate(before, 1) if act == "mute all"), default=0)
    silent = False
    for sequence, act in enumerate(after, message.registered_sequence + 1):
        if act == "mute all":
            muted_all = sequence
        else:
            message = a_message(
                registered_sequence=message.registered_sequence,
                muted=act == "speaker off",
                muted_set_sequence=sequence,
            )
        silent = act != "speaker on"
    assert is_muted(message, Settings(muted_all_sequence=muted_all)) is silent


def test_verdicts_that_count_are_those_of_people() -> None:
    assert {"human", "proxy"} == COUNTABLE


@pytest.mark.parametrize(
    ("settings", "counted", "expected"),
    [
        (Settings(), True, None),
        (Settings(realtime_notifications=False), True, "realtime_off"),
        (Settings(muted_all_sequence=9), True, "muted"),
        (Settings(), False, "not_counted"),
    ],
)
def test_event_replayed_notifies_only_if_it_still_would(
    settings: Settings, counted: bool, expected: Withheld | None
) -> None:
    event = as_told_now(an_event(open=an_open(counted=counted)), settings)
    assert event.withheld == expected
    assert event.notified is (expected is None)


def test_event_withheld_then_is_not_announced_late() -> None:
    event = an_event(notified=False, withheld="muted")
    assert as_told_now(event, Settings()) == event
    assert as_told_now(event, Settings(realtime_notifications=False)) == event


def test_event_withheld_then_says_so_if_its_open_does_not_count_any_more() -> None:
    event = an_event(notified=False, withheld="muted", open=an_open(counted=False))
    assert as_told_now(event, Settings(realtime_notifications=False)).withheld == "not_counted"


@pytest.mark.parametrize("kind", ["open.reclassified", "message.updated", "messages.muted", "settings.updated"])
def test_event_of_another_type_is_told_as_it_was(kind: EventType) -> None:
    event = an_event(type=kind)
    assert as_told_now(event, Settings(realtime_notifications=False, muted_all_sequence=9)) == event


@pytest.mark.parametrize("gone", [{"open": None}, {"message": None}])
def test_event_whose_open_or_message_is_gone_is_told_as_it_was(gone: dict[str, None]) -> None:
    event = an_event(**gone)
    assert as_told_now(event, Settings(realtime_notifications=False)) == event


@pytest.mark.parametrize(
    ("notified", "stream", "carried"),
    [
        (True, "notifications", True),
        (False, "notifications", False),
        (True, "history", True),
        (False, "history", True),
    ],
)
def test_stream_carries_what_it_is_for(notified: bool, stream: Stream, carried: bool) -> None:
    assert streamed(notified, stream) is carried
