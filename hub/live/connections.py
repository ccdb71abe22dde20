"""Connections: who is listening in this process, and what each of them still has to be sent.

Promise: a listener gets every event of its stream after the sequence it named, in order, each once. Live events and the
log go through one path: a listener that starts, or sees a gap in its user's sequences, or is told that the bus may have
lost something, reads the log from where it stands, and live events are held until it has. What waits for a slow
listener is bounded; a listener over the bound is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from hub.live.close_codes import CloseCode
from hub.live.listener import Kind, Listener
from hub.live.log_pages import PAGE, LogPages
from hub.live.notices import Item, Notice, Revoked, runs
from hub.model import Clock, Stream, User
from hub.store.away import DatabaseAway
from hub.store.credentials import Credential, Credentials
from hub.store.users import Users

logger = logging.getLogger(__name__)

MOST_REPLAYED = 1000
"""The most events replayed to a client that comes back. If there are more, none is, and it reads them over REST."""

PAGES_A_TURN = 2

DRAIN_STEPS = 50
"""In how many steps listeners are closed at the end. If there are fewer, they are closed one by one, in less time."""

RETRY_SECONDS = 1.0
"""How long a listener waits before it reads the log again after the database was found away."""

LOG_WENT_BACK = "the log went back behind what you have: come back"
"""The database is an older copy, restored or failed over to. Its next events have sequences that were used before."""

LOG_WAS_TRIMMED = "a part of the log that you lack is deleted: come back"


class Turnstile:
    """Lets `a_turn` callers pass in each turn of the event loop, so that hits and clients that are in pass between.

    What a client that comes back needs may all be done without a wait: thousands that come back together would keep
    everybody else waiting until all of them are in.
    """

    def __init__(self, a_turn: int) -> None:
        self._turn = asyncio.Semaphore(a_turn)

    async def passed(self) -> None:
        """Wait for one's turn, and for nothing else."""
        async with self._turn:
            await asyncio.sleep(0)


class TooManyListeners(Exception):
    """The user has as many listeners as one may have."""


class CredentialGone(Exception):
    """The credential was revoked or has expired."""


