"""A listener: one socket or stream, where it stands in its user's log, and what waits to be sent to it.

Promise: it is offered events in any order, and gives out those of its stream in the log's order, each once. An event
that does not follow directly on the last one makes it `behind`, until the log was read. So does a decision of the
sender's while something waits: that is let go, and told as the log tells it now. What waits is bounded; over the bound
the listener is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from hub import policy
from hub.live.close_codes import CloseCode
from hub.live.notices import Notice, Run
from hub.model import Stream

MOST_HELD = 1000

Kind: TypeAlias = Literal["socket", "stream"]
"""What a listener is: a WebSocket, or a stream of server-sent events."""


@dataclass(frozen=True, slots=True)
class Closing:
    """Why a listener is to end, as a WebSocket says it."""

    code: CloseCode
    reason: str


class Listener:
    """One socket or stream: where it stands in its user's log, and what waits to be sent to it.

    * While it is `behind`, `offer` only holds live events. `replay` queues what the log has, and `caught_up` ends this
      state: what was held is offered anew.
    * Otherwise it is live: `offer` sends or queues the event that follows on `position`, and any later one puts the
      listener behind.
    * Once it is `closing`, `offer` takes nothing and `take` gives nothing out.

    `position` is the last event that was sent, queued or left out by the stream; after a decision of the sender's, the
    last that was sent.
    """

    # There may be ten thousand.
    __slots__ = (
        *("_bytes", "_held", "_held_bytes", "_live_bytes", "_max_bytes", "_queue", "_waiter", "base_url", "behind"),
        *("_taken", "closing", "credential", "decisions", "kind", "on_work", "position", "stream", "user_id", "write"),
    )

    def __init__(
        self,
        user_id: str,
        stream: Stream,
        credential: str,
        max_bytes: int,
        base_url: str | None = None,
        kind: Kind = "socket",
    ) -> None:
        self.user_id = user_id
        self.kind = kind
        self.stream = stream
        self.credential = credential
        self.base_url = base_url
        self.position = 0
        self.closing: Closing | None = None
        self.behind = True
        self.write: Callable[[bytes], bool] | None = None
        """Sends WebSocket frames at once, or returns False if they would have to wait. Whoever sends for this listener
        sets it while nothing is queued: then nobody has to be woken."""
        self.decisions = 0
        """How many of the sender's decisions came that could not be sent at once."""
        self._max_bytes = max_bytes
        self._queue: list[Notice] = []
        self._taken: list[Notice] = []
        """What is being sent, the last first."""
        self._bytes = 0
        self._live_bytes = 0
        self._held: list[Notice] = []
        self._held_bytes = 0
        self.on_work: Callable[[], None] | None = None
        """Called whenever there may be something to do. Whoever sends for this listener sets it, or uses `wait`."""
        self._waiter: asyncio.Future[None] | None = None

    @property
    def has_work(self) -> bool:
        """Whether there is something to send, a log to read, or an end to make."""
        return bool(self._queue) or self.behind or self.closing is not None

    @property
    def queued_bytes(self) -> int:
        """Bytes of events that wait to be given out for sending."""
        return self._bytes

    def offer(self, run: Run) -> bool:
        """Take live events, except old ones; if there is a gap before them, the log is read first. Returns whether some
        were old.
        """
        if self.closing is not None or self._send_at_once(run):
            return False
        is_old = not self.behind and run.notices[0].sequence <= self.position
        for notice in run.notices:
            self._offer_one(notice)
        return is_old

    def _send_at_once(self, run: Run) -> bool:
        """Send live events if they are the next and nothing waits before them. Returns whether it did."""
        if self.write is None or self.behind or self._queue or run.notices[0].sequence != self.position + 1:
            return False
        frames = run.frames(self.stream)
        if frames and not self.write(frames):
            return False
        self.position = run.notices[-1].sequence
        return True

    def _offer_one(self, notice: Notice) -> None:
        if notice.decides and notice.sequence > self.position:
            self._recall()
        if self.behind:
            self._hold(notice)
        elif notice.sequence == self.position + 1:
            if self._put(notice):
                self._live_bytes += len(notice.event)
                if self._live_bytes > self._max_bytes:
                    self._let_go()
                    self.close(CloseCode.TOO_SLOW, "too slow: come back and resume")
        elif notice.sequence > self.position:
            self.fall_behind()

    def fall_behind(self) -> None:
        """Have the log read from where this listener stands before anything else is sent."""
        self.behind = True
        self._rouse()

    def replay(self, notices: Iterable[Notice]) -> None:
        """Queue a page of the log. Pages need no bound: the next is read only when this one is sent."""
        for notice in notices:
            self._put(notice)

    def caught_up(self, position: int) -> None:
        """The log ends at `position`: go on with the events that came live meanwhile."""
        self.position = max(self.position, position)
        self.behind = False
        held, self._held, self._held_bytes = self._held, [], 0
        for notice in held:
            self._offer_one(notice)

    def close(self, code: CloseCode, reason: str) -> None:
        """Have the listener ended; the first reason counts."""
        if self.closing is None:
            self.closing = Closing(code, reason)
        self._rouse()

    async def wait(self, seconds: float) -> bool:
        """Wait until there is something to do; False after `seconds` of silence."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while not self.has_work:
            if until <= loop.time():
                return False
            self._waiter = loop.create_future()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(until):
                    await self._waiter
        return True

    def take(self) -> Iterator[Notice]:
        """Everything that waits to be sent, one by one, until the listener is to end or has the rest read anew.

        What was given out last counts as sent.
        """
        self._taken, self._queue = self._queue, []
        self._taken.reverse()
        self._live_bytes = 0
        while self._taken and self.closing is None:
            notice = self._taken.pop()
            self._bytes -= len(notice.event)
            yield notice

    def _recall(self) -> None:
        """Let go of what waits: it was made before a decision of the sender's. The log is read again from there."""
        self.decisions += 1
        if self._taken or self._queue:
            self.position = (self._taken[-1] if self._taken else self._queue[0]).sequence - 1
            self._let_go()
            self.fall_behind()

    def _let_go(self) -> None:
        """Let go of what waits, queued or taken."""
        self._queue.clear()
        self._taken.clear()
        self._bytes = self._live_bytes = 0

    def _put(self, notice: Notice) -> bool:
        """Queue the next event if the stream carries it. Returns whether it does."""
        self.position = notice.sequence
        if not policy.streamed(notice.notified, self.stream):
            return False
        self._queue.append(notice)
        self._bytes += len(notice.event)
        self._rouse()
        return True

    def _hold(self, notice: Notice) -> None:
        """Hold a live event until the log is read. If too much is held the oldest goes: a gap to read from the log."""
        self._held.append(notice)
        self._held_bytes += len(notice.event)
        # The last one stays in any case, or nothing would show the gap.
        while len(self._held) > MOST_HELD or (self._held_bytes > self._max_bytes and len(self._held) > 1):
            self._held_bytes -= len(self._held.pop(0).event)

    def _rouse(self) -> None:
        if self.on_work is not None:
            self.on_work()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
