"""Explaining: the verdict on any hit that somebody describes, with its reasons in words.

Promise: the same functions judge here as on the way in, so what is explained is what happens. Only a request that is
no hit, because it is no GET, is judged here alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from hub.model import Device, Place, Verdict
from hub.tracking.classify import Context, classify, device_of, examine, explain_reason
from hub.tracking.datasets import Datasets
from hub.tracking.rules import RULESET
from hub.tracking.visit import NO_PROXIES, read_visit

WELL_AFTER_MS = 3_600_000
MOST_SECONDS = 3_155_760_000
"""A hundred years, before or after the message was sent."""

TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
"""What the names of methods and headers are made of (RFC 9110, 5.6.2)."""
IN_NO_HEADER = re.compile(r"[\0-\x08\x0a-\x1f\x7f]")


class NoSuchHit(ValueError):
    """No request could be like that. The message is one line that names the option and says what it may be."""


def explain(
    *,
    user_agent: str,
    ip: str,
    method: str,
    headers: Iterable[tuple[str, str]],
    after_send_seconds: float | None,
    data: Datasets,
) -> dict[str, Any]:
    """The verdict on a hit as plain data, its reasons in words.

    `after_send_seconds` is the time since the message was sent, negative for before; None stands for
    an hour after it. `ip` is the client's own: no header changes it. Raises `NoSuchHit`.
    """
    headers = list(headers)
    _check(method, headers, after_send_seconds)
    after_ms = WELL_AFTER_MS if after_send_seconds is None else round(after_send_seconds * 1000)
    place, device = Place(), Device()
    if method.upper() != "GET":
        verdict = Verdict("bot", "high", ("probe",), RULESET)
    else:
        raw = [("user-agent", user_agent), *headers]
        # Encoded as a program that was given these texts would send them.
        sent = [(name.lower().encode(), value.encode("utf-8", "surrogateescape")) for name, value in raw]
        scope = {"client": (ip, 0), "headers": sent}
        visit = read_visit(scope, message_id="", position=0, at=after_ms, trusted_proxies=NO_PROXIES)
        evidence = examine(visit, data)
        verdict = classify(evidence, after_ms, Context(sent_at=0))
        place, device = evidence.place, device_of(evidence, verdict)
    return {
        "verdict": verdict.verdict,
        "confidence": verdict.confidence,
        "reasons": [explain_reason(code) for code in verdict.reasons],
        "place": msgspec.to_builtins(place),
        "device": msgspec.to_builtins(device),
        "ruleset": verdict.ruleset,
    }


def _check(method: str, headers: Iterable[tuple[str, str]], after_send_seconds: float | None) -> None:
    # Written so that NaN, for which no comparison holds, is refused as well.
    if after_send_seconds is not None and not -MOST_SECONDS <= after_send_seconds <= MOST_SECONDS:
        raise NoSuchHit("--after-send must be a number of seconds, within a hundred years; negative is before sending")
    if not TOKEN.fullmatch(method):
        raise NoSuchHit(f"--method {method[:60]!r} is no method: give one like GET or HEAD")
    for name, value in headers:
        if not TOKEN.fullmatch(name) or IN_NO_HEADER.search(value):
            raise NoSuchHit(f"--header {f'{name}: {value}'[:60]!r} is no header: give one like 'Sec-Purpose: prefetch'")
