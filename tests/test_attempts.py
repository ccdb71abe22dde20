"""Log-in attempts: how often a key may be tried on one process."""

from __future__ import annotations

from hub.api.attempts import MOST_KEPT, WINDOW_SECONDS, Attempts, LocalAttempts
from tests.factories import ManualClock


async def test_attempts_that_are_allowed_pass_and_the_next_waits() -> None:
    clock = ManualClock()
    attempts = LocalAttempts(clock)
    for _ in range(3):
        assert await attempts.begin("a", 3) == 0
        clock.at += 1000
    assert await attempts.begin("a", 3) == WINDOW_SECONDS - 3
    assert await attempts.begin("b", 3) == 0


async def test_wait_ends_when_it_said_and_a_refused_attempt_does_not_lengthen_it() -> None:
    clock = ManualClock()
    attempts = LocalAttempts(clock)
    await attempts.begin("a", 1)
    wait = await attempts.begin("a", 1)
    clock.at += wait * 1000 - 1
    assert await attempts.begin("a", 1) == 1
    clock.at += 1
    assert await attempts.begin("a", 1) == 0


async def test_nobody_waits_longer_because_the_clock_was_set_back() -> None:
    clock = ManualClock()
    attempts = LocalAttempts(clock)
    assert await attempts.begin("a", 1) == 0
    clock.at -= 3_600_000
    assert await attempts.begin("a", 1) == WINDOW_SECONDS
    clock.at += WINDOW_SECONDS * 1000 - 1
    assert await attempts.begin("a", 1) == 1
    clock.at += 1
    assert await attempts.begin("a", 1) == 0


async def test_success_clears_the_count_of_attempts() -> None:
    attempts = LocalAttempts(ManualClock())
    await attempts.begin("a", 1)
    await attempts.succeeded("a")
    await attempts.succeeded("never tried")
    assert await attempts.begin("a", 1) == 0


async def test_memory_of_attempts_is_bounded_and_keeps_the_keys_tried_last() -> None:
    attempts = LocalAttempts(ManualClock())
    await attempts.begin("guessed", 2)
    for number in range(MOST_KEPT - 1):
        await attempts.begin(str(number), 1)
    await attempts.begin("guessed", 2)
    await attempts.begin("one more", 1)
    assert len(attempts._made) == MOST_KEPT
    assert await attempts.begin("guessed", 2) > 0
    assert await attempts.begin("0", 1) == 0


async def test_attempt_given_back_to_one_process_is_not_counted() -> None:
    await check_attempts_given_back(LocalAttempts(ManualClock()))


async def check_attempts_given_back(attempts: Attempts) -> None:
    """Check that attempts given back do not count."""
    await attempts.give_back("never tried")
    assert await attempts.begin("a", 2) == 0
    for _ in range(5):
        assert await attempts.begin("a", 2) == 0
        await attempts.give_back("a")
    assert await attempts.begin("a", 2) == 0
    assert await attempts.begin("a", 2) > 0
