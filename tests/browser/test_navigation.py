"""Addresses, back and forward, and the keys: each leads where it says, once."""

from __future__ import annotations

import re
from typing import Any

from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Desks, live, popups
from tests.browser.people import Sender
from tests.browser.test_orders import ANSWERED, on_its_way, wait


def test_a_popup_that_is_pressed_over_a_history_takes_its_place(desks: Desks, sender: Sender) -> None:
    sender.register(subject="The first")
    second = sender.register(subject="The second")
    page = desks.open(sender, "/messages")
    page.get_by_role("link", name="The first").click()
    expect(page.get_by_role("dialog", name="The first")).to_be_visible()
    sender.hit(second)
    popups(page, 1)
    page.evaluate("() => window.popups[0].onclick()")
    expect(page.get_by_role("dialog", name="The second")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page).to_have_url(re.compile("/messages$"))
    expect(page.locator("dialog.history")).to_be_hidden()


def filtered(page: Page) -> None:
    expect(page).to_have_url(re.compile(r"/messages\?q=quote$"))
    expect(page.get_by_label("Search messages")).to_have_value("quote")
    expect(page.locator("dialog.history")).to_be_hidden()


def test_a_link_to_the_current_page_adds_nothing_to_go_back_to(desks: Desks, sender: Sender) -> None:
    page = desks.open(sender, "/activity")
    messages = page.get_by_role("link", name="Messages", exact=True)
    for _ in range(3):
        messages.click()
    page.go_back()
    expect(page).to_have_url(re.compile("/activity$"))
    expect(page.get_by_role("heading", name="Activity")).to_be_visible()


def test_a_search_outlives_the_history_however_that_was_reached(desks: Desks, sender: Sender) -> None:
    sender.register(subject="The quote")
    page = desks.open(sender, "/messages?q=quote")
    dialog = page.get_by_role("dialog", name="The quote")
    page.get_by_role("link", name="The quote").click()
    expect(dialog).to_be_visible()
    page.go_back()
    filtered(page)
    page.go_forward()
    expect(dialog).to_be_visible()
    page.keyboard.press("Escape")
    filtered(page)
    page.go_forward()
    expect(dialog).to_be_visible()
    page.reload()
    live(page)
    expect(dialog).to_be_visible()
    page.get_by_role("button", name="Close the history").click()
    filtered(page)


def test_an_address_of_nothing_is_not_found_and_leads_on(desks: Desks, sender: Sender) -> None:
    page = desks.open(sender, "/messages/%")
    expect(page.get_by_role("dialog")).to_contain_text("None has this address, or it belongs to somebody else.")
    page.get_by_role("button", name="Close the history").first.click()
    expect(page).to_have_url(re.compile("/messages$"))


def test_a_key_that_is_held_acts_once_but_goes_on_moving(desks: Desks, sender: Sender) -> None:
    for _ in range(4):
        sender.register()
    page = desks.open(sender, "/messages")
    expect(page.locator(".message")).to_have_count(4)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if request.method == "PATCH" else None)
    for _ in range(3):
        page.keyboard.down("j")
    page.keyboard.up("j")
    expect(page.locator(".message").nth(2)).to_be_focused()
    for _ in range(9):
        page.keyboard.down("m")
    page.keyboard.up("m")
    expect(page.locator(".message").nth(2)).to_contain_text("Muted")
    page.keyboard.press("m")
    expect(page.locator(".message").nth(2)).not_to_contain_text("Muted")
    assert len(asked) == 2


def test_a_key_that_is_pressed_twice_at_once_mutes_and_unmutes(desks: Desks, sender: Sender) -> None:
    sender.register()
    page = desks.open(sender, "/messages")
    page.locator(".message").focus()
    asked: list[Any] = []
    page.on("request", lambda request: asked.append(request.post_data_json) if request.method == "PATCH" else None)
    held = on_its_way(page, "**/api/v1/messages/*")
    page.keyboard.press("m")
    first = wait(page, held)
    page.keyboard.press("m")
    page.evaluate(ANSWERED)
    first.continue_()
    expect(page.locator(".toast")).to_contain_text("Unmuted.")
    assert asked == [{"muted": True}, {"muted": False}]


def test_enter_with_shift_on_a_link_is_left_to_the_browser(desks: Desks, sender: Sender) -> None:
    page = desks.open(sender, "/activity")
    page.get_by_role("link", name="Messages").focus()
    with page.context.expect_page():
        page.keyboard.press("Shift+Enter")
    expect(page).to_have_url(re.compile("/activity$"))


def test_the_key_that_unmutes_promises_nothing_while_real_time_is_off(desks: Desks, sender: Sender) -> None:
    message = sender.register()
    sender.patch(f"/messages/{message['id']}", muted=True)
    sender.patch("/settings", realtime_notifications=False)
    page = desks.open(sender, "/messages")
    page.locator(".message").focus()
    page.keyboard.press("m")
    expect(page.locator(".toast")).to_contain_text("Unmuted, but real-time notifications are off")


def select_beyond_the_edge(page: Page, dialog: Locator, name: str) -> None:
    box = dialog.get_by_role("heading", name=name).bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 40, box["y"] + 10)
    page.mouse.down()
    page.mouse.move(5, box["y"] + 10, steps=3)
    page.mouse.up()


def test_a_text_that_is_selected_beyond_the_edge_of_a_dialog_leaves_that_open(desks: Desks, sender: Sender) -> None:
    message = sender.register(subject="The quote")
    page = desks.open(sender, f"/messages/{message['id']}")
    for name in ("The quote", "Keyboard shortcuts"):
        dialog = page.get_by_role("dialog", name=name)
        select_beyond_the_edge(page, dialog, name)
        assert dialog.is_visible()
        page.mouse.click(5, 5)
        expect(dialog).to_be_hidden()
        page.keyboard.press("?")


LEAVE_FOR_SETTINGS = """async () => {
    const arrived = new Promise((resolve) => addEventListener("popstate", resolve, { once: true }));
    document.querySelector("dialog.history [aria-label='Close the history']").click();
    document.querySelector("a[href='/settings']").click();
    await arrived;
}"""


def test_a_link_that_is_pressed_as_a_history_closes_is_followed(desks: Desks, sender: Sender) -> None:
    sender.register(subject="The quote")
    page = desks.open(sender, "/messages")
    page.get_by_role("link", name="The quote").click()
    expect(page.get_by_role("dialog", name="The quote")).to_be_visible()
    page.evaluate(LEAVE_FOR_SETTINGS)
    expect(page).to_have_url(re.compile("/settings$"))
    expect(page.get_by_role("heading", name="Settings")).to_be_visible()
    expect(page.locator("dialog.history")).to_be_hidden()
    page.go_back()
    expect(page).to_have_url(re.compile("/messages$"))
    expect(page.locator("dialog.history")).to_be_hidden()


def test_a_double_click_beyond_the_edge_of_a_history_leaves_that_open(desks: Desks, sender: Sender) -> None:
    sender.register(subject="The quote")
    page = desks.open(sender, "/messages")
    row = page.locator(".message").bounding_box()
    assert row
    right = row["x"] + row["width"] - 20
    page.mouse.dblclick(right, row["y"] + row["height"] / 2)
    dialog = page.get_by_role("dialog", name="The quote")
    expect(dialog).to_be_visible()
    frame = dialog.bounding_box()
    assert frame
    assert right > frame["x"] + frame["width"]
    page.mouse.click(5, 5)
    expect(dialog).to_be_hidden()
