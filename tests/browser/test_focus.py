"""The focus and what is said: whoever works with the keyboard or a screen reader is never thrown back to the start."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.browser.conftest import Desks, log_in
from tests.browser.people import Sender


def create_token(page: Page, name: str) -> None:
    page.get_by_label("Name of the new token").fill(name)
    page.get_by_role("button", name="Create token").click()
    page.get_by_role("button", name="I have it").click()
    expect(page.get_by_role("button", name=f"Revoke {name}")).to_be_visible()


def test_the_focus_goes_on_to_the_next_token(desks: Desks, sender: Sender) -> None:
    page = desks.open(sender, "/settings")
    create_token(page, "My script")
    buttons = page.locator("[aria-labelledby=tokens-title] .row button")
    expect(buttons).to_have_count(2)
    for left in (1, 0):
        buttons.first.press("Enter")
        expect(buttons.first).to_have_text("Revoke for good?")
        buttons.first.press("Enter")
        expect(buttons).to_have_count(left)
        expect(buttons.first if left else page.get_by_role("heading", name="API tokens")).to_be_focused()


def test_a_token_that_is_not_revoked_after_all_leaves_the_focus_alone(desks: Desks, sender: Sender) -> None:
    page = desks.open(sender, "/settings")
    create_token(page, "My script")
    buttons = page.locator("[aria-labelledby=tokens-title] .row button")
    expect(buttons).to_have_count(2)
    buttons.first.press("Enter")
    expect(page.get_by_role("button", name="Revoke for good?")).to_be_focused()
    page.keyboard.press("Tab")
    expect(buttons.first).to_have_text("Revoke")
    expect(buttons.last).to_be_focused()


def test_the_focus_goes_on_from_a_session_that_was_ended(desks: Desks, sender: Sender) -> None:
    page = desks.open(sender, "/settings")
    for _ in range(2):
        log_in(desks.context(sender.hub), sender)
    page.reload()
    ends = page.get_by_role("button", name="Log out there")
    expect(ends).to_have_count(2)
    ends.first.press("Enter")
    expect(ends).to_have_count(1)
    expect(ends).to_be_focused()
    ends.press("Enter")
    expect(ends).to_have_count(0)
    expect(page.get_by_role("heading", name="Where you are logged in")).to_be_focused()
