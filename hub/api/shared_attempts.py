"""Attempts at a password on several processes.

Promise: with Redis the processes share the count; while Redis is away each counts for itself, so that guessing stays
limited.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import RedisError

from hub.api.attempts import WINDOW_SECONDS, LocalAttempts
from hub.live.redis_bus import WARNING_SECONDS, connection_options
from hub.logs import Seldom

logger = logging.getLogger(__name__)

REDIS_SECONDS = 0.5
"""How long Redis may take before this process counts an attempt by itself: somebody is waiting to log in."""

MOST_CONNECTIONS = 4


class SharedAttempts:
    """The count of all processes, in Redis, under names that tell nobody whose they are."""

    def __init__(self, url: str, insecure_tls: bool, local: LocalAttempts, pseudonym: Callable[[str], str]) -> None:
        """`url` and `insecure_tls` are as for `RedisBackend`.

        `pseudonym` gives a key another name, the same in each process; nobody else can tell whose it is.
        """
        options = connection_options(url, insecure_tls)
        # A pool that waits: a guess has to be counted even when every connection is taken.
        pool = BlockingConnectionPool.from_url(url, max_connections=MOST_CONNECTIONS, timeout=None, **options)
        self._redis = Redis.from_pool(pool)
        self._pseudonym = pseudonym
        self._local = local
        self._warnings = Seldom(WARNING_SECONDS)

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    async def begin(self, key: str, most: int) -> int:
        """As `Attempts.begin`; refused if all processes together, or this one alone, have had enough."""
        own = await self._local.begin(key, most)
        if own:
            return own
        name = self._name(key)
        try:
            async with asyncio.timeout(REDIS_SECONDS), self._redis.pipeline(transaction=True) as pipe:
                _begin_window(pipe, name)
                pipe.incr(name)
                pipe.ttl(name)
                _, made, left = await pipe.execute()
        except (RedisError, OSError, TimeoutError) as error:
            if self._warnings.may_say():
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
                # The count may just have expired; one that is made anew here must not stay for ever.
                _begin_window(pipe, name)
                pipe.decr(name)
                await pipe.execute()
        except (RedisError, OSError, TimeoutError):
            logger.debug("a log-in attempt was not given back in Redis")

    def _name(self, key: str) -> str:
        return f"glimpse:attempts:{self._pseudonym(key)}"


def _begin_window(pipe: Pipeline, name: str) -> None:
    # Not EXPIRE with NX, which Redis has from 7.0 on (redis.io/commands/pexpire, History, 2026-11).
    pipe.set(name, 0, ex=WINDOW_SECONDS, nx=True)
