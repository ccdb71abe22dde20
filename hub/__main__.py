"""Where Python begins: `python -m hub …`, installed as `glimpse`.

Promise: from here on a signal that asks for the end ends the process without a traceback, even during the imports of a
command, which take a second. That holds for process 1 of a container too, which gets only the signals that it handles.
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
