"""Commits: hits in, one transaction for all of them, notices out.

Promise: everything that hits change (opens, counters, the users' logs) commits together or not at all. Hits may be
judged before their turn, by what is read without a lock. Such a judgement is committed only if nothing that it rests on
has moved since; otherwise the hits are judged anew under the lock.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from hub import policy
from hub.batch import Batch, Known
from hub.live.bus import Bus
from hub.live.notices import Notice
from hub.model import Clock, Event, Hit, PixelKey
from hub.store.database import Change, Database, Fetch, Held
from hub.store.events import Events
from hub.store.messages import Messages
from hub.store.opens import Opens
from hub.store.standing import Standings
from hub.store.users import Users
from hub.tracking.classify import is_early
from hub.tracking.rules import VIEWING_MS
from hub.wire import Renderer

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Measures:
    """What observers are told after each commit: its hits and seconds, and how many opens have each verdict."""

    committed: Callable[[int, float], None] = lambda _hits, _seconds: None
    verdicts: Callable[[Mapping[str, int]], None] = lambda _counts: None


class Draft:
    """Hits that go into one transaction, in their order.

    `batch` is their judgement by what was read before their turn, or None if they have to be judged in the transaction.
    `failure` is why reading for them, or judging them, failed. `sequences` says where the draft left its users' logs,
    and is None until the draft is committed as it was judged.
    """

    def __init__(self, repeat_ms: int) -> None:
        self.hits: list[Hit] = []
        self.batch: Batch | None = Batch(repeat_ms)
        self.failure: Exception | None = None
        self.sequences: dict[str, int] | None = None

    def add(self, hits: Sequence[Hit], known: Known | Exception | None) -> None:
        """Add hits. None may be on a message that hits of an earlier call were on.

        `known` is what was read for them. None leaves the whole draft to be judged in the transaction. An exception
        says why the read failed, and is raised when the draft is committed.
        """
        self.hits += hits
        if isinstance(known, Exception):
            self.failure = known
        elif known is None:
            self.batch = None
        elif self.batch is not None:
            try:
                self.batch.judge(_on_messages(hits, known), known)
            except Exception as error:
                self.failure = error

    def follow(self, before: Draft) -> None:
        """Go on from `before`, which was kept meanwhile. If that was not committed as it was judged (but spooled, or
        judged anew), it is not known where the logs stand, and this draft has to be judged in the transaction.
        """
        if before.sequences is None:
            if self.hits:
                self.batch = None
        elif self.batch is not None:
            self.batch.follow(before.sequences)


class Commits:
    """Judges and commits."""

    def __init__(
        self, database: Database, bus: Bus, renderer: Renderer, repeat_ms: int, clock: Clock, measures: Measures
    ) -> None:
        self._database = database
        self._users = Users(database)
        self._messages = Messages(database)
        self._opens = Opens(database)
        self._events = Events(database)
        self._standings = Standings(database)
        self._bus = bus
        self._renderer = renderer
        self._repeat_ms = repeat_ms
        self._clock = clock
        self._measures = measures

    async def read(self, hits: Sequence[Hit]) -> Known:
        """Read what hits are to be judged by, as it stands now. Raises `DatabaseAway`."""
        return await self._read(self._database.fetch_reserved, hits)

    async def commit(self, draft: Draft) -> list[Notice]:
        """Commit a draft as it was judged, or else judged anew. Raises `DatabaseAway`, and the draft's own `failure`.

        On SQLite a draft is judged here, on the writer: reading ahead would save no round trip, and only the writer's
        cache holds what it just wrote.
        """
        if draft.failure is not None:
            raise draft.failure
        if draft.batch is None and not self._database.embedded:
            return await self.record(draft.hits)
        began = time.perf_counter()
        async with self._database.at_once() as writer:
            batch = draft.batch or await self._judged(writer.fetch, draft.hits)
            events = await self._commit_unmoved(writer, batch)
        if events is None:
            return await self.record(draft.hits)
        draft.sequences = {event.user_id: event.sequence for event in events}
        return self._committed(batch, events, began) if events else []

    async def _commit_unmoved(self, writer: Held, batch: Batch) -> list[Event] | None:
        """Commit a batch and return its events. None, with nothing committed, if it corrects opens or what it was
        judged by has moved.
        """
        if batch.corrected:
            return None
        events = batch.events(self._clock())
        unmoved = self._users.unmoved(batch.users.values())
        if events and not await writer.change_if(unmoved, *self._changes(batch, events)):
            return None
        return events

    async def record(self, hits: Sequence[Hit]) -> list[Notice]:
        """Judge and commit under the lock of the hits' users. Raises `DatabaseAway`."""
        return (await self._record(hits))[0]

    async def replay(self, hits: Sequence[Hit]) -> tuple[list[Notice], list[Hit]]:
        """As `record`, without the hits that are recorded already. Also returns the hits whose message is not there.

        Nobody may have been told of those recorded already: so the newest event of their log is among the notices.
        """
        return await self._record(hits, again=True)

    async def _record(self, hits: Sequence[Hit], *, again: bool = False) -> tuple[list[Notice], list[Hit]]:
        began = time.perf_counter()
        async with self._database.write(quick=True) as tx:
            if not self._database.embedded:  # On SQLite the transaction itself is the lock.
                await self._users.lock_owners(tx, {hit.message_id for hit in hits})
            recorded = await self._opens.recorded(tx, [hit.id for hit in hits]) if again else frozenset()
            before = {hit.message_id for hit in hits if hit.id in recorded}
            # A hit may be in the spool twice if the hub was stopped while it was put there.
            hits = list({hit.id: hit for hit in hits if hit.id not in recorded}.values())
            batch = await self._judged(tx.fetch, hits)
            gone = [hit for hit in hits if hit.id not in batch]
            events = batch.events(self._clock())
            if events:
                await tx.change(*self._changes(batch, events))
            if batch.corrected:
                await self._correct(tx, batch)
        notices = self._committed(batch, events, began) if events else []
        if before:
            notices += await self._newest(before, batch.users.keys())
        return notices, gone

    async def _newest(self, messages: Iterable[str], but: Collection[str]) -> list[Notice]:
        """The newest event in the log of each owner of these messages but those in `but`, as it is told now.

        Whoever lacks another before it reads the log. If it is of no open, whoever made it tells it.
        """
        notices = []
        for user in await self._users.owners(messages):
            if user.id in but or not self._bus.wants(user.id):
                continue
            for event in await self._events.after(user.id, user.sequence - 1, 1):
                if event.open is not None:
                    event = policy.as_told_now(event, user.settings)
                    notices.append(Notice.of(event, self._renderer.event(event, user.settings), self._clock()))
        return notices

    async def _judged(self, fetch: Fetch, hits: Sequence[Hit]) -> Batch:
        known = await self._read(fetch, hits)
        batch = Batch(self._repeat_ms)
        batch.judge(_on_messages(hits, known), known)
        return batch

    async def _read(self, fetch: Fetch, hits: Sequence[Hit]) -> Known:
        """Read what hits are judged by."""
        messages = {hit.message_id for hit in hits}
        pixels = {(hit.message_id, hit.position) for hit in hits if hit.position}
        clients = {(hit.message_id, hit.position, client) for hit in hits for client in hit.clients}
        known = await self._standings.read(fetch, messages, pixels, clients if self._repeat_ms else ())
        # A time this far ahead is from before the clock was set back: it says nothing about what is a repeat.
        latest = self._clock() + self._repeat_ms
        known.last_seen = {client: at for client, at in known.last_seen.items() if at <= latest}
        early: set[PixelKey] = set()
        viewed: dict[str, list[int]] = {}
        for hit in hits:
            message = known.messages.get(hit.message_id)
            if message is None:
                continue
            if is_early(hit.at, message.sent_at):
                early.add((hit.message_id, hit.position))
            if message.viewed_at is not None and message.viewed_at >= hit.at - VIEWING_MS:
                viewed.setdefault(hit.message_id, []).append(hit.at)
        if early:
            known.early.update(await self._opens.early(fetch, early))
        if viewed:
            spans = {id_: (min(at) - VIEWING_MS, max(at) + VIEWING_MS) for id_, at in viewed.items()}
            known.viewings.update(await self._messages.viewings(fetch, spans))
        return known

    def _changes(self, batch: Batch, events: Sequence[Event]) -> tuple[Change, ...]:
        return (
            self._opens.added(batch.opens),
            *self._messages.counted(batch.counts()),
            self._opens.seen(batch.seen),
            self._events.added(events),
            self._users.advanced({event.user_id: event.sequence for event in events}),
        )

    async def _correct(self, tx: Held, batch: Batch) -> None:
        # Off the event loop: this is rare, and may have to look through all of a message's opens.
        tx.quick = False
        await tx.change(self._opens.corrected(batch.corrected))
        await self._messages.recount(tx, {(open_.message_id, open_.position) for open_ in batch.corrected})
        await self._opens.forget_seen(tx, batch.mistaken)

    def _committed(self, batch: Batch, events: Sequence[Event], began: float) -> list[Notice]:
        """Tell the observers of a commit. Returns its notices: the events that somebody may be listening for."""
        self._measures.committed(batch.size, time.perf_counter() - began)
        self._measures.verdicts(batch.verdicts())
        committed_at = self._clock()
        return [
            Notice.of(event, self._renderer.event(event, batch.users[event.user_id].settings), committed_at)
            for event in events
            if self._bus.wants(event.user_id)
        ]


def _on_messages(hits: Sequence[Hit], known: Known) -> list[Hit]:
    """Those of `hits` whose message is still there."""
    found = [hit for hit in hits if hit.message_id in known.messages]
    if len(found) < len(hits):
        logger.warning("%d hits are on messages that are gone", len(hits) - len(found))
    return found