class Connections:
    """The listeners of this process, by user."""

    def __init__(
        self,
        users: Users,
        credentials: Credentials,
        pages: LogPages,
        *,
        max_per_user: int,
        max_bytes: int,
        clock: Clock,
        on_delivered: Callable[[float], None] = lambda _seconds: None,
    ) -> None:
        """A user may have `max_per_user` listeners of each kind, and `max_bytes` of live events waiting for each.

        `on_delivered` is told, for each live event, the seconds from its commit until its listeners here had it.
        """
        self._users = users
        self._credentials = credentials
        self._clock = clock
        self._pages = pages
        self._max_per_user = max_per_user
        self._max_bytes = max_bytes
        self._on_delivered = on_delivered
        self._by_user: dict[str, set[Listener]] = {}
        self._turns = Turnstile(PAGES_A_TURN)
        self.draining = False
        """Whether the server is going down: a client that comes now is sent away."""
        self._checks: set[asyncio.Task[Any]] = set()
        self._doubted: set[str] = set()
        """The users whose listeners are being compared with their logs."""

    def wants(self, user_id: str) -> bool:
        """Whether a user has a listener here."""
        return user_id in self._by_user

    def __len__(self) -> int:
        return sum(len(listeners) for listeners in self._by_user.values())

    @property
    def queued_bytes(self) -> int:
        """Bytes of events waiting in all queues together."""
        return sum(listener.queued_bytes for listener in self._all())

    async def join(
        self, credential: Credential, stream: Stream, after: int | None, base_url: str, kind: Kind
    ) -> tuple[Listener, User, bool]:
        """A listener for whoever showed a credential, which stands where they left off; its user as they are now; and
        what `start` returns.

        Raises `TooManyListeners`, `CredentialGone` or `DatabaseAway`, with nothing registered.
        """
        listener = self.add(credential.user.id, stream, credential.key, base_url, kind)
        try:
            # Read again now that the listener is registered: it may be revoked meanwhile, and the log's head has moved.
            current = await self._credentials.reload(credential, self._clock())
            if current is None:
                raise CredentialGone
            return listener, current.user, await self.start(listener, current.user, after)
        except BaseException:
            self.remove(listener)
            raise

    def add(
        self, user_id: str, stream: Stream, credential: str, base_url: str | None = None, kind: Kind = "socket"
    ) -> Listener:
        """Register a listener before its log is read, so that nothing falls between. Raises TooManyListeners.

        `base_url` is the hub's address as the client sees it: pixel addresses in its log begin with it.
        """
        listeners = self._by_user.get(user_id, set())
        if sum(listener.kind == kind for listener in listeners) >= self._max_per_user:
            raise TooManyListeners(user_id)
        self._by_user[user_id] = listeners
        listener = Listener(user_id, stream, credential, self._max_bytes, base_url, kind)
        listeners.add(listener)
        if self.draining:
            listener.close(CloseCode.GOING_DOWN, "the server is going down")
        return listener

    async def start(self, listener: Listener, user: User, after: int | None) -> bool:
        """Begin where the client left off, or now; returns whether everything since `after` will come.

        `user.sequence` must be read after the listener was added. If there are more than `MOST_REPLAYED` events, or
        some are deleted already, none are replayed. Raises `DatabaseAway`.
        """
        head = user.sequence
        if after is not None and after < head <= after + MOST_REPLAYED:
            page = await self._pages.after(user, after, listener.base_url)
            if _follows(page, after):
                if listener.decisions:
                    # The page may tell what the sender has muted since: it is read again.
                    listener.position = after
                else:
                    self._replay(listener, user, page)
                return True
        listener.caught_up(head)
        return after is None or after == head

    async def catch_up(self, listener: Listener) -> None:
        """Read the next page of the log for a listener that is behind; if the database is away, only wait a while."""
        await self._turns.passed()
        try:
            await self._read_on(listener)
        except DatabaseAway:
            await asyncio.sleep(RETRY_SECONDS)

    async def _read_on(self, listener: Listener) -> None:
        # While a listener is behind, only this moves its position, and a decision of the sender's.
        decisions = listener.decisions
        user = await self._users.get(listener.user_id)
        if user is None:
            listener.close(CloseCode.NOT_AUTHENTICATED, "the account is gone")
        elif listener.position > user.sequence:
            listener.close(CloseCode.GOING_DOWN, LOG_WENT_BACK)
        else:
            page = await self._pages.after(user, listener.position, listener.base_url)
            if listener.decisions != decisions:
                # The page may tell what the sender has muted since, and does not follow on what is sent: read it again.
                return
            if listener.position == user.sequence or _follows(page, listener.position):
                self._replay(listener, user, page)
            else:
                listener.close(CloseCode.GOING_DOWN, LOG_WAS_TRIMMED)

    def _replay(self, listener: Listener, user: User, page: Sequence[Notice]) -> None:
        listener.replay(page)
        if len(page) < PAGE:
            listener.caught_up(user.sequence)

    def remove(self, listener: Listener) -> None:
        """Forget a listener."""
        listeners = self._by_user.get(listener.user_id, set())
        listeners.discard(listener)
        if not listeners:
            self._by_user.pop(listener.user_id, None)

    def deliver(self, items: Sequence[Item]) -> None:
        """Hand the items of a parcel from the bus to the listeners they are for."""
        for item in items:
            if isinstance(item, Revoked):
                for listener in self._all():
                    if listener.credential == item.credential:
                        listener.close(CloseCode.NOT_AUTHENTICATED, "the credential was revoked")
        for run in runs(items):
            if listeners := self._by_user.get(run.notices[0].user_id):
                for listener in listeners:
                    if listener.offer(run):
                        self._doubt(listener.user_id)
                now = self._clock()
                for notice in run.notices:
                    # Another machine's clock may be ahead. A sum that goes down is a restart to Prometheus (its #6669).
                    self._on_delivered(max(0, now - notice.committed_at) / 1000)

    def resync(self) -> None:
        """The bus may have lost something: have every listener read the log, and look at every credential again."""
        for listener in self._all():
            listener.fall_behind()
        self._begin(self.check())

    async def check(self, grace: float = 0) -> bool:
        """Compare every listener with the database. One whose credential was revoked or has expired is closed. So is
        one ahead of the log: its client comes back and hears that it cannot be resumed. One behind the log reads it.

        Returns whether a listener had not been told of all that the log had `grace` seconds before.
        """
        listeners = self._all()
        with contextlib.suppress(DatabaseAway):
            valid = await self._credentials.valid({each.credential for each in listeners}, self._clock())
            for listener in listeners:
                if listener.credential not in valid:
                    listener.close(CloseCode.NOT_AUTHENTICATED, "the credential was revoked or has expired")
            return await self._compare(listeners, grace)
        return False

    def _doubt(self, user_id: str) -> None:
        """An old event came live: it came twice, or the log is an older copy, which may soon have caught up again."""
        if user_id not in self._doubted:
            self._doubted.add(user_id)
            self._begin(self._compare_again(user_id))

    async def _compare_again(self, user_id: str) -> None:
        try:
            with contextlib.suppress(DatabaseAway):
                await self._compare(list(self._by_user.get(user_id, ())))
        finally:
            self._doubted.discard(user_id)

    async def _compare(self, listeners: Sequence[Listener], grace: float = 0) -> bool:
        # Noted before the log is asked: what is delivered meanwhile may be newer than the answer.
        stood = [listener.position for listener in listeners]
        heads = await self._users.heads({listener.user_id for listener in listeners})
        await asyncio.sleep(grace)
        missed = False
        for listener, position in zip(listeners, stood, strict=True):
            head = heads.get(listener.user_id, position)
            if position > head:
                listener.close(CloseCode.GOING_DOWN, LOG_WENT_BACK)
            elif listener.position < head and self._is_listening(listener):
                missed = missed or not listener.behind
                listener.fall_behind()
        return missed

    def _is_listening(self, listener: Listener) -> bool:
        return listener.closing is None and listener in self._by_user.get(listener.user_id, ())

    def _begin(self, comparison: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.create_task(comparison)
        self._checks.add(task)
        task.add_done_callback(self._checks.discard)

    async def drain(self, seconds: float, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Close every listener with 4001, spread over `seconds` so that they do not come back all at once."""
        self.draining = True
        listeners = self._all()
        some = -(-len(listeners) // DRAIN_STEPS)
        for place in range(0, len(listeners), some or 1):
            for listener in listeners[place : place + some]:
                listener.close(CloseCode.GOING_DOWN, "the server is going down")
            await sleep(seconds / DRAIN_STEPS)

    def _all(self) -> list[Listener]:
        return [listener for listeners in self._by_user.values() for listener in listeners]


def _follows(page: Sequence[Notice], sequence: int) -> bool:
    """Whether nothing is missing between `sequence` and a page of the log that was read after it.

    A log is deleted from its beginning: if the next event is there, all are.
    """
    return bool(page) and page[0].sequence == sequence + 1
