"""Where Python begins: `python -m hub …`, installed as `glimpse`.

Promise: a signal to end is heeded from here on, also by process 1 of a container, which the system spares every signal
that it does not handle, and without a traceback. What a command needs takes a second to import.
"""

from __future__ import annotations

import sys

from hub.signals import ending_at_once


def main() -> None:
    """The entry point: run a command."""
    with ending_at_once(0 if sys.argv[1:2] == ["serve"] else None):
        from hub.commands import main as run
    run()


if __name__ == "__main__":
    main()
