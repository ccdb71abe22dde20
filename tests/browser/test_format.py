"""Times in words: `web/format.js` at a moment that the test chooses."""

from __future__ import annotations

from playwright.sync_api import Page

from tests.browser.conftest import Desks
from tests.browser.people import Sender

NOW = "2026-03-29T21:30:00+02:00"
"""In the evening of the day on which Berlin's clocks went forward: it has 23 hours."""

AGO = {
    "2026-03-29T21:30:59+02:00": "just now",  # two clocks may differ
    "2026-03-29T21:29:01+02:00": "just now",
    "2026-03-29T21:29:00+02:00": "1 min ago",
    "2026-03-29T20:30:01+02:00": "59 min ago",
    "2026-03-29T20:30:00+02:00": "1 hr ago",
    "2026-03-29T15:30:01+02:00": "5 hr ago",
    "2026-03-29T15:30:00+02:00": "15:30",
    "2026-03-29T00:00:00+01:00": "0:00",
    "2026-03-28T23:59:59+01:00": "yesterday, 23:59",
    "2026-03-28T00:00:00+01:00": "yesterday, 0:00",
    "2026-03-27T23:59:59+01:00": "27 Mar",
    "2026-01-01T00:00:00+01:00": "1 Jan",
    "2025-12-31T23:59:59+01:00": "31 Dec 2025",
    "2026-03-29T21:32:00+02:00": "29 Mar, 21:32",
}
DAYS = {
    "2026-03-29T00:00:00+01:00": "Today",
    "2026-03-28T23:59:59+01:00": "Yesterday",
    "2026-03-27T23:59:59+01:00": "Friday 27 March",
    "2026-03-30T00:00:00+02:00": "Monday 30 March",
    "2025-12-31T23:59:59+01:00": "Wednesday 31 December 2025",
}
IN_WORDS = """async ({ now, kind, times }) => {
    const { createFormat } = await import("/static/format.js");
    const format = createFormat({ justNow: "just now", locale: "en-GB", now: () => Date.parse(now) });
    return times.map((time) => format[kind](time));
}"""


def in_words(page: Page, kind: str, times: list[str]) -> list[str]:
    found: list[str] = page.evaluate(IN_WORDS, {"now": NOW, "kind": kind, "times": times})
    return found


def test_a_time_is_said_as_short_as_its_age_allows(desks: Desks, sender: Sender) -> None:
    page = desks.context(sender.hub).new_page()
    page.goto("/docs")
    assert dict(zip(AGO, in_words(page, "ago", list(AGO)), strict=True)) == AGO
    # Whether a comma is behind the day of the week depends on the version of Unicode's locale data.
    days = [day.replace(",", "") for day in in_words(page, "day", list(DAYS))]
    assert dict(zip(DAYS, days, strict=True)) == DAYS
