"""Attempts at a password: how often a key (an account, an address) may be tried before it has to wait.

Promise: guessing is slow, even when many guesses come at once. The count of several processes is in `shared_attempts`.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from hub.api.problems import Problem
from hub.model import Clock

WINDOW_SECONDS = 300
MOST_KEPT = 10_000
"""Accounts and addresses whose attempts one process remembers: some megabytes, however many are guessed at."""


class Attempts(Protocol):
    """Counts attempts by key over five minutes."""

    async def begin(self, key: str, most: int) -> int:
        """Count an attempt at `key`, which allows `most`; returns 0, or the seconds to wait if it is refused."""

    async def succeeded(self, key: str) -> None:
        """Forget the attempts at `key`."""

    async def give_back(self, key: str) -> None:
        """Uncount one attempt at `key`: it was no guess."""


class LocalAttempts:
    """The count of one process, in a bounded memory."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._made: dict[str, list[int]] = {}

    async def begin(self, key: str, most: int) -> int:
        """As `Attempts.begin`."""
        now = self._clock()
        # If the clock was set back, an attempt may be dated later than now. Nobody has to wait for that time to come.
        recent = [min(at, now) for at in self._made.pop(key, ()) if at > now - WINDOW_SECONDS * 1000]
        # Put back last, so that a full memory drops the key that was not tried for longest.
        self._made[key] = recent
        if len(recent) >= most:
            return max(1, math.ceil((recent[-most] - now) / 1000 + WINDOW_SECONDS))
        recent.append(now)
        if len(self._made) > MOST_KEPT:
            self._made.pop(next(iter(self._made)))
        return 0

    async def succeeded(self, key: str) -> None:
        """As `Attempts.succeeded`."""
        self._made.pop(key, None)

    async def give_back(self, key: str) -> None:
        """As `Attempts.give_back`."""
        if made := self._made.get(key):
            made.pop()


@asynccontextmanager
async def given_back_if_refused(attempts: Attempts, *keys: str) -> AsyncIterator[None]:
    """Gives back one attempt at each of the keys if the block ends with a `Problem`: no password was tried."""
    try:
        yield
    except Problem:
        for key in keys:
            await attempts.give_back(key)
        raise


def too_many_attempts(wait: int) -> Problem:
    """The answer to somebody who has to wait, in seconds, before the next attempt."""
    text = f"Too many attempts with a wrong password; try again in {wait} s."
    return Problem(429, "too-many-attempts", text, headers={"retry-after": str(wait)})
