"""The log: one line of JSON for each record, on stderr.

Promise: it has no secret, no address (of a machine or of a person) and no query string in it, whoever wrote the record.
The hub's own code never logs these; they are struck out of what libraries and exceptions say. Logging never waits.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import sys
import time
from collections.abc import Callable
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TextIO

from hub.config import Config
from hub.log_writer import LogWriter

REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
"""The id of the request being answered, for its log lines."""


def _without_mail(match: re.Match[str]) -> str:
    return match[0] if match["domain"] is None else "…@…"


STRUCK_OUT: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    (re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]+"), r"\1 …"),
    (
        re.compile(
            r"(?i)\b(token|password|secret|cookie|authorization)(['\"]?\s*[:=]\s*)(\"[^\"]*\"|'[^']*'|[^\s,;&]+)"
        ),
        r"\1\2…",
    ),
    (re.compile(r"\bglimpse_[\w-]{8,}"), "…"),
    (re.compile(r"://[^\s/@]+@"), "://…@"),
    # Finds also what is no address, so that a long text without an @ is not looked through from each of its letters.
    (re.compile(r"[\w.+%-]++(?P<domain>@[\w-]+(\.[\w-]+)+)?"), _without_mail),
    (re.compile(r"\?[^\s\"'<>]+"), "?…"),
    (re.compile(r"(?<![\w.])\d{1,3}(\.\d{1,3}){3}(?!\.?\w)"), "…"),
    (
        re.compile(r"(?i)(?<![\w:])(([\da-f]{1,4}:){7}[\da-f]{1,4}|(?=[\da-f:.]{0,40}::)[\da-f:.]{2,})(?![\w:])"),
        "…",
    ),
)
"""HTTP credentials, named secrets, API tokens, credentials in URLs, mail addresses, query strings, IPv4, IPv6. Each is
found in a time that grows with the text alone: a record is written on the event loop."""

UVICORN_LOGGER = "uvicorn.error"
UVICORN_NOISE = ("Application startup failed", "Invalid HTTP request", "Unsupported upgrade")


def strike_out(text: str) -> str:
    """`text` without anything that could be a secret, an address or a query string."""
    for pattern, replacement in STRUCK_OUT:
        text = pattern.sub(replacement, text)
    return text


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON: `time`, `level`, `logger`, `message`, and `request_id` and `exception`
    where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {
            "time": at.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": strike_out(record.getMessage().strip()),
        }
        if request_id := REQUEST_ID.get():
            line["request_id"] = request_id
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = strike_out(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False)


WAITING_SECONDS = 60.0
"""The least time between two lines that say that the same still waits for the database."""


class Seldom:
    """Tells whether to log what happens again and again: the first time, and then at most once in so many seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._quiet_until: dict[str, float] = {}

    def may_say(self, what: str = "") -> bool:
        """Whether to log now. `what` tells several such lines apart."""
        now = time.monotonic()
        if now < self._quiet_until.get(what, 0):
            return False
        self._quiet_until[what] = now + self._seconds
        return True

    def forget(self) -> None:
        """Take whatever happens next for the first time."""
        self._quiet_until.clear()


def is_not_noise(record: logging.LogRecord) -> bool:
    """A filter for uvicorn's logger. Noise is: a line for each WebSocket, which contains its address; one for each bad
    request; one for a failed start, whose reason the hub prints itself; and a traceback for each request that the end
    of the process cut off, after uvicorn has told how many there are.
    """
    cut_off = record.exc_info is not None and isinstance(record.exc_info[1], asyncio.CancelledError)
    return not (cut_off or '"WebSocket ' in str(record.msg) or str(record.msg).startswith(UVICORN_NOISE))


def configure_logging(config: Config, stream: TextIO | None = None) -> None:
    """Send every record of `config.log_level` and above to `stream` (default: stderr). Safe to repeat.

    `debug` and `info` are for the hub's own modules. Libraries, which at `debug` tell every query and frame, stay at
    `warning`; uvicorn logs from `error` on, but from `info` on if the level is `debug`.
    """
    handler = LogWriter(stream or sys.stderr)
    handler.setFormatter(JsonFormatter())
    level = getattr(logging, config.log_level.upper())
    root = logging.getLogger()
    for former in root.handlers:
        if isinstance(former, LogWriter):
            former.flush()
            former.close()
    root.handlers[:] = [handler]
    root.setLevel(max(level, logging.WARNING))
    logging.getLogger("hub").setLevel(level)
    uvicorn = logging.getLogger(UVICORN_LOGGER)
    uvicorn.setLevel(logging.INFO if level <= logging.DEBUG else max(level, logging.ERROR))
    if is_not_noise not in uvicorn.filters:
        uvicorn.addFilter(is_not_noise)
