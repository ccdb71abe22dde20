"""The backlog: hits that wait to be committed, in the spool or, while that cannot be written, in memory.

Promise: `add` never raises. Each hit is given out until it is committed, those in memory first, and otherwise in the
order of the spool; it stays on disk until then. What is in memory goes to disk as soon as it can.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from hub.logs import Seldom
from hub.model import Hit
from hub.pipeline import BATCH
from hub.spool import Spool

logger = logging.getLogger(__name__)

MOST_STRANDED = 100_000
"""The most hits kept in memory while neither the database nor the spool takes them: about 60 MB."""


@dataclass(slots=True)
class _Taken:
    """A segment of the spool that is being replayed, and how many of its hits are committed."""

    segment: Path
    hits: list[Hit]
    committed: int = 0


class Backlog:
    """The hits of a process that wait, and those that processes which are gone left in their spools."""

    def __init__(self, spool: Spool, warnings: Seldom) -> None:
        """`warnings` limits how often the log says that hits are in memory only."""
        self._spool = spool
        self._warnings = warnings
        self._taken: _Taken | None = None
        self._stranded: deque[Hit] = deque()
        """The hits in memory only."""
        self._lost = 0
        self._failure = ""
        """Why the spool could not be written."""

    def start(self) -> None:
        """Get ready to keep hits."""
        self._spool.start()

    async def close(self) -> None:
        """Put on disk what can be, and let go of the rest."""
        await self.add(())
        if self._stranded:
            logger.critical("the spool cannot be written: %d hits are lost", len(self._stranded))
        self._spool.close()

    @property
    def depth(self) -> int:
        """How many hits wait, of those that this process knows of."""
        return self._spool.depth + len(self._stranded)

    @property
    def trouble(self) -> str | None:
        """Why hits are not on disk, or None."""
        if not self._stranded:
            return None
        return f"the spool cannot be written ({self._failure}): {len(self._stranded)} hits are in memory only"

    def pending(self) -> bool:
        """Whether there is, or is about to be, anything to replay."""
        return bool(self._stranded or self._taken) or self._spool.pending()

    async def add(self, hits: Sequence[Hit]) -> None:
        """Put hits on disk, after those that are in memory only; if that fails, keep all of them in memory."""
        try:
            while self._stranded:
                before = list(islice(self._stranded, BATCH))
                await self._spool.append(before)
                self._forget_stranded(before)
            if hits:
                await self._spool.append(hits)
        except Exception as error:
            # Only memory is left to keep the hits in; readyz says so.
            self._failure = why(error)
            room = MOST_STRANDED - len(self._stranded)
            self._stranded.extend(hits[:room])
            self._lost += max(0, len(hits) - room)
            if self._warnings.may_say("stranded"):
                logger.critical(
                    "the spool cannot be written (%s): %d hits are in memory only, and %d found no room there",
                    *(error, len(self._stranded), self._lost),
                )

    @asynccontextmanager
    async def oldest(self, most: int) -> AsyncIterator[Sequence[Hit]]:
        """At most `most` of the hits that are next, perhaps none. They wait no more once the block ends without an
        error. Raises OSError if the spool cannot be looked into now.
        """
        if self._stranded:
            hits = list(islice(self._stranded, most))
            yield hits
            self._forget_stranded(hits)
            return
        if self._taken is None:
            segment = await self._spool.take()
            self._taken = segment and _Taken(*segment)
        taken = self._taken
        if taken is None:
            yield ()
            return
        hits = taken.hits[taken.committed : taken.committed + most]
        yield hits
        taken.committed += len(hits)
        if taken.committed == len(taken.hits):
            await self._spool.done(taken.segment)
            self._taken = None

    async def put_aside(self, hit: Hit) -> None:
        """As `Spool.put_aside`."""
        await self._spool.put_aside(hit)

    def _forget_stranded(self, hits: Sequence[Hit]) -> None:
        """Forget these hits, which are safe now. Some may have been made safe in another way, and forgotten already."""
        for hit in hits:
            if self._stranded and self._stranded[0] is hit:
                self._stranded.popleft()


def why(error: Exception) -> str:
    """What went wrong, without the names of files or the words of a server, which may contain a row."""
    if state := getattr(error, "sqlstate", None):
        return f"the database refuses a hit with SQLSTATE {state}"
    return (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
