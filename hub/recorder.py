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
from collections.abc import Callable, Sequence

from hub.backlog import Backlog, why
from hub.batch import Known
from hub.commits import Commits, Draft, Measures
from hub.config import Config
from hub.live.bus import Bus
from hub.live.notices import Notice
from hub.logs import Seldom
from hub.model import DAY_MS, Clock, Hit, Visit, new_id
from hub.pipeline import BATCH, Pipeline
from hub.spool import Spool
from hub.store.away import DatabaseAway, RowLocked, is_about_what_was_asked, said
from hub.store.database import Database
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
"""How long a batch from the spool may take while no new hit waits for it: the database may just have come back."""

SAY_AGAIN_SECONDS = 10.0
"""The least time between two lines of the log that say the same for each of many batches."""

AWAY = "the database is away"
ROW_LOCKED = "another session of the database keeps a row locked"


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
        self._warnings = Seldom(SAY_AGAIN_SECONDS)
        self._backlog = Backlog(spool, self._warnings)
        self._repeat_ms = config.repeat_seconds * 1000
        self._commit_seconds = config.commit_seconds
        self._bus = bus
        self._commits = Commits(database, bus, renderer, self._repeat_ms, clock, measures or Measures())
        # On SQLite there is no round trip that reading ahead could save.
        read = None if database.embedded else self._read
        self._pipeline = Pipeline(self._keep, bus.publish, read, self._repeat_ms)
        self._gate = asyncio.Lock()
        self._recording: asyncio.Task[None] | None = None
        self._replaying: asyncio.Task[None] | None = None
        self._aside: set[str] = set()
        """The hits put aside since this replay began: the others of their batch may be tried again, without them."""
        self._absence = AWAY
        """Why hits go to the spool, in words that anybody who asks if we are ready may read."""
        self._replay_failure = ""

    @property
    def spooling(self) -> bool:
        """Whether hits go to the spool now, because the database is away."""
        return self._replaying is not None

    @property
    def trouble(self) -> str | None:
        """What keeps hits from being committed now, or None."""
        if self._recording is None or self._recording.done():
            return "the recorder is not running"
        if trouble := self._backlog.trouble:
            return trouble
        if not self.spooling:
            return None
        if self._replay_failure:
            return f"the spool cannot be replayed ({self._replay_failure}); hits go to the spool"
        return f"{self._absence}; hits go to the spool"

    @property
    def spool_depth(self) -> int:
        """Hits that wait in the spool, or to be put there."""
        return self._backlog.depth

    async def start(self) -> None:
        """Begin to record; what an earlier process left in the spool is replayed first."""
        self._backlog.start()
        self._recording = asyncio.create_task(self._pipeline.run(), name="recorder")
        self.adopt()

    async def stop(self) -> None:
        """Record what still waits, and end. What cannot be committed now stays in the spool."""
        self._pipeline.stop()
        if self._recording is not None:
            await self._recording
        if self._replaying is not None:
            self._replaying.cancel()
            await asyncio.wait([self._replaying])
        await self._backlog.close()

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
        if not self.spooling and self._backlog.pending():
            self._begin_replay()

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
                self._absence = self._words_for_anybody(error)
                logger.error("%s: hits go to the spool", _words_for_the_log(error))
            except Exception:
                self._absence = AWAY
                logger.exception("a batch could not be committed: its hits go to the spool")
        await self._backlog.add(draft.hits)
        self._begin_replay()
        return ()

    def _words_for_anybody(self, error: DatabaseAway | TimeoutError) -> str:
        """Why the database takes no hits. A server's own words are left out: they may name machines and accounts."""
        if isinstance(error, RowLocked) or (self._database.embedded and str(error)):
            return _words_for_the_log(error)
        return AWAY

    def _begin_replay(self) -> None:
        if self._replaying is None:
            self._replaying = asyncio.create_task(self._replay(), name="spool replay")

    async def _replay(self) -> None:
        delay, answering = 0.1, False
        while self._backlog.pending():
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
                self._note_failed_replay(error)
                # What is in memory only goes to disk as soon as the spool can be written.
                async with self._gate:
                    await self._backlog.add(())
                await asyncio.sleep(random.uniform(delay / 2, delay))
                delay = min(delay * 2, 2.0)
        self._replaying, self._replay_failure = None, ""
        self._warnings.forget()
        self._aside.clear()
        logger.info("the spool is replayed; hits go to the database again")

    def _note_failed_replay(self, error: Exception) -> None:
        """Note, for `trouble` and the log, why the spool could not be replayed now."""
        if isinstance(error, (DatabaseAway, TimeoutError)):
            self._replay_failure, self._absence = "", self._words_for_anybody(error)
            if self._warnings.may_say("waiting"):
                logger.warning("the spool waits for the database: %s", said(error))
        else:
            self._replay_failure = why(error)
            if self._warnings.may_say("failing"):
                logger.error("the spool cannot be replayed: %s", self._replay_failure, exc_info=error)

    async def _replay_step(self, most: int) -> None:
        async with self._backlog.oldest(most) as hits:
            await self._replay_batch(hits)

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
        await self._backlog.put_aside(hit)
        self._aside.add(hit.id)


def _words_for_the_log(error: DatabaseAway | TimeoutError) -> str:
    return ROW_LOCKED if isinstance(error, RowLocked) else f"{AWAY} ({said(error)})"
