"""The recorder, the heart: hits in, one transaction a batch, events out.

Promise: a hit that is said to be safe is committed, or, if the database is away, on disk in the spool; a
spooled hit is committed once, in its order, when the database is back or at the next start. What a batch
changes (opens, counters, the users' logs) commits together or not at all, and only then is anybody told.

While the recorder spools, every hit goes to the spool, so that none overtakes another; it goes back to
the database when the spool is empty.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from hub.batch import Known
from hub.commits import Commits, Draft, Measures
from hub.config import Config
from hub.live.bus import Bus
from hub.live.notices import Notice
from hub.logs import Seldom
from hub.model import DAY_MS, Clock, Hit, Visit, new_id
from hub.pipeline import BATCH, Pipeline
from hub.spool import Spool
from hub.store.away import RowLocked, is_about_what_was_asked
from hub.store.database import Database, DatabaseAway
from hub.tracking.classify import examine
from hub.tracking.datasets import Datasets
from hub.tracking.rules import DELIVERY_WINDOW_MS
from hub.tracking.token import Keys
from hub.wire import Renderer

logger = logging.getLogger(__name__)

SMALL_BATCH = 64
"""Hits replayed in one step while new hits wait for it. The step has no more time than the commit of a new batch: on a
busy machine a whole BATCH would take too long again and again."""

REPLAY_SECONDS = 10.0
"""How long a batch from the spool may take: no new hit waits for it, and the database may just have come back."""

AWAY = "the database is away"
ROW_LOCKED = "another session of the database keeps a row locked"
MOST_STRANDED = 100_000
"""The most hits kept in memory while neither the database nor the spool takes them: about 60 MB."""
SAY_AGAIN_SECONDS = 10.0
"""The least time between two lines of the log that say the same for each of many batches."""


@dataclass(slots=True)
class _Taken:
    """A segment of the spool that is being replayed, and how many of its hits are committed."""

    segment: Path
    hits: list[Hit]
    committed: int = 0


class Recorder:
    """Records hits. `start` it before the first, `stop` it after the last."""

    def __init__(
        self,
        database: Database,
        bus: Bus,
        renderer: Renderer,
        keys: Keys,
        datasets: Datasets,
        spool: Spool,
        config: Config,
        *,
        clock: Clock,
        measures: Measures | None = None,
    ) -> None:
        self._database = database
        self._keys = keys
        self._datasets = datasets
        self._spool = spool
        self._repeat_ms = config.repeat_seconds * 1000
        self._commit_seconds = config.commit_seconds
        self._bus = bus
        self._commits = Commits(database, bus, renderer, self._repeat_ms, clock, measures or Measures())
        # On SQLite there is no round trip that reading ahead could save.
        read = None if database.embedded else self._read
        self._pipeline = Pipeline(self._keep, bus.publish, read, self._repeat_ms)
        self._gate = asyncio.Lock()
        self._loop: asyncio.Task[None] | None = None
        self._replaying: asyncio.Task[None] | None = None
        self._taken: _Taken | None = None
        self._aside: set[str] = set()
        """The hits put aside since this replay began: the others of their batch may be tried again, without them."""
        self._absence = AWAY
        """Why hits go to the spool, in words that anybody who asks if we are ready may read."""
        self._stranded: deque[Hit] = deque()
        self._lost = 0
        self._spool_failure = ""
        self._replay_failure = ""
        self._lines = Seldom(SAY_AGAIN_SECONDS)

    @property
    def spooling(self) -> bool:
        """Whether hits go to the spool now, because the database is away."""
        return self._replaying is not None

    @property
    def trouble(self) -> str | None:
        """What keeps hits from being committed now, or None."""
        if self._loop is None or self._loop.done():
            return "the recorder is not running"
        if self._stranded:
            return f"the spool cannot be written ({self._spool_failure}): {len(self._stranded)} hits are in memory only"
        if not self.spooling:
            return None
        if self._replay_failure:
            return f"the spool cannot be replayed ({self._replay_failure}); hits go to the spool"
        return f"{self._absence}; hits go to the spool"

    @property
    def spool_depth(self) -> int:
        """Hits that wait in the spool, or to be put there."""
        return self._spool.depth + len(self._stranded)

    async def start(self) -> None:
        """Begin to record; what an earlier process left in the spool is replayed first."""
        self._spool.start()
        self._loop = asyncio.create_task(self._pipeline.run(), name="recorder")
        self.adopt()

    async def stop(self) -> None:
        """Record what still waits, and end. What cannot be committed now stays in the spool."""
        self._pipeline.stop()
        if self._loop is not None:
            await self._loop
        if self._replaying is not None:
            self._replaying.cancel()
            await asyncio.wait([self._replaying])
        await self._save(())
        if self._stranded:
            logger.critical("the spool cannot be written: %d hits are lost", len(self._stranded))
        self._spool.close()

    async def record(self, visit: Visit) -> None:
        """Record a hit; returns when it is safe."""
        safe = asyncio.Event()
        self.submit(visit, safe.set)
        await safe.wait()

    def submit(self, visit: Visit, answer: Callable[[], object]) -> None:
        """Record a hit; `answer` is called once it is safe."""
        self._pipeline.put(self.hit(visit), answer)

    def hit(self, visit: Visit) -> Hit:
        """The hit to record for a visit. Here the address and the User-Agent are let go."""
        evidence = examine(visit, self._datasets)
        # One reader comes through several addresses of a provider, so the provider stands for them. But on a shared
        # pixel several readers may have the same provider.
        hidden_by = evidence.place.hidden_by if visit.position else None
        who = hidden_by or visit.address
        return Hit(
            id=new_id(),
            message_id=visit.message_id,
            position=visit.position,
            at=visit.at,
            clients=tuple(self._keys.client_hash(who, visit.user_agent, day) for day in self._days(visit.at)),
            evidence=evidence,
        )

    def _days(self, at: int) -> list[int]:
        """The days by whose keys a client may be known at a time: its own first and, near midnight, the next to it.

        The hit that this one repeats, or the rest of its burst, may lie across midnight: on the day before or, for a
        hit from the spool, on the day after. In a burst a client keeps its first hash through the delivery window
        (`batch._client_among`), and a repeat may follow on that: so "near" is within both times together.
        """
        near = self._repeat_ms + DELIVERY_WINDOW_MS
        own = at // DAY_MS
        return list(dict.fromkeys((own, (at - near) // DAY_MS, (at + near) // DAY_MS)))

    def adopt(self) -> None:
        """Begin to replay what this process, or one that is gone, left in the spool."""
        if self._replaying is None and self._spool.pending():
            self._replaying = asyncio.create_task(self._replay(), name="spool replay")

    async def _read(self, hits: Sequence[Hit]) -> Known | None:
        if self.spooling:
            return None
        async with asyncio.timeout(self._commit_seconds):
            return await self._commits.read(hits)

    async def _keep(self, draft: Draft) -> Sequence[Notice]:
        """Commit hits, or spool them; never raises, for somebody waits for each."""
        async with self._gate:
            return await self._commit_or_spool(draft)

    async def _commit_or_spool(self, draft: Draft) -> Sequence[Notice]:
        if not self.spooling:
            try:
                async with asyncio.timeout(self._commit_seconds):
                    return await self._commits.commit(draft)
            except (DatabaseAway, TimeoutError) as error:
                self._absence = self._words(error)
                said = f"{AWAY} ({str(error) or 'it does not answer'})"
                logger.error("%s: hits go to the spool", ROW_LOCKED if isinstance(error, RowLocked) else said)
            except Exception:
                self._absence = AWAY
                logger.exception("a batch could not be committed: its hits go to the spool")
        await self._save(draft.hits)
        if self._replaying is None:
            self._replaying = asyncio.create_task(self._replay(), name="spool replay")
        return ()

    async def _save(self, hits: Sequence[Hit]) -> None:
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
            self._spool_failure = _why(error)
            room = MOST_STRANDED - len(self._stranded)
            self._stranded.extend(hits[:room])
            self._lost += max(0, len(hits) - room)
            if self._lines.may_say("stranded"):
                logger.critical(
                    "the spool cannot be written (%s): %d hits are in memory only, and %d found no room there",
                    *(error, len(self._stranded), self._lost),
                )

    def _forget_stranded(self, hits: Sequence[Hit]) -> None:
        """Forget these hits, which are safe now. Some may have been made safe in another way, and forgotten already."""
        for hit in hits:
            if self._stranded and self._stranded[0] is hit:
                self._stranded.popleft()

    def _words(self, error: DatabaseAway | TimeoutError) -> str:
        if isinstance(error, RowLocked):
            return ROW_LOCKED
        # A server's words may name machines and accounts, and anybody may ask if we are ready.
        return f"{AWAY} ({error})" if self._database.embedded and str(error) else AWAY

    async def _replay(self) -> None:
        delay, answering = 0.1, False
        while self._stranded or self._taken or self._spool.pending():
            try:
                if answering:
                    # New hits wait for each step: otherwise they could come faster than they are replayed.
                    async with self._gate, asyncio.timeout(self._commit_seconds):
                        await self._replay_step(SMALL_BATCH)
                else:
                    await self._replay_step(BATCH)
                delay, answering, self._replay_failure = 0.1, True, ""
            except Exception as error:
                answering = False
                if isinstance(error, (DatabaseAway, TimeoutError)):
                    self._replay_failure, self._absence = "", self._words(error)
                    if self._lines.may_say("waiting"):
                        logger.warning("the spool waits for the database: %s", str(error) or "it does not answer")
                else:
                    self._replay_failure = _why(error)
                    if self._lines.may_say("failing"):
                        logger.error("the spool cannot be replayed: %s", self._replay_failure, exc_info=error)
                async with self._gate:
                    await self._save(())
                await asyncio.sleep(random.uniform(delay / 2, delay))
                delay = min(delay * 2, 2.0)
        self._replaying, self._replay_failure = None, ""
        self._lines.forget()
        self._aside.clear()
        logger.info("the spool is replayed; hits go to the database again")

    async def _replay_step(self, most: int) -> None:
        """Commit at most `most` of the stranded hits or, if there are none, of the segment being replayed."""
        if self._stranded:
            hits = list(islice(self._stranded, most))
            await self._replay_batch(hits)
            self._forget_stranded(hits)
            return
        if self._taken is None:
            segment = await self._spool.take()
            self._taken = segment and _Taken(*segment)
        if self._taken is None:
            return
        taken = self._taken
        await self._replay_batch(taken.hits[taken.committed : taken.committed + most])
        taken.committed = min(taken.committed + most, len(taken.hits))
        if taken.committed == len(taken.hits):
            await self._spool.done(taken.segment)
            self._taken = None

    async def _replay_batch(self, hits: Sequence[Hit]) -> None:
        """Commit hits, and put aside each that fails for a reason of its own. Raises what would fail for any hit."""
        hits = [hit for hit in hits if hit.id not in self._aside]
        if not hits:
            return
        try:
            async with asyncio.timeout(REPLAY_SECONDS):
                notices, gone = await self._commits.replay(hits)
        except Exception as error:
            if not is_about_what_was_asked(error):
                raise
            if len(hits) > 1:
                for hit in hits:
                    await self._replay_batch([hit])
                return
            logger.exception("a spooled hit cannot be recorded; it is put aside in the spool's folder")
            await self._put_aside(hits[0])
            return
        await self._bus.publish(notices)
        for hit in gone:
            # Its message was deleted, or this is not the database that it was meant for.
            await self._put_aside(hit)

    async def _put_aside(self, hit: Hit) -> None:
        await self._spool.reject(hit)
        self._aside.add(hit.id)


def _why(error: Exception) -> str:
    """What went wrong, without the names of files or the words of a server, which may contain a row."""
    if state := getattr(error, "sqlstate", None):
        return f"the database refuses a hit with SQLSTATE {state}"
    return (isinstance(error, OSError) and error.strerror) or str(error)
