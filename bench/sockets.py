"""A crowd of clients as a measure uses it: opened, waited for, asked what it heard."""

from __future__ import annotations

import json
import time

from bench.children import Child
from bench.crowd import Crowd, Heard, Opening, Status, hear_all
from bench.figures import BenchError

HEAR_SECONDS = 20.0
POLL_SECONDS = 0.05


def hub_opening(token: str, stream: str = "notifications", after: int | None = None, missed: int = 0) -> Opening:
    """A client of the hub's."""
    first = {"type": "connect", "token": token, "stream": stream, "after": after}
    return Opening("/api/v1/ws", json.dumps(first), missed)


class Clients:
    """A crowd as its owner sees it; it ends with `close` or at the end of the block."""

    def __init__(self, crowd: Crowd) -> None:
        self._size = len(crowd.openings)
        self._child = Child(hear_all, crowd)
        self._child.hear(HEAR_SECONDS)

    def open(self, seconds: float) -> None:
        """Open all sockets. Raises `BenchError` if not all are live in time."""
        self.start()
        deadline = time.monotonic() + seconds
        while (status := self.status()).live < self._size:
            if status.closed or time.monotonic() > deadline:
                raise BenchError(f"{status.live} of {self._size} sockets are live, and {status.closed} were closed")
            time.sleep(POLL_SECONDS)

    def start(self) -> None:
        """Begin to open the sockets."""
        self._child.tell("open")

    def status(self) -> Status:
        """How they are doing."""
        self._child.tell("status")
        said = self._child.hear(HEAR_SECONDS)
        assert isinstance(said, Status)
        return said

    def begin(self) -> None:
        """Forget what was heard so far."""
        self._child.tell("begin")

    def wait(self, events: int, seconds: float, silence: float = 8.0) -> bool:
        """Wait until this many `events` came since `begin`; False after `seconds`, or `silence` seconds without one."""
        deadline = time.monotonic() + seconds
        quiet_since, before = time.monotonic(), -1
        while (now := self.status().events) < events:
            if now != before:
                quiet_since, before = time.monotonic(), now
            if time.monotonic() > min(deadline, quiet_since + silence):
                return False
            time.sleep(POLL_SECONDS)
        return True

    def heard(self) -> Heard:
        """What came since `begin`."""
        self._child.tell("heard")
        said = self._child.hear(HEAR_SECONDS)
        assert isinstance(said, Heard)
        return said

    def close(self) -> None:
        """End it, with all its sockets."""
        self._child.close()

    def __enter__(self) -> Clients:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
