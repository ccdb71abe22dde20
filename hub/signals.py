"""The signals that ask for the end, and what they do before there is a server to hear them."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""They ask for the end; SIGHUP comes when the terminal is closed."""


def heeded() -> tuple[signal.Signals, ...]:
    """The `SIGNALS` to handle: all of them, but not SIGHUP if it is ignored, as under `nohup`."""
    hangs_up = signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN
    return tuple(each for each in SIGNALS if each != signal.SIGHUP or hangs_up)


@contextlib.contextmanager
def ending_at_once(status: int | None) -> Iterator[None]:
    """Have a signal end the process at once during the block, while there is nothing yet to clean up.

    The exit status is `status`, or for None the one by which a shell reports that signal.
    """
    before = {
        each: signal.signal(each, lambda number, _: os._exit(128 + number if status is None else status))
        for each in heeded()
    }
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


@contextlib.contextmanager
def interrupting() -> Iterator[None]:
    """Have each signal raise KeyboardInterrupt during the block, as SIGINT does, until other code handles it."""
    before = {each: signal.signal(each, signal.default_int_handler) for each in heeded()}
    try:
        yield
    finally:
        for each, handler in before.items():
            # But if a server has ended, it has set them to be ignored, and that stays.
            if signal.getsignal(each) is signal.default_int_handler:
                signal.signal(each, handler)
