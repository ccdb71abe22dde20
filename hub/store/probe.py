"""A probe: whether a hit that comes now could be committed.

Promise: it changes nothing, waits as long for another process's lock as the recorder does, and is no load, however
often somebody asks.
"""

from __future__ import annotations

import asyncio
import logging

from hub.store.away import DatabaseAway
from hub.store.database import Database

PROBE_SECONDS = 2.0
FRESH_SECONDS = 1.0
"""How long the last answer to whether the database can be written is given again."""

logger = logging.getLogger(__name__)

NO_ANSWER = "the database does not answer"
REFUSED = "the database refuses what it is asked: see the log"
CHANGE_NOTHING = "UPDATE users SET name = name WHERE false"
"""Refused where nothing can be changed. BEGIN IMMEDIATE alone is not: SQLite then only reads a read-only file."""


class Probe:
    """Asks one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._asking = asyncio.Lock()
        self._trouble: str | None = None
        self._fresh_until = 0.0
        self._said = False
        """Whether it was logged that the database refuses the probe."""

    async def trouble(self) -> str | None:
        """What keeps a hit that comes now from being committed, or None. Never raises."""
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                await self._database.fetch("SELECT 1 AS one")
        except (DatabaseAway, TimeoutError):
            return NO_ANSWER
        except Exception as error:
            return self._refused(error)
        async with self._asking:
            loop = asyncio.get_running_loop()
            if loop.time() >= self._fresh_until:
                self._trouble = await self._writing()
                self._fresh_until = loop.time() + FRESH_SECONDS
            return self._trouble

    async def _writing(self) -> str | None:
        try:
            async with asyncio.timeout(PROBE_SECONDS), self._database.write(quick=True) as tx:
                await tx.fetch(CHANGE_NOTHING)
        except DatabaseAway as error:
            # A server's words may name machines and accounts, and anybody may ask if we are ready.
            reason = f" ({error})" if self._database.embedded else ""
            return f"the database cannot be written{reason}"
        except TimeoutError:
            return NO_ANSWER
        except Exception as error:
            return self._refused(error)
        self._said = False
        return None

    def _refused(self, error: Exception) -> str:
        if not self._said:
            self._said = True
            logger.error("the database refuses what it is probed with", exc_info=error)
        return REFUSED
