"""The log: JSON lines with nothing in them that should not leave the process."""

from __future__ import annotations

import asyncio
import io
import ipaddress
import json
import logging
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.config import Config
from hub.logs import REQUEST_ID, UVICORN_LOGGER, Seldom, configure_logging, strike_out

SAFE = [
    "the listener of the bus is down, trying again: no answer in time",
    "12:30:45 took 1.25 s for 3.11.7, module hub.live::bus is fine",
    "https://hub.example.com/o/abc.gif answered 200",
]

UNSAFE = [
    ("Authorization: Bearer abc.def-ghi", "abc.def-ghi"),
    ('{"type":"connect","token":"s3cr3t"}', "s3cr3t"),
    ("password=hunter2, next", "hunter2"),
    ("made glimpse_Zm9vYmFyYmF6 today", "Zm9vYmFyYmF6"),
    ("postgresql://user:pa55@db.example.com/hub", "pa55"),
    ("mail to sales.person+tag@mail.example.com failed", "sales.person"),
    ("first@example.com%second@example.com", "second"),
    ('"GET /api/v1/messages?q=secret+word" 200', "secret"),
    ("Connect call failed ('192.0.2.7', 6379)", "192.0.2.7"),
    ("from 192.0.2.7:5555.", "192.0.2.7"),
    ("from [2001:db8::7]:5555", "2001:db8::7"),
    ("from ::1", "::1"),
]


@pytest.mark.parametrize("text", SAFE)
def test_text_without_secrets_is_kept(text: str) -> None:
    assert strike_out(text) == text


@pytest.mark.parametrize(("text", "secret"), UNSAFE)
def test_secret_is_struck_out(text: str, secret: str) -> None:
    assert secret not in strike_out(text)


@pytest.mark.parametrize("piece", ["1", "a", ".", ":", "a.", "1.1.", "a@", "a@a.", "::", ".::", "://a", "token=", "?"])
def test_long_text_is_struck_out_in_no_time(piece: str) -> None:
    text = piece * (200_000 // len(piece))
    began = time.perf_counter()
    strike_out(text)
    # By the square of its length, this would be minutes.
    assert time.perf_counter() - began < 5


@given(st.ip_addresses(), st.sampled_from(["from {}", "({}, 80)", "http://{}/x", "[{}]:80", "{}."]))
def test_address_of_a_machine_is_struck_out(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, template: str
) -> None:
    assert str(address) not in strike_out(template.format(address))


@pytest.fixture
def output() -> io.StringIO:
    """Where the configured log goes."""
    return io.StringIO()


def lines(output: io.StringIO) -> list[dict[str, Any]]:
    logging.getLogger().handlers[0].flush()
    return [json.loads(line) for line in output.getvalue().splitlines()]


def test_record_is_one_line_of_json(output: io.StringIO) -> None:
    configure_logging(Config(), output)
    token = REQUEST_ID.set("request-1")
    try:
        raise ValueError("first\nsecond 192.0.2.7")
    except ValueError:
        logging.getLogger("hub.recorder").exception("a batch\nof %d failed", 3)
    finally:
        REQUEST_ID.reset(token)
    logging.getLogger("hub.recorder").info("on it goes")
    [failed, goes_on] = lines(output)
    assert failed["level"] == "error"
    assert failed["logger"] == "hub.recorder"
    assert failed["message"] == "a batch\nof 3 failed"
    assert failed["request_id"] == "request-1"
    assert failed["exception"].endswith("ValueError: first\nsecond …")
    assert failed["time"].endswith("Z")
    assert set(goes_on) == {"time", "level", "logger", "message"}


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("debug", ["hub debug", "hub info", "library warning", "uvicorn info", "uvicorn error"]),
        ("info", ["hub info", "library warning", "uvicorn error"]),
        ("error", ["uvicorn error"]),
    ],
)
def test_level_lets_through_what_it_should(output: io.StringIO, level: str, expected: list[str]) -> None:
    configure_logging(Config(log_level=level), output)
    configure_logging(Config(log_level=level), output)
    logging.getLogger("hub.bus").debug("hub debug")
    logging.getLogger("hub.bus").info("hub info")
    logging.getLogger("library").info("connected")
    logging.getLogger("library").warning("library warning")
    uvicorn = logging.getLogger(UVICORN_LOGGER)
    uvicorn.debug("> frame with a token")
    uvicorn.info("uvicorn info")
    uvicorn.info('%s - "WebSocket %s" [accepted]', "192.0.2.7:1", "/ws?token=secret")
    uvicorn.warning("Invalid HTTP request received.")
    uvicorn.error("Exception in ASGI application", exc_info=asyncio.CancelledError("it took too long to end"))
    uvicorn.error("uvicorn error")
    assert [line["message"] for line in lines(output)] == expected


def test_line_that_comes_again_and_again_is_said_at_first_and_then_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.5
    monkeypatch.setattr("hub.logs.time.monotonic", lambda: now)
    lines = Seldom(10)
    assert [lines.may_say("one"), lines.may_say("one"), lines.may_say("another")] == [True, False, True]
    now = 10.4
    assert not lines.may_say("one")
    now = 10.5
    assert lines.may_say("one")
    lines.forget()
    assert lines.may_say("one")
