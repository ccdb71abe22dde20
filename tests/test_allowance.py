"""How many frames a client may send: a burst, and then a steady number a second."""

from __future__ import annotations

from hub.live.allowance import FRAMES_AT_ONCE, FRAMES_PER_SECOND, Allowance


def test_burst_is_allowed_and_not_one_frame_more() -> None:
    allowance = Allowance(5.0)
    assert allowance.take(FRAMES_AT_ONCE, 5.0)
    assert not allowance.take(1, 5.0)


def test_frames_beyond_the_allowance_are_all_refused_and_spend_nothing() -> None:
    allowance = Allowance(5.0)
    assert not allowance.take(FRAMES_AT_ONCE + 1, 5.0)
    assert allowance.take(FRAMES_AT_ONCE, 5.0)


def test_allowance_grows_with_time_up_to_a_burst() -> None:
    allowance = Allowance(0.0)
    assert allowance.take(FRAMES_AT_ONCE, 0.0)
    assert not allowance.take(FRAMES_PER_SECOND + 1, 1.0)
    assert allowance.take(FRAMES_PER_SECOND, 1.0)
    assert not allowance.take(FRAMES_AT_ONCE + 1, 1000.0)
    assert allowance.take(FRAMES_AT_ONCE, 1000.0)


def test_pace_that_is_twice_as_fast_is_refused_once_the_burst_is_used_up() -> None:
    allowance = Allowance(0.0)
    seconds = FRAMES_AT_ONCE // FRAMES_PER_SECOND
    taken = [allowance.take(2 * FRAMES_PER_SECOND, float(second)) for second in range(1, 3 * seconds)]
    assert taken[: seconds - 1] == [True] * (seconds - 1)
    assert taken.count(False) >= seconds - 1
