"""Several worker processes behind one port, looked after by one that does nothing else.

Promise: a worker that dies is replaced; a first start that fails is told once and ends everything; one
SIGTERM, SIGINT or SIGHUP lets every worker drain at the same time, and further ones change nothing. A supervisor that
fails ends its workers first. Workers whose supervisor was killed stop by themselves (they watch
`multiprocessing.parent_process().sentinel`).
uvicorn's own supervisor (0.54, read 2026-11-23) starts uvicorn's own server only, which cannot drain, and
leaves its workers behind, on the port, when it is killed.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import random
import signal
import socket
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Protocol

from hub.signals import heeded

STOP_SECONDS = 28.0
"""How long the workers together have to end; less than the 30 a Heroku-style host gives."""

RETRY_MOST_SECONDS = 30.0
"""The longest wait before a worker is started anew."""

SOUND_SECONDS = 10.0
"""If a worker lived for less than this, the next may die of the same cause: the wait before the next grows."""

logger = logging.getLogger(__name__)


class Work(Protocol):
    """What a worker runs; it must be picklable. It calls `report` with "" once it serves, or with the reason why it
    cannot, also if it finds that out only later. It returns its exit status."""

    def __call__(self, report: Callable[[str], None]) -> int: ...


class Worker:
    """One worker process; `first` says that it belongs to the first start."""

    def __init__(self, work: Work, *, first: bool) -> None:
        self.first = first
        context = multiprocessing.get_context("spawn")
        self.reports, reporting = context.Pipe(duplex=False)
        self.began = time.monotonic()
        self.ready = False
        self.failure = ""
        self.process: SpawnProcess = context.Process(target=_run, args=(work, reporting), name="glimpse worker")
        self.process.start()
        reporting.close()

    def hear(self) -> None:
        """Take in what it has reported: that it serves, or why it cannot."""
        with contextlib.suppress(EOFError):
            while not self.failure and self.reports.poll():
                self.failure = self.reports.recv()
                self.ready = self.ready or not self.failure

    def close(self) -> None:
        """Wait until it has ended, and forget it."""
        self.process.join()
        self.process.close()
        self.reports.close()


def _run(work: Work, reporting: Connection) -> None:
    raise SystemExit(work(reporting.send))


class Supervisor:
    """Keeps `count` workers running until it is told to stop.

    `ready` is called once, when all workers first serve; `ending` once no further worker will be started.
    """

    def __init__(self, count: int, work: Work, ready: Callable[[], None], ending: Callable[[], None]) -> None:
        self._count = count
        self._work = work
        self._ready = ready
        self._ending = ending
        self._served = False
        self._stopping = False
        self._workers: list[Worker] = []
        self._failures = 0
        self._next_start = 0.0

    def run(self) -> str | None:
        """Work until a signal, and then until all workers have ended.

        Returns None, or the reason why the workers could not be started. The signals are ignored from then
        on: another one while the process ends is to do no harm.
        """
        reason: str | None = None
        with _waker(self._stop) as waker:
            try:
                while not self._stopping and reason is None:
                    reason = self._start_missing()
                    if reason is None:
                        wait([waker, *self._watched()], timeout=self._pause())
                        _empty(waker)
                        reason = None if self._stopping else self._look_after()
            finally:
                # As it exits, Python waits for every worker that is left, and no signal can end that wait any more.
                self._end(waker)
        return reason

    def _stop(self) -> None:
        self._stopping = True

    def _pause(self) -> float | None:
        if len(self._workers) == self._count:
            return None
        return max(0.0, self._next_start - time.monotonic())

    def _watched(self) -> list[int | Connection]:
        watched: list[int | Connection] = [worker.process.sentinel for worker in self._workers]
        return watched + [worker.reports for worker in self._workers if not worker.ready and not worker.failure]

    def _start_missing(self) -> str | None:
        """Start the workers that are due. Returns the reason if the first start has failed."""
        while len(self._workers) < self._count and time.monotonic() >= self._next_start:
            try:
                self._workers.append(Worker(self._work, first=not self._served))
            except OSError as error:
                reason = f"a worker cannot be started: {error.strerror or error}"
                if not self._served:
                    return reason
                self._wait_before_next()
                logger.error("%s; it is tried again", reason)
        return None

    def _look_after(self) -> str | None:
        """Take in what happened. Returns the reason if the first start has failed."""
        for worker in list(self._workers):
            # The status first: a worker says why before it ends, so all that one which has ended said is heard.
            status = worker.process.exitcode
            worker.hear()
            if not self._served and (worker.failure or status is not None):
                return worker.failure or f"a worker ended at its start with status {status}"
            if worker.failure and worker.first:
                return worker.failure
            if status is not None:
                self._lost(worker, worker.failure or f"it ended with status {status}")
        if not self._served and sum(worker.ready for worker in self._workers) == self._count:
            self._served = True
            self._ready()
        return None

    def _lost(self, worker: Worker, reason: str) -> None:
        """Forget a worker that died; another starts after a pause that grows while they die young."""
        young = time.monotonic() - worker.began < SOUND_SECONDS
        if young:
            self._wait_before_next()
        else:
            self._failures, self._next_start = 0, 0.0
        logger.error("a worker is lost, starting another: %s", reason)
        self._workers.remove(worker)
        worker.close()

    def _wait_before_next(self) -> None:
        self._failures = min(self._failures + 1, 16)
        pause = random.uniform(0, min(RETRY_MOST_SECONDS, 0.5 * 2**self._failures))
        self._next_start = time.monotonic() + pause

    def _end(self, waker: socket.socket) -> None:
        """Let all workers drain at once, and wait; those that do not end in time are killed."""
        self._ending()
        for worker in self._workers:
            worker.process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        while running := [each for each in self._workers if each.process.exitcode is None]:
            left = deadline - time.monotonic()
            if left <= 0:
                logger.error("%d workers did not end in time and are killed", len(running))
                for worker in running:
                    worker.process.kill()
                break
            wait([waker, *(worker.process.sentinel for worker in running)], timeout=left)
            _empty(waker)
        for worker in self._workers:
            worker.close()
        self._workers.clear()


@contextlib.contextmanager
def _waker(stop: Callable[[], None]) -> Iterator[socket.socket]:
    """A socket that becomes readable on a signal to end, which also calls `stop`."""
    signals = heeded()
    waker, sleeper = socket.socketpair()
    with waker, sleeper:
        waker.setblocking(False)
        sleeper.setblocking(False)
        for each in signals:
            signal.signal(each, lambda *_: stop())
        before = signal.set_wakeup_fd(sleeper.fileno(), warn_on_full_buffer=False)
        try:
            yield waker
        finally:
            for each in signals:
                signal.signal(each, signal.SIG_IGN)
            signal.set_wakeup_fd(before)


def _empty(waker: socket.socket) -> None:
    with contextlib.suppress(BlockingIOError):
        waker.recv(4096)
