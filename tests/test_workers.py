"""Several workers, and their supervisor when something fails around it."""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hub.workers import SOUND_SECONDS, Supervisor
from tests.processes import PATIENCE_SECONDS, wait_until
from tests.served import FAILURE
from tests.served_process import Start

FAILING = """
import io, sys
from hub.config import Config
from hub.server import serve
from tests import served

class Defect(io.StringIO):
    def write(self, text):
        raise RuntimeError("as if")

sys.stdout = Defect()
serve(served.good, Config(port=0, workers=2, redis_url="redis://127.0.0.1/0"), host="127.0.0.1")
"""


def test_worker_that_cannot_be_replaced_at_once_is_replaced_later(start: Start) -> None:
    server = start(workers=2).wait_ready()
    lost, _ = map(int, server.journal("started"))
    limits = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
    used = {int(each.name) for each in Path(f"/proc/{server.process.pid}/fd").iterdir()}
    few = next(number for number in count() if number not in used)
    resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (few, limits[1]))
    os.kill(lost, signal.SIGKILL)
    wait_until(lambda: "a worker cannot be started: Too many open files" in server.log.read_text())
    resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, limits)
    wait_until(lambda: len(server.journal("started")) == 3)
    server.process.terminate()
    assert server.process.wait(PATIENCE_SECONDS) == 0
    assert len(server.journal("stopped")) == 2


def test_replaced_worker_that_cannot_serve_is_tried_again_and_ends_nobody_else(start: Start) -> None:
    server = start(workers=2).wait_ready()
    os.kill(int(server.journal("started")[0]), signal.SIGKILL)
    wait_until(lambda: len(server.journal("started")) == 3)
    (server.directory / f"fail-{server.journal('started')[2]}").touch()
    wait_until(lambda: len(server.journal("started")) == 4)
    assert f"starting another: {FAILURE}" in server.log.read_text()
    assert len(server.journal("stopped")) == 1


def test_supervisor_that_fails_ends_its_workers_and_itself(start: Start) -> None:
    server = start(through=(sys.executable, "-c", FAILING))
    assert server.process.wait(PATIENCE_SECONDS) == 1
    assert "RuntimeError: as if" in server.log.read_text()
    assert len(server.journal("stopped")) == 2


def test_workers_that_die_young_are_replaced_ever_later_and_one_that_lived_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = SimpleNamespace(now=1000.0)
    clock.monotonic = lambda: clock.now

    class Mortal:
        """A worker that serves, until it is told to die."""

        def __init__(self, _work: Any, *, first: bool) -> None:
            self.first, self.began, self.ready, self.failure = first, clock.now, True, ""
            self.process = SimpleNamespace(exitcode=None)
            self.hear: Callable[[], None] = lambda: None
            self.close: Callable[[], None] = lambda: None

    monkeypatch.setattr("hub.workers.time", clock)
    monkeypatch.setattr("hub.workers.random", SimpleNamespace(uniform=lambda _least, most: most))
    monkeypatch.setattr("hub.workers.Worker", Mortal)
    supervisor = Supervisor(1, lambda _report: 0, lambda: None, lambda: None)

    def wait_after(life: float) -> float | None:
        """For how long nobody is started after a worker has lived for `life`; then another is."""
        supervisor._start_missing()
        supervisor._look_after()
        clock.now += life
        worker: Any = supervisor._workers[0]
        worker.process.exitcode = 1
        supervisor._look_after()
        wait = supervisor._pause() or 0.0
        clock.now += wait * 0.99
        supervisor._start_missing()
        assert len(supervisor._workers) == (0 if wait else 1)
        clock.now += wait
        return wait

    assert [wait_after(0) for _ in range(7)] == [1, 2, 4, 8, 16, 30, 30]
    assert wait_after(SOUND_SECONDS) == 0
    assert wait_after(0) == 1


def test_reason_of_a_worker_that_ends_while_it_is_looked_at_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class Hasty:
        """A worker that reports why it cannot serve, and ends, just before the supervisor asks for its status."""

        def __init__(self, _work: Any, *, first: bool) -> None:
            self.first, self.ready, self.failure, self.reported = first, False, "", ""
            self.process = self

        @property
        def exitcode(self) -> int:
            self.reported = "the reason"
            return 1

        def hear(self) -> None:
            self.failure = self.reported

    monkeypatch.setattr("hub.workers.Worker", Hasty)
    supervisor = Supervisor(1, lambda _report: 0, lambda: None, lambda: None)
    supervisor._start_missing()
    assert supervisor._look_after() == "the reason"
