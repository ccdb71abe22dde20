"""The pipeline: while one batch of hits is committed, it reads what the next is judged by.

Promise: batches are committed one at a time, and the hits on each message in the order they came, each judged with
the earlier ones in view. What is read for hits while others are committed either still holds or is read again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from hub.batch import Known
from hub.commits import Draft
from hub.live.notices import Notice
from hub.model import Hit

BATCH = 128
"""The most hits in one transaction. On SQLite the event loop spends some 30 us a hit on reading and judging."""

ENOUGH = 8
"""How many waiting hits make it worth reading for them while others are committed."""

Answer: TypeAlias = Callable[[], object]
Waiting: TypeAlias = tuple[Hit, Answer]
Read: TypeAlias = Callable[[Sequence[Hit]], Awaitable[Known | None]]


class Pipeline:
    """Puts hits together into drafts, and has the drafts kept one after another.

    Each hit goes from `_waiting` through `_reading` into the draft that is `_ready`, and is kept with that; without
    `read` it goes straight from `_waiting` to `_ready`. Two tasks work side by side:

        reading ahead   | for draft 1 | for draft 2 | for draft 3 |
        keeping                       | draft 1     | draft 2     | draft 3     |

    What is read for draft 2 misses what draft 1 changes. So a hit on a message that draft 1 has hits on goes to
    `_held_back` until draft 1 is kept. Then all that draft 2 is wrong about is where the users' logs stand: see
    `Draft.follow`.
    """

    def __init__(
        self,
        keep: Callable[[Draft], Awaitable[Sequence[Notice]]],
        tell: Callable[[Sequence[Notice]], Awaitable[None]],
        read: Read | None,
        repeat_ms: int,
    ) -> None:
        """`keep` makes the hits of a draft safe, and never raises. The notices it returns then go to `tell`.

        `read` returns what hits are judged by, or None to leave the reading to `keep`. Without `read`, `keep` always
        does it.
        """
        self._keep = keep
        self._tell = tell
        self._read = read
        self._repeat_ms = repeat_ms
        self._waiting: deque[Waiting] = deque()
        self._held_back: deque[Waiting] = deque()
        self._reading: list[Waiting] = []
        self._ready = Draft(repeat_ms)
        self._ready_answers: list[Answer] = []
        self._keeping: Draft | None = None
        self._busy: set[str] = set()
        """The messages of all hits taken from `_waiting` and not yet kept: another hit on one of them is held back."""
        self._since: list[Draft] = []
        """The drafts that were being kept at any moment since the read under way began."""
        self._to_read = asyncio.Event()
        self._to_keep = asyncio.Event()
        self._stopping = False

    def put(self, hit: Hit, answer: Answer) -> None:
        """Add a hit; `answer` is called once, when the hit is safe."""
        self._waiting.append((hit, answer))
        if self._keeping is None or len(self._waiting) >= ENOUGH:
            (self._to_keep if self._read is None else self._to_read).set()

    def stop(self) -> None:
        """Have `run` end when nothing waits any more."""
        self._stopping = True
        self._to_read.set()
        self._to_keep.set()

    async def run(self) -> None:
        """Work until stopped."""
        async with asyncio.TaskGroup() as both:
            both.create_task(self._keep_all(), name="keeping")
            if self._read is not None:
                both.create_task(self._read_ahead(self._read), name="reading ahead")

    @property
    def _is_over(self) -> bool:
        return self._stopping and not (self._waiting or self._held_back or self._reading or self._ready.hits)

    async def _keep_all(self) -> None:
        loop = asyncio.get_running_loop()
        while not self._is_over:
            if self._read is None:
                self._add(self._take(), None)
            if not self._ready.hits:
                self._to_keep.clear()
                await self._to_keep.wait()
                continue
            draft, answers = self._ready, self._ready_answers
            self._ready, self._ready_answers = Draft(self._repeat_ms), []
            self._keeping = draft
            if self._reading:
                self._since.append(draft)
            self._to_read.set()
            notices = await self._keep(draft)
            for answer in answers:
                # Not called here: the next draft is to be on its way before the answers leave.
                loop.call_soon(answer)
            await self._tell(notices)
            self._finish(draft)

    def _finish(self, draft: Draft) -> None:
        self._keeping = None
        self._ready.follow(draft)
        self._busy.difference_update(hit.message_id for hit in draft.hits)
        self._waiting.extendleft(reversed(self._held_back))
        self._held_back.clear()
        self._to_read.set()

    async def _read_ahead(self, read: Read) -> None:
        # Even after the stop a hit may come as long as others are kept, and then it has to be read for.
        while not self._is_over or self._keeping is not None:
            self._reading = self._take() if self._is_worth_reading() else []
            if not self._reading:
                self._to_read.clear()
                await self._to_read.wait()
                continue
            try:
                known: Known | Exception | None = await self._what_stands(read, [hit for hit, _ in self._reading])
            except Exception as error:
                known = error
            self._add(self._reading, known)
            self._reading, self._since = [], []
            self._to_keep.set()
        self._to_keep.set()

    def _is_worth_reading(self) -> bool:
        if self._keeping is None:
            return not self._ready.hits
        # Behind a draft that is judged only while it is kept, whatever is read would have to be read again.
        return len(self._waiting) >= ENOUGH and self._keeping.batch is not None

    async def _what_stands(self, read: Read, hits: Sequence[Hit]) -> Known | None:
        """Read for hits; again, if a draft kept meanwhile was not committed as it was judged (see `Draft.follow`)."""
        while True:
            self._since = [] if self._keeping is None else [self._keeping]
            known = await read(hits)
            if known is None:
                return None
            kept = [draft.sequences for draft in self._since if draft is not self._keeping]
            followed = [sequences for sequences in kept if sequences is not None]
            if len(followed) == len(kept):
                for sequences in followed:
                    known.follow(sequences)
                return known

    def _take(self) -> list[Waiting]:
        """Take the first waiting hits, as many as there is room for, and hold back those on busy messages."""
        taken: list[Waiting] = []
        # A copy from before this call: several hits on one message may go together.
        busy = frozenset(self._busy)
        while self._waiting and len(self._ready.hits) + len(taken) < BATCH:
            waiting = self._waiting.popleft()
            message_id = waiting[0].message_id
            if message_id in busy:
                self._held_back.append(waiting)
            else:
                self._busy.add(message_id)
                taken.append(waiting)
        return taken

    def _add(self, taken: Sequence[Waiting], known: Known | Exception | None) -> None:
        if taken:
            self._ready.add([hit for hit, _ in taken], known)
            self._ready_answers += [answer for _, answer in taken]
