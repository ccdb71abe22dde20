"""The signals that ask for the end, and what they do before there is a server to hear them."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""What asks for the end; SIGHUP, when the terminal is closed."""


def heeded() -> tuple[signal.Signals, ...]:
    """Those of `SIGNALS` to handle: all, but SIGHUP where it is ignored, as `nohup` has it."""
    hangs_up = signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN
    return tuple(each for each in SIGNALS if each != signal.SIGHUP or hangs_up)


@contextlib.contextmanager
def ending_at_once(status: int | None) -> Iterator[None]:
    """Have a signal end the process in the block, in which there is nothing yet to be put in order.

    Its exit status is `status`, or for None what a shell makes of that signal.
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
    """Have every signal raise KeyboardInterrupt in the block, as SIGINT does, until somebody else handles it."""
    before = {each: signal.signal(each, signal.default_int_handler) for each in heeded()}
    try:
        yield
    finally:
        for each, handler in before.items():
            # A server ignores them from its end on.
            if signal.getsignal(each) is signal.default_int_handler:
                signal.signal(each, handler)
