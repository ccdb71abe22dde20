"""The last resort: ends a process that does not end by itself because something in it hangs."""

from __future__ import annotations

import logging
import os
import threading
import time
from queue import SimpleQueue

logger = logging.getLogger(__name__)


class LastResort:
    """Ends the process with status 1, `seconds` after the first `begin`, if it is still there."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._begun: SimpleQueue[None] = SimpleQueue()
        threading.Thread(target=self._run, name="last resort", daemon=True).start()

    def begin(self) -> None:
        """Start the countdown. A signal handler may call it, and more than once: the event loop may be what hangs."""
        self._begun.put(None)

    def _run(self) -> None:
        self._begun.get()
        time.sleep(self._seconds)
        logger.critical("the end took longer than %g s and is cut short", self._seconds)
        logging.shutdown()
        os._exit(1)
