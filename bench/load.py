"""The load: HTTP requests from a process of their own, as fast as they are answered or at a constant rate.

Promise: at a constant rate each answer's time counts from the moment its request was due, not from when the
generator sent it, so that a server that stalls is charged for every request it kept waiting. Every answer's
status is checked, and an answer is over when all of the length that it states has come.
"""

from __future__ import annotations

import select
import socket
import sys
import time
from array import array
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection

from bench.children import Child
from bench.figures import BenchError, percentile
from bench.machine import Watch, own_cpu_seconds
from bench.servers import Server

PATIENCE_SECONDS = 15.0
PAUSE_SECONDS = 0.0002
RECEIVE_BYTES = 65536
SECOND_NS = 1_000_000_000


@dataclass(frozen=True)
class Load:
    """What to ask for: `requests` in turn over `connections`, `rate` a second or as fast as they are answered.

    With `once`, the load ends when each request was sent once; else it goes round until `seconds` have passed, or until
    its generator is told to end. Every answer has to begin with `answer`.
    """

    port: int
    requests: Sequence[bytes]
    connections: int
    seconds: float
    rate: float | None = None
    once: bool = False
    answer: bytes = b"HTTP/1.1 200 "


@dataclass(frozen=True)
class Loaded:
    """What came of a load, in `seconds` up to the last answer.

    `numbers`, `due` and `latencies` have one entry for each answered request: which request it was, when it was due
    (nanoseconds of the machine's monotonic clock), and how many nanoseconds its answer took. `waits` has one for each
    request that was due and not answered, or not even sent for want of a free connection: how long it has waited.
    """

    seconds: float
    cpu_seconds: float
    numbers: array[int]
    due: array[int]
    latencies: array[int]
    waits: array[int]

    @property
    def unanswered(self) -> int:
        """How many requests were due and not answered."""
        return len(self.waits)

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.latencies) / self.seconds

    @property
    def cores(self) -> float:
        """How many cores the generator took."""
        return self.cpu_seconds / self.seconds

    def milliseconds(self, percent: float) -> float:
        """The percentile of the answers' times; an answer that never came took at least as long as was waited for."""
        return self.since(0, percent)

    def since(self, due: int, percent: float) -> float:
        """The percentile in milliseconds of those that were `due` then or later; all that never came are among them."""
        answered = (took for at, took in zip(self.due, self.latencies, strict=True) if at >= due)
        return percentile(sorted((*answered, *self.waits)), percent) / 1e6


def generator(load: Load) -> Child:
    """A process that says "ready"; once it is told anything it makes the load, and then says a `Loaded`. If it is told
    anything more meanwhile, the load ends."""
    return Child(_work, load)


def run(load: Load) -> Loaded:
    """Make the load now. Raises `BenchError` if a request fails."""
    with generator(load) as child:
        child.hear(PATIENCE_SECONDS)
        child.tell("go")
        return heard(child, load)


def watched(server: Server, load: Load) -> tuple[Loaded, Watch]:
    """Make the load now and watch what it takes of the machine, without the generator's start."""
    with generator(load) as child:
        child.hear(PATIENCE_SECONDS)
        watch = server.watch()
        child.tell("go")
        done = heard(child, load)
        watch.end()
    return done, watch


def heard(child: Child, load: Load) -> Loaded:
    """What a generator found after it was told to go. Raises `BenchError` if a request fails."""
    said = child.hear(load.seconds + 3 * PATIENCE_SECONDS)
    assert isinstance(said, Loaded)
    return said


def _work(load: Load, link: Connection) -> None:
    making = _Making(load, link)
    link.send("ready")
    link.recv()
    link.send(making.run())


