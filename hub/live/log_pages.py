"""Pages of users' logs, as listeners are sent them: each is read and rendered once for all who come for it together.

Promise: a page is what the log says when somebody asks for it. After a restart all of a user's clients that had been
connected come back to the same place; only the first of them costs the way to the database.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from hub import policy
from hub.live.notices import Notice
from hub.model import Settings, User
from hub.store.events import Events
from hub.wire import Renderer

PAGE = 50
"""Events read at once for a listener that is behind; each page is sent before the next is read."""

SHARED_SECONDS = 5.0
SHARED_BYTES = 24 << 20
"""How long pages are kept for others, by when all who lost their connection together have come back, and how many bytes
of them at most, some 12,000 events: what a process can spare. Who finds no page kept has it read anew."""


@dataclass(frozen=True, slots=True)
class _PageKey:
    """What a page depends on. Whatever else could change the page moves the head of the user's log."""

    user_id: str
    head: int
    settings: Settings
    after: int
    base_url: str | None


class LogPages:
    """Reads the pages, and keeps each for a while."""

    def __init__(self, events: Events, renderer: Renderer) -> None:
        self._events = events
        self._renderer = renderer
        self._pages: dict[_PageKey, asyncio.Task[Sequence[Notice]]] = {}
        self._kept: dict[_PageKey, tuple[int, asyncio.TimerHandle]] = {}
        """How many bytes each kept page takes, and the timer of its end, the one kept longest first; the others are
        being read."""
        self.kept_bytes = 0
        """How many bytes they take together."""

    async def after(self, user: User, sequence: int, base_url: str | None) -> Sequence[Notice]:
        """At most `PAGE` events after `sequence`, oldest first, as they are told now. Raises `DatabaseAway`.

        `user` must have been read just now: the page is of a log that has every event up to `user.sequence`, and
        perhaps more. Pixel addresses begin with `base_url`.
        """
        key = _PageKey(user.id, user.sequence, user.settings, sequence, base_url)
        reading = self._pages.get(key)
        if reading is None:
            reading = self._pages[key] = asyncio.create_task(self._read(key))
            reading.add_done_callback(partial(self._keep, key))
        # Shielded, for whoever came first may leave first, too.
        return await asyncio.shield(reading)

    def _keep(self, key: _PageKey, reading: asyncio.Task[Sequence[Notice]]) -> None:
        """Keep a page for the next that comes; the pages kept longest make room for it."""
        if reading.cancelled() or reading.exception() is not None:
            del self._pages[key]
            return
        # Each notice holds its JSON and, once it is sent, its frame as well.
        size = sum(2 * len(notice.event) for notice in reading.result())
        self._kept[key] = size, asyncio.get_running_loop().call_later(SHARED_SECONDS, self._forget, key)
        self.kept_bytes += size
        while self.kept_bytes > SHARED_BYTES:
            self._forget(next(iter(self._kept)))

    def _forget(self, key: _PageKey) -> None:
        del self._pages[key]
        size, timer = self._kept.pop(key)
        self.kept_bytes -= size
        # Left alone, it would keep the page in memory until it is due.
        timer.cancel()

    async def _read(self, key: _PageKey) -> Sequence[Notice]:
        notices = []
        for event in await self._events.after(key.user_id, key.after, PAGE):
            event = policy.as_told_now(event, key.settings)
            notices.append(Notice.of(event, self._renderer.event(event, key.settings, key.base_url)))
        return notices
