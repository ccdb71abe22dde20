"""The whole journey of a sender and a reader: log in, a mail is opened, a pop-up comes; then the speaker."""

from __future__ import annotations

import re

from playwright.sync_api import Browser, expect

from tests.browser.conftest import Desks, live, log_in_by_hand, popups
from tests.browser.people import IPHONE, PASSWORD, Sender


def open_mail(browser: Browser, html: str, address: str) -> None:
    """Open an HTML mail as on a phone that knows nothing of the dashboard, and wait for its image."""
    context = browser.new_context(user_agent=IPHONE, extra_http_headers={"X-Forwarded-For": address})
    mail = context.new_page()
    with mail.expect_response(lambda response: "/o/" in response.url) as pixel:
        mail.set_content(f"<html><body><p>Hello, here is the proposal.</p>{html}</body></html>")
    assert pixel.value.status == 200
    image = mail.locator("img")
    expect(image).to_have_js_property("naturalWidth", 1)
    context.close()


def test_an_open_reaches_the_screen_and_the_speaker_silences_the_next(
    browser: Browser, desks: Desks, sender: Sender
) -> None:
    message = sender.register(subject="The proposal")
    snippet = message["pixels"][0]["html"]
    context = desks.context(sender.hub)
    page = context.new_page()
    page.goto("/")
    log_in_by_hand(page, sender)
    live(page)

    page.get_by_role("link", name="Messages").click()
    row = page.locator(f"[data-message='{message['id']}']")
    expect(row).to_contain_text("Not opened")

    open_mail(browser, snippet, "203.0.113.61")
    expect(row).to_contain_text("1 open")
    [popup] = popups(page, 1)
    assert popup["title"] == "reader@example.com opened your mail"
    assert "The proposal" in popup["body"]
    assert "Boston, US" in popup["body"]

    row.click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_role("heading", name="The proposal")).to_be_visible()
    expect(page).to_have_url(re.compile(f"/messages/{message['id']}$"))
    other = desks.tab(context, f"/messages/{message['id']}")
    expect(other.get_by_role("button", name="Mute this mail")).to_be_visible()

    dialog.get_by_role("button", name="Mute this mail").click()
    expect(dialog.get_by_text("Muted. Opens of this mail are still recorded")).to_be_visible()
    expect(other.get_by_role("button", name="Unmute this mail")).to_be_visible()

    open_mail(browser, snippet, "203.0.113.62")
    for tab in (page, other):
        expect(tab.locator(".figures dd").first).to_have_text("2")
    # A later open, of a mail that is not muted, comes in the same order: its pop-up proves that there was none before.
    sender.hit(sender.register(subject="Another mail"))
    assert "Another mail" in popups(page, 2)[1]["body"]
    assert popups(other) == []


def test_a_wrong_password_is_explained_and_can_be_put_right(desks: Desks, sender: Sender) -> None:
    page = desks.context(sender.hub).new_page()
    page.goto("/settings")
    expect(page.get_by_role("heading", name="Glimpse")).to_be_visible()
    page.get_by_label("Email").fill(sender.email)
    page.get_by_label("Password", exact=True).fill("not the password")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_have_text("That email and password do not fit together.")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Settings")).to_be_visible()
    expect(page).to_have_url(re.compile("/settings$"))


def test_logging_out_closes_every_tab(desks: Desks, sender: Sender) -> None:
    page = desks.open(sender)
    other = desks.tab(page.context, "/settings")
    page.get_by_role("button", name="Log out").click()
    for tab in (page, other):
        expect(tab.get_by_label("Password", exact=True)).to_be_visible()
    page.goto("/messages")
    expect(page.get_by_label("Password", exact=True)).to_be_visible()


def test_two_senders_see_only_their_own(desks: Desks, sender: Sender, stranger: Sender) -> None:
    theirs = sender.register(subject="Only mine")
    page, elsewhere = desks.open(sender), desks.open(stranger)
    sender.hit(theirs)
    expect(page.locator(".open")).to_have_count(1)
    stranger.hit(stranger.register(subject="Only theirs"))
    expect(elsewhere.locator(".open")).to_have_count(1)
    expect(elsewhere.locator(".open")).to_contain_text("Only theirs")
    [popup] = popups(elsewhere, 1)
    assert "Only theirs" in popup["body"]
    elsewhere.goto(f"/messages/{theirs['id']}")
    expect(elsewhere.get_by_role("dialog")).to_contain_text("No such message")
