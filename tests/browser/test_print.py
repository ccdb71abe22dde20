"""On paper: all of a list and all of a history, without the controls."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.conftest import Desks
from tests.browser.people import Sender

COUNT = "addEventListener('beforeprint', () => (window.printed = document.querySelectorAll('.message').length))"
CUT_OFF = """() => [...document.querySelectorAll("dialog, .history-content, .history-frame")]
    .filter((part) => part.scrollHeight > part.clientHeight + 2)
    .map((part) => part.className)"""


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
