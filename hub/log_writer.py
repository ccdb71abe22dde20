"""The log's way out: a thread writes the lines, so that code that logs never waits for a reader.

Promise: nothing stops because the log is read slowly or not at all, or because its disk is full. Lines that find no
room are dropped; once lines go through again, one says how many. At the end, waiting lines have a second to be written.
"""

from __future__ import annotations

import logging
import os
import select
import threading
from collections import deque
from typing import TextIO

MOST_WAITING = 1000
"""The most lines that wait to be written."""

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
        """Wait until every line taken is written, but at most a second."""
        with self._changed:
            self._changed.wait_for(lambda: not (self._waiting or self._writing), FLUSH_SECONDS)

    def close(self) -> None:
        """End the thread once it has written the lines that wait."""
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
        """Count a line that was lost; after one that was written, log how many were lost before."""
        with self._changed:
            dropped = self._dropped
            self._dropped += not written
        if written and dropped and self._write(self.format(_notice(dropped))):
            with self._changed:
                self._dropped -= dropped

    def _write(self, line: str) -> bool:
        """Write a line, however long that takes. Returns whether it could be written."""
        if self._stream is None:
            return True
        try:
            if self._descriptor is None:
                self._stream.write(f"{line}\n")
                self._stream.flush()
            else:
                # Past the stream: Python takes the stream's lock as it exits, and crashes if a thread holds it then.
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
