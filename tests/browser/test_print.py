"""On paper: all of a list and all of a history, without the controls."""

from __future__ import annotations

import re
import zlib

from playwright.sync_api import expect

from tests.browser.conftest import Desks
from tests.browser.people import Sender

COUNT = "addEventListener('beforeprint', () => (window.printed = document.querySelectorAll('.message').length))"
CUT_OFF = """() => [...document.querySelectorAll("dialog, .history-content, .history-frame")]
    .filter((part) => part.scrollHeight > part.clientHeight + 2)
    .map((part) => part.className)"""

PRINTED = "() => [...document.querySelectorAll(%r)].map((part) => getComputedStyle(part).printColorAdjust)"


def texts(pdf: bytes) -> list[int]:
    """How many pieces of text are on each page."""
    streams = re.findall(rb"/FlateDecode.*?stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL)
    counts = [re.findall(rb"\bBT\b", zlib.decompressobj().decompress(stream)) for stream in streams]
    return [len(found) for found in counts if found]


def test_all_rows_of_a_list_are_printed(desks: Desks, sender: Sender) -> None:
    sender.register_many(45)
    page = desks.open(sender, "/messages")
    expect(page.locator(".message").first).to_be_visible()
    expect(page.locator(".message")).not_to_have_count(45)
    page.evaluate(COUNT)
    page.pdf()
    assert page.evaluate("() => window.printed") == 45
    expect(page.locator(".message")).not_to_have_count(45)


def test_all_of_a_history_is_printed_and_nothing_behind_it(desks: Desks, sender: Sender) -> None:
    message = sender.register(subject="The quote")
    for _ in range(40):
        sender.hit(message)
    page = desks.open(sender, f"/messages/{message['id']}")
    dialog = page.get_by_role("dialog")
    expect(dialog.locator(".open")).to_have_count(40)
    page.emulate_media(media="print")
    assert page.evaluate(CUT_OFF) == []
    expect(page.locator("main")).to_be_hidden()
    for name in ("Close the history", "Mute this mail"):
        expect(dialog.get_by_role("button", name=name)).to_be_hidden()
    assert page.pdf().count(b"/Type /Page\n") > 2


def test_a_history_of_little_more_than_a_page_begins_on_the_first(desks: Desks, sender: Sender) -> None:
    message = sender.register()
    for _ in range(4):
        sender.hit(message)
    page = desks.open(sender, f"/messages/{message['id']}")
    expect(page.get_by_role("dialog").locator(".open")).to_have_count(4)
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 800, "height": 600})
    frame = page.locator(".history-frame").bounding_box()
    assert frame
    first, second = texts(page.pdf(width="800px", height=f"{frame['height'] - 20}px"))
    assert first > second


def test_what_is_a_picture_is_printed_without_backgrounds(desks: Desks, sender: Sender) -> None:
    message = sender.register()
    sender.hit(message)
    page = desks.open(sender, f"/messages/{message['id']}")
    expect(page.get_by_role("dialog").locator(".open")).to_have_count(1)
    page.emulate_media(media="print")
    for part in (".timeline-line", ".timeline-dot", ".bar-track", ".history-every .switch"):
        assert page.evaluate(PRINTED % part) == ["exact"]


def test_a_link_that_is_out_of_sight_is_not_printed(desks: Desks, sender: Sender) -> None:
    page = desks.context(sender.hub).new_page()
    for path in ("/docs", "/login"):
        page.goto(path)
        page.emulate_media(media="print")
        expect(page.locator(".skip")).to_be_hidden()
