"""The log's way out: lines are written by a thread, so that nobody who logs waits for who reads.

Promise: a log that is read slowly, by nobody, or from a full disk stops nothing. What finds no room is dropped, and how
much that was is said once lines go through again. At the end what waits has a second to be written.
"""

from __future__ import annotations

import logging
import os
import select
import threading
from collections import deque
from typing import TextIO

MOST_WAITING = 1000
"""Lines that wait to be written at the most."""

FLUSH_SECONDS = 1.0


class LogWriter(logging.Handler):
    """Writes formatted records to `stream`, or nowhere if that is None."""

    def __init__(self, stream: TextIO | None) -> None:
        super().__init__()
        self._stream = stream
        self._descriptor = _descriptor(stream)
        self._waiting: deque[str] = deque()
        self._changed = threading.Condition()
        self._writing = False
        self._closed = False
        self._dropped = 0
        threading.Thread(target=self._run, name="log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record; returns at once."""
        try:
            line = self.format(record)
        except Exception:
            self.handleError(record)
            return
        with self._changed:
            if len(self._waiting) < MOST_WAITING:
                self._waiting.append(line)
                self._changed.notify_all()
            else:
                self._dropped += 1

    def flush(self) -> None:
        """Wait until all that was taken is written, for a second at the most."""
        with self._changed:
            self._changed.wait_for(lambda: not (self._waiting or self._writing), FLUSH_SECONDS)

    def close(self) -> None:
        """Take no more; what waits is still written."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        super().close()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._writing = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._waiting or self._closed)
                if not self._waiting:
                    return
                line = self._waiting.popleft()
                self._writing = True
            self._count(self._write(line))

    def _count(self, written: bool) -> None:
        """Note a line that was lost; or after one that was not, say how many were."""
        with self._changed:
            dropped = self._dropped
            self._dropped += not written
        if written and dropped and self._write(self.format(_notice(dropped))):
            with self._changed:
                self._dropped -= dropped

    def _write(self, line: str) -> bool:
        """Write a line, however long that takes; whether it could be written."""
        if self._stream is None:
            return True
        try:
            if self._descriptor is None:
                self._stream.write(f"{line}\n")
                self._stream.flush()
            else:
                # Past the stream, whose lock Python wants as it exits: a thread that holds it then is fatal.
                _write_all(self._descriptor, f"{line}\n".encode(errors="backslashreplace"))
        except (OSError, ValueError):
            return False
        return True


def _descriptor(stream: TextIO | None) -> int | None:
    try:
        return None if stream is None else stream.fileno()
    except (AttributeError, OSError, ValueError):
        return None


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        try:
            data = data[os.write(descriptor, data) :]
        except BlockingIOError:
            select.select([], [descriptor], [])


def _notice(dropped: int) -> logging.LogRecord:
    text = "%d lines of the log were dropped: they were not read, or could not be written"
    return logging.LogRecord(__name__, logging.WARNING, __file__, 0, text, (dropped,), None)
