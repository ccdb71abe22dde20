"""Checkpoints: copy SQLite's write-ahead log to its file beside the writes, not inside of them.

Promise: under steady writes the log stays a few tens of megabytes long, and no write waits for more of it to be copied
than was added during the previous copy.

Left alone, SQLite copies the whole log in the commit that fills it, and the hits of that batch and of the next wait.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from hub.store.away import DatabaseAway
from hub.store.held import Fetch, Held

logger = logging.getLogger(__name__)

ROWS = 4000
LEAST_ROWS = 250
"""A checkpoint is due after ROWS changed rows, of one or two pages each. While the writer's turns are long it is due
after fewer, down to LEAST_ROWS, so that each turn has less to do."""

EVERY_SECONDS = 0.3
"""The least time between the starts of two checkpoints, except while turns are long. If it is longer, pages that change
often are copied less often, but commits wait longer for the disk while all of the log is copied."""

LONG_SECONDS = 0.1
"""A turn is long if it takes more: hits wait for it, and it uses up too much of the time that the recorder has."""

PASSES = 3
"""How many passes copy the log beside the writes. The first copies nearly all of it. SQLite puts what was copied on the
disk only in a pass during which nothing was written (https://sqlite.org/src/file/src/wal.c, walCheckpoint, 2026-11):
the shorter a pass, the likelier that is. Otherwise all of it would be left to the last pass, in the writer's turn."""

PASS = "PRAGMA wal_checkpoint(PASSIVE)"


class Checkpoints:
    """Counts what is written to one file, and makes its checkpoints."""

    def __init__(self, fetch: Fetch, writing: Callable[[], AbstractAsyncContextManager[Held]]) -> None:
        """`fetch` asks on a connection of its own; `writing` gives the writer's connection while nobody else writes."""
        self._fetch = fetch
        self._writing = writing
        self._due = asyncio.Event()
        self._changed = 0
        """How many rows the writer had changed at its last commit."""
        self._counted = 0
        """How many rows were changed since a checkpoint was due last."""
        self._rows = ROWS
        """After how many changed rows a checkpoint is due now: between LEAST_ROWS and ROWS."""

    def written(self, rows: int) -> None:
        """Note a commit; `rows` is how many rows were changed since the writer was opened."""
        # Fewer than before: the writer was opened anew, and counts from 0; or, after 2**31, from -(2**31).
        self._counted += rows - self._changed if rows >= self._changed else max(rows, 0)
        self._changed = rows
        if self._counted >= self._rows:
            self._counted = 0
            self._due.set()

    async def run(self) -> None:
        """Make each checkpoint that is due, until cancelled. One that fails is made with the next."""
        while True:
            await self._due.wait()
            self._due.clear()
            began = time.perf_counter()
            try:
                await self._make()
                if self._rows == ROWS:
                    await asyncio.sleep(began + EVERY_SECONDS - time.perf_counter())
            except DatabaseAway as error:
                logger.debug("a checkpoint was not made: %s", error)
            except Exception:
                logger.exception("a checkpoint was not made")

    async def _make(self) -> None:
        for _ in range(PASSES):
            await self._fetch(PASS)
        # With nothing left to copy, SQLite begins the log anew.
        async with self._writing() as writer:
            began = time.perf_counter()
            await writer.fetch(PASS)
            is_long = time.perf_counter() - began > LONG_SECONDS
        self._rows = max(LEAST_ROWS, self._rows // 2) if is_long else min(ROWS, self._rows * 2)
