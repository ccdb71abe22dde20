"""The focus and what is read aloud: with a keyboard or a screen reader nobody is ever thrown back to the start."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Desks, live, log_in, log_in_by_hand, scroll
from tests.browser.people import CURL, Sender


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


def test_a_token_whose_button_was_pressed_without_the_focus_is_not_revoked_later(desks: Desks, sender: Sender) -> None:
    page = desks.open(sender, "/settings")
    button = page.locator("[aria-labelledby=tokens-title] .row button")
    button.evaluate("(button) => button.click()")  # As in Safari, where a click does not focus it.
    expect(button).to_have_text("Revoke for good?")
    page.get_by_label("Your name").focus()
    expect(button).to_have_text("Revoke")


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


def test_a_toast_stays_while_it_has_the_focus_and_gives_it_back(desks: Desks, sender: Sender) -> None:
    context = desks.context(sender.hub)
    context.clock.install()
    log_in(context, sender)
    page = desks.tab(context, "/settings")
    switch = page.get_by_role("switch", name="Enable real-time notifications")
    switch.press("Space")
    undo = page.get_by_role("button", name="Undo")
    expect(undo).to_be_visible()
    undo.focus()
    context.clock.run_for(60_000)
    expect(undo).to_be_focused()
    page.get_by_role("button", name="Close").press("Enter")
    expect(undo).to_have_count(0)
    expect(switch).to_be_focused()


def test_a_toast_stays_while_it_is_pointed_at(desks: Desks, sender: Sender) -> None:
    context = desks.context(sender.hub)
    context.clock.install()
    log_in(context, sender)
    page = desks.tab(context, "/settings")
    page.get_by_role("switch", name="Enable real-time notifications").uncheck()
    page.get_by_role("button", name="Undo").hover()
    context.clock.run_for(60_000)
    expect(page.get_by_role("button", name="Undo")).to_be_visible()
    page.mouse.move(5, 5)
    context.clock.run_for(6_000)
    expect(page.get_by_role("button", name="Undo")).to_have_count(0)


@pytest.mark.parametrize(("path", "row"), [("/messages", "a.message"), ("/activity", ".open-subject")])
def test_the_focus_returns_to_a_row_that_was_drawn_anew(desks: Desks, sender: Sender, path: str, row: str) -> None:
    message = sender.register(subject="The quote")
    sender.hit(message)
    page = desks.open(sender, path)
    page.locator(row).press("Enter")
    dialog = page.get_by_role("dialog", name="The quote")
    expect(dialog.locator(".open")).to_have_count(1)
    sender.hit(message)
    expect(dialog.locator(".open")).to_have_count(2)
    expect(page.locator(".message, .feed .open").last).to_contain_text("2 opens")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(page.locator(row).last).to_be_focused()


def test_a_failure_in_a_history_is_still_said_when_that_is_closed(desks: Desks, sender: Sender) -> None:
    message = sender.register()
    page = desks.open(sender, f"/messages/{message['id']}")
    region = page.locator(".toasts")
    expect(region).to_have_count(1)
    page.evaluate("() => (window.region = document.querySelector('.toasts'))")
    page.route(f"**/api/v1/messages/{message['id']}", lambda route: route.abort())
    page.get_by_role("button", name="Mute this mail").click()
    expect(region).to_have_text("The hub cannot be reached. Check your connection and try again.")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    page.get_by_role("button", name="Close").click()
    expect(region).to_be_empty()
    assert page.evaluate("() => window.region.isConnected"), "a new region would not be read aloud"


def test_the_focus_stays_on_a_mail_as_all_are_muted_elsewhere(desks: Desks, sender: Sender) -> None:
    for _ in range(2):
        sender.register()
    page = desks.open(sender, "/messages")
    page.keyboard.press("j")
    page.keyboard.press("j")
    second = page.locator(".message").nth(1)
    expect(second).to_be_focused()
    sender.post("/messages/mute-all")
    expect(page.locator(".message-muted")).to_have_count(2)
    expect(second).to_be_focused()


def test_keys_that_go_through_a_list_leave_it_alone_behind_a_history(desks: Desks, sender: Sender) -> None:
    sender.register_many(60)
    page = desks.open(sender, "/messages")
    expect(page.locator(".message").first).to_be_visible()
    scroll(page, 1_500)
    page.locator(".message", has_text="Number 3").first.click()
    expect(page.get_by_role("dialog")).to_be_visible()
    before = page.evaluate("() => scrollY")
    page.keyboard.press("j")
    page.keyboard.press("k")
    assert page.evaluate("() => scrollY") == before


def test_the_result_of_a_search_is_read_aloud(desks: Desks, sender: Sender) -> None:
    for subject in ("Alpha", "Beta", "Gamma"):
        sender.register(subject=subject)
    page = desks.open(sender, "/messages")
    said = page.locator(".view > [role=status]")
    expect(said).to_be_empty()
    search = page.get_by_label("Search messages")
    search.fill("Alpha")
    expect(said).to_have_text("1 message")
    search.fill("nothing like it")
    expect(said).to_contain_text("No message fits this search.")
    page.get_by_role("button", name="Clear the search").press("Enter")
    expect(search).to_be_focused()
    expect(said).to_have_text("3 messages")
    sender.register_many(51)
    expect(page.locator(".virtual-row").first).to_have_attribute("aria-setsize", "54")
    search.fill("Number")
    expect(said).to_have_text("More than 50 messages")


def test_an_open_that_was_read_aloud_is_taken_back_aloud(desks: Desks, sender: Sender) -> None:
    first, second = sender.register(subject="First"), sender.register(subject="Second")
    page = desks.open(sender)
    said = page.locator(".view > [role=status]")
    sender.hit(first)
    expect(said).to_have_text("reader@example.com opened First")
    sender.hit(second)
    expect(said).to_have_text("reader@example.com opened Second")
    sender.post(f"/messages/{first['id']}/viewing")
    expect(said).to_have_text("Taken back: it was you (reader@example.com opened First)")


@pytest.mark.parametrize(
    ("path", "reading", "place"),
    [
        ("/activity", "**/api/v1/opens?*", "main"),
        ("/messages", "**/api/v1/messages?*", "main"),
        ("/messages/{id}", "**/api/v1/messages/*/opens?*", "dialog .history-content"),
    ],
)
def test_the_focus_is_not_lost_by_trying_again(
    desks: Desks, sender: Sender, path: str, reading: str, place: str
) -> None:
    message = sender.register()
    sender.hit(message)
    page = desks.open(sender, "/settings")
    page.route(reading, lambda route: route.fulfill(status=500, json={}))
    page.evaluate("(path) => history.pushState(null, '', path)", path.format(id=message["id"]))
    page.evaluate("() => dispatchEvent(new PopStateEvent('popstate'))")
    again = page.get_by_role("button", name="Try again")
    expect(again).to_be_visible()
    page.unroute(reading)
    again.press("Enter")
    expect(again).to_have_count(0)
    expect(page.locator(place)).to_be_focused()


def test_the_focus_goes_on_from_the_end_of_a_list_that_was_tried_again(desks: Desks, sender: Sender) -> None:
    sender.register_many(60)
    page = desks.open(sender, "/settings")
    page.route("**/api/v1/messages?*cursor*", lambda route: route.abort())
    page.get_by_role("link", name="Messages").click()
    expect(page.locator(".message").first).to_be_visible()
    page.evaluate("() => scrollTo(0, document.documentElement.scrollHeight)")
    again = page.get_by_role("button", name="Try again")
    with page.expect_event("requestfailed"):
        again.press("Enter")
    expect(again).not_to_have_attribute("aria-busy", "true")
    expect(again).to_be_focused()
    page.unroute("**/api/v1/messages?*cursor*")
    again.press("Enter")
    expect(again).to_have_count(0)
    expect(page.locator(".virtual-row[data-index='49'] a")).to_be_focused()


def test_the_focus_is_not_lost_by_declining_popups(desks: Desks, sender: Sender) -> None:
    context = desks.context(sender.hub)
    context.add_init_script("Notification.permission = 'default';")
    log_in(context, sender)
    page = desks.tab(context)
    no = page.get_by_role("button", name="Not now")
    no.press("Enter")
    expect(no).to_be_hidden()
    expect(page.locator("main")).to_be_focused()


def test_a_heading_and_the_number_in_it_are_two_words(desks: Desks, sender: Sender) -> None:
    page = desks.open(sender, f"/messages/{sender.register()['id']}")
    expect(page.get_by_role("heading", name="Recipients 1", exact=True)).to_be_visible()


def test_the_focus_goes_on_from_the_log_in_to_what_is_shown(desks: Desks, sender: Sender) -> None:
    page = desks.context(sender.hub).new_page()
    page.goto("/messages")
    log_in_by_hand(page, sender)
    live(page)
    expect(page.get_by_role("main")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("main").get_by_role("link", name="Add tracking", exact=True)).to_be_focused()
    page.reload()
    live(page)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()


def test_toasts_are_shown_after_a_session_that_ended_in_a_dialog(desks: Desks, sender: Sender) -> None:
    page = desks.open(sender, "/settings")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    for session in sender.get("/sessions")["items"]:
        sender.api.delete(f"/sessions/{session['id']}")
    expect(page.get_by_role("button", name="Log in")).to_be_visible()
    log_in_by_hand(page, sender)
    live(page)
    page.get_by_role("button", name="Mute all notifications").click()
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("Nothing was muted.")).to_be_visible()


def test_a_row_of_the_feed_keeps_the_focus_as_machines_are_shown(desks: Desks, sender: Sender) -> None:
    message = sender.register()
    for _ in range(2):
        sender.hit(message)
    sender.hit(message, user_agent=CURL)
    page = desks.open(sender)
    for key in "jj.":
        page.keyboard.press(key)
    expect(page.locator(".feed .open")).to_have_count(3)
    expect(page.locator(".feed .open").last).to_be_focused()
