"""Attempts at a password: how often a key (an account, an address) may be tried before it has to wait.

Promise: guessing is slow, on one process and on many, even when many guesses come at once. With Redis the
processes share the count; while Redis is away each counts for itself, so that guessing stays limited.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from typing import Protocol

from redis.asyncio import Redis
from redis.exceptions import RedisError

from hub.api.problems import Problem
from hub.model import Clock

logger = logging.getLogger(__name__)

WINDOW_SECONDS = 300
MOST_KEPT = 10_000
"""Accounts and addresses whose attempts one process remembers: some megabytes, however many are guessed at."""

REDIS_SECONDS = 0.5
"""How long Redis may take before this process counts an attempt by itself: somebody is waiting to log in."""


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


class SharedAttempts:
    """The count of all processes, in Redis, under names that tell nobody whose they are."""

    def __init__(self, redis: Redis, local: LocalAttempts, pseudonym: Callable[[str], str]) -> None:
        """`pseudonym` gives a key another name, the same in each process; nobody else can tell whose it is."""
        self._redis = redis
        self._pseudonym = pseudonym
        self._local = local

    async def begin(self, key: str, most: int) -> int:
        """As `Attempts.begin`; refused if all processes together, or this one alone, have had enough."""
        own = await self._local.begin(key, most)
        if own:
            return own
        name = self._name(key)
        try:
            async with asyncio.timeout(REDIS_SECONDS), self._redis.pipeline(transaction=True) as pipe:
                pipe.incr(name)
                pipe.expire(name, WINDOW_SECONDS, nx=True)
                pipe.ttl(name)
                made, _, left = await pipe.execute()
        except (RedisError, OSError, TimeoutError) as error:
            logger.warning("log-in attempts are counted by this process alone: %s", type(error).__name__)
            return 0
        if int(made) <= most:
            return 0
        # The attempt is refused, so this process must not count it beyond the shared window.
        await self._local.give_back(key)
        return max(1, int(left))

    async def succeeded(self, key: str) -> None:
        """As `Attempts.succeeded`, in Redis and here."""
        await self._local.succeeded(key)
        try:
            async with asyncio.timeout(REDIS_SECONDS):
                await self._redis.delete(self._name(key))
        except (RedisError, OSError, TimeoutError):
            logger.debug("a count of log-in attempts was not cleared in Redis")

    async def give_back(self, key: str) -> None:
        """As `Attempts.give_back`, in Redis and here."""
        await self._local.give_back(key)
        name = self._name(key)
        try:
            async with asyncio.timeout(REDIS_SECONDS), self._redis.pipeline(transaction=True) as pipe:
                pipe.decr(name)
                # The count may just have expired; one that is made anew here must not stay for ever.
                pipe.expire(name, WINDOW_SECONDS, nx=True)
                await pipe.execute()
        except (RedisError, OSError, TimeoutError):
            logger.debug("a log-in attempt was not given back in Redis")

    def _name(self, key: str) -> str:
        return f"glimpse:attempts:{self._pseudonym(key)}"


def too_many_attempts(wait: int) -> Problem:
    """The answer to somebody who has to wait, in seconds, before the next attempt."""
    text = f"Too many attempts with a wrong password; try again in {wait} s."
    return Problem(429, "too-many-attempts", text, headers={"retry-after": str(wait)})
