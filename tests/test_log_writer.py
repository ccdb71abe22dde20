"""The log's way out: whoever logs never waits, and what was dropped is said."""

from __future__ import annotations

import errno
import io
import logging
import threading

from hub.config import Config
from hub.log_writer import MOST_WAITING
from hub.logs import configure_logging
from tests.processes import PATIENCE_SECONDS, wait_until
from tests.test_logs import lines


class Slow(io.StringIO):
    """A stream that is like a full pipe until `reading` is set; or, if it `fails`, like a full disk until then."""

    def __init__(self, *, fails: bool = False) -> None:
        super().__init__()
        self.reading = threading.Event()
        self.fails = fails

    def write(self, text: str) -> int:
        if self.fails and not self.reading.is_set():
            raise OSError(errno.ENOSPC, "No space left on device")
        assert threading.current_thread() is not threading.main_thread(), "logging must not wait for the stream"
        assert self.reading.wait(PATIENCE_SECONDS)
        return super().write(text)


def test_log_that_nobody_reads_keeps_nobody_waiting_and_says_later_what_was_dropped() -> None:
    slow = Slow()
    configure_logging(Config(), slow)
    logger = logging.getLogger("hub.recorder")
    for number in range(MOST_WAITING + 50):
        logger.info("line %d", number)
    slow.reading.set()
    wait_until(lambda: "dropped" in slow.getvalue())
    logger.info("on it goes")
    messages = [line["message"] for line in lines(slow)]
    [notice] = [message for message in messages if "dropped" in message]
    dropped = int(notice.split()[0])
    messages.remove(notice)
    assert messages == [*(f"line {number}" for number in range(MOST_WAITING + 50 - dropped)), "on it goes"]
    assert dropped in (49, 50), "the writing thread may have had one line"


def test_line_that_cannot_be_written_is_counted_and_the_next_is_tried() -> None:
    full = Slow(fails=True)
    configure_logging(Config(), full)
    logger = logging.getLogger("hub.recorder")
    for number in range(3):
        logger.info("line %d", number)
    logging.getLogger().handlers[0].flush()
    full.reading.set()
    logger.info("on it goes")
    assert [line["message"] for line in lines(full)] == [
        "on it goes",
        "3 lines of the log were dropped: they were not read, or could not be written",
    ]


def test_lines_logged_before_are_written_before_the_log_goes_elsewhere() -> None:
    first, second = io.StringIO(), io.StringIO()
    for each in (first, second):
        configure_logging(Config(), each)
        logging.getLogger("hub.recorder").info("on it goes")
    assert [len(lines(each)) for each in (first, second)] == [1, 1]
