"""Where Python begins: `python -m hub …`, installed as `glimpse`.

Promise: from here on a signal that asks for the end ends the process without a traceback, even during the imports of a
command, which take a second. That holds for process 1 of a container too, which gets only the signals that it handles.
A driver's thread that is late leaves none either.
"""

from __future__ import annotations

import sys
import threading

from hub.signals import ending_at_once


def end_of_thread(end: threading.ExceptHookArgs) -> None:
    """Print what ended a thread, unless it only had no event loop left to report to.

    aiosqlite (0.22, read 2026-11) does not wait for the thread of a connection that fails while it is opened. A command
    that ends because of that may have closed its loop before the thread says that it is done.
    """
    if not (isinstance(end.exc_value, RuntimeError) and str(end.exc_value) == "Event loop is closed"):
        threading.__excepthook__(end)


def main() -> None:
    """The entry point: run a command."""
    threading.excepthook = end_of_thread
    with ending_at_once(0 if sys.argv[1:2] == ["serve"] else None):
        from hub.commands import main as run
    run()


if __name__ == "__main__":
    main()
