"""The machine under a process: notices what goes wrong there and is reported by nothing else.

Promise: when there are no file descriptors left, so that new connections are refused, a line in the log says so within
seconds, and another when there are some again. When the clock is set back, a line says by how much.
"""

from __future__ import annotations

import errno
import logging
import os
import time

from hub.model import Clock

logger = logging.getLogger(__name__)

STEP_MS = 2000
"""A clock that falls back by less than this between two looks was not set back: NTP only slows it for a while."""


class Machine:
    """Watches the machine: call `look` now and then. `clock` is the clock that the hub's times are taken from."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ahead = self._offset()
        self._was_out = False

    def look(self) -> None:
        """Say what has changed since the last look."""
        out = out_of_descriptors()
        if out and not self._was_out:
            logger.error("no file descriptors are left: new connections are refused; raise the limit (ulimit -n)")
        elif self._was_out and not out:
            logger.warning("there are file descriptors again")
        self._was_out = out
        offset = self._offset()
        if offset < self._ahead - STEP_MS:
            logger.warning(
                "the clock was set back by %.0f s: what is told from now on has earlier times",
                (self._ahead - offset) / 1000,
            )
        self._ahead = offset

    def _offset(self) -> int:
        """How far the clock is ahead of the monotonic one, in milliseconds."""
        return self._clock() - time.monotonic_ns() // 1_000_000


def out_of_descriptors() -> bool:
    """Whether this process has no file descriptor left for another file or connection."""
    try:
        os.close(os.dup(2))
    except OSError as error:
        return error.errno in (errno.EMFILE, errno.ENFILE)
    return False