class _Making:
    """One run of a load, on one thread: sends what is due, reads what has come, and sleeps when there is neither."""

    def __init__(self, load: Load, owner: Connection) -> None:
        """It ends early if its `owner` says anything."""
        self._load = load
        self._owner = owner
        self._poll = select.epoll()
        self._poll.register(owner.fileno(), select.EPOLLIN)
        self._end = 0
        self._sockets: dict[int, socket.socket] = {}
        for _ in range(load.connections):
            link = socket.create_connection(("127.0.0.1", load.port), timeout=PATIENCE_SECONDS)
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            link.setblocking(False)
            self._sockets[link.fileno()] = link
            self._poll.register(link.fileno(), select.EPOLLIN)
        self._idle = deque(self._sockets)
        self._asked: dict[int, tuple[int, int]] = {}
        self._partial: dict[int, bytes] = {}
        self._numbers, self._due, self._latencies = array("q"), array("q"), array("q")

    def run(self) -> Loaded:
        cpu, began = own_cpu_seconds(), time.monotonic_ns()
        self._end = began + int(self._load.seconds * SECOND_NS)
        if self._load.rate is None:
            self._as_fast_as_answered()
            unsent = []
        else:
            unsent = self._as_due(began, self._load.rate)
        # Wait only for the answers that are still due, and not for ever.
        stop = time.monotonic_ns()
        while self._asked and time.monotonic_ns() < stop + PATIENCE_SECONDS * SECOND_NS:
            self._take(0.1)
        ended, used = time.monotonic_ns(), own_cpu_seconds() - cpu
        for link in self._sockets.values():
            link.close()
        waits = array("q", (ended - due for due in (*(due for _, due in self._asked.values()), *unsent)))
        return Loaded((ended - began) / SECOND_NS, used, self._numbers, self._due, self._latencies, waits)

    def _as_fast_as_answered(self) -> None:
        number, total = 0, len(self._load.requests)
        most = total if self._load.once else sys.maxsize
        while (now := time.monotonic_ns()) < self._end and number < most:
            while self._idle and number < most:
                self._ask(number % total, now)
                number += 1
            self._take(0.1)

    def _as_due(self, began: int, rate: float) -> list[int]:
        """Send what is due. Returns when those were due that could not be sent."""
        number, total, step = 0, len(self._load.requests), SECOND_NS / rate

        def most() -> int:
            return total if self._load.once else int((self._end - began) / step)

        while number < most() and time.monotonic_ns() < self._end + PATIENCE_SECONDS * SECOND_NS:
            now = time.monotonic_ns()
            while number < most() and self._idle and (due := began + int(number * step)) <= now:
                self._ask(number % total, due)
                number += 1
            if not self._take(0):
                time.sleep(PAUSE_SECONDS)
        return [began + int(late * step) for late in range(number, most())]

    def _ask(self, number: int, due: int) -> None:
        at = self._idle.popleft()
        self._asked[at] = (number, due)
        self._sockets[at].send(self._load.requests[number])

    def _take(self, seconds: float) -> bool:
        """Read what has come; returns whether anything had."""
        ready = self._poll.poll(seconds)
        for at, _ in ready:
            if at == self._owner.fileno():
                self._owner.recv()
                self._end = min(self._end, time.monotonic_ns())
                continue
            data = self._partial.pop(at, b"") + self._sockets[at].recv(RECEIVE_BYTES)
            if not data.startswith(self._load.answer):
                raise BenchError(f"a request was answered with {data[:200]!r}")
            if not 0 < _size(data) <= len(data):
                self._partial[at] = data
                continue
            number, due = self._asked.pop(at)
            self._numbers.append(number)
            self._due.append(due)
            self._latencies.append(time.monotonic_ns() - due)
            self._idle.append(at)
        return bool(ready)


def _size(data: bytes) -> int:
    """How many bytes the answer that begins with `data` has in all, or 0 if that is not known yet.

    The answer is HTTP's, or Redis's one line with the number of those that heard a message.
    """
    if data.startswith(b":"):
        return data.find(b"\r\n") + 2 if b"\r\n" in data else 0
    head, found, _ = data.partition(b"\r\n\r\n")
    if not found:
        return 0
    length = head.lower().partition(b"content-length: ")[2].partition(b"\r")[0]
    return len(head) + 4 + int(length)
