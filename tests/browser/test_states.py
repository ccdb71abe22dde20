"""What a view shows in its other states: empty, asking, just made, failed, missing; and the focus can be seen."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import CLOCK_OFF, COUNT_REQUESTS, DESKTOP, PHONE, Desks, answer_no_more, live, log_in
from tests.browser.looks import faults, wider_than_the_screen
from tests.browser.people import CURL, IPHONE, Sender
from tests.browser.test_add import make_snippet
from tests.browser.test_sessions import logged_in as with_line

TABS = 24
"""How often Tab is pressed: past the navigation and some way into the view."""
CUT_OFF = """(element) => [element, ...element.querySelectorAll("p, span")]
    .filter(({ scrollWidth, clientWidth }) => clientWidth && scrollWidth > clientWidth)
    .map(({ className }) => className)"""
WHOLLY_HIDDEN = """() => {
    const focused = document.activeElement;
    if (focused === document.body) return null;
    const { left, top, width, height } = focused.getBoundingClientRect();
    const parts = [0.1, 0.3, 0.5, 0.7, 0.9];
    const seen = parts.some((x) => parts.some((y) => {
        const there = document.elementFromPoint(left + x * width, top + y * height);
        return there && (focused.contains(there) || there.contains(focused));
    }));
    return seen ? null : focused.outerHTML.slice(0, 120);
}"""


def empty(page: Page, _sender: Sender) -> None:
    page.goto("/activity")
    expect(page.get_by_role("button", name="Turn on pop-ups")).to_be_visible()
    expect(page.get_by_role("heading", name="No opens yet")).to_be_visible()


def opened(page: Page, sender: Sender) -> None:
    page.goto("/try")
    live(page)
    page.get_by_label("Subject").fill("My first tracked mail")
    page.get_by_role("textbox", name="To", exact=True).fill("me@example.com")
    page.get_by_role("button", name="Make the snippet").click()
    page.get_by_role("button", name="I have sent it").click()
    expect(page.get_by_text("Sent. From now on")).to_be_visible()
    [message] = sender.get("/messages")["items"]
    sender.hit(sender.get(f"/messages/{message['id']}"), user_agent=IPHONE)
    expect(page.get_by_text("Opened!")).to_be_visible()


def taken_back(page: Page, sender: Sender) -> None:
    page.goto("/activity")
    live(page)
    message = sender.register()
    sender.hit(message)
    sender.hit(message)
    expect(page.locator(".open", has_text=message["subject"])).to_have_count(2)
    sender.post(f"/messages/{message['id']}/viewing")
    expect(page.locator(".open").get_by_text("Taken back: it was you")).to_have_count(2)


def nothing_found(page: Page, _sender: Sender) -> None:
    page.goto("/messages?q=no+such+thing")
    expect(page.get_by_role("button", name="Clear the search")).to_be_visible()


def new_token_and_undo(page: Page, _sender: Sender) -> None:
    page.goto("/settings")
    page.get_by_label("Name of the new token").fill("My plugin")
    page.get_by_role("button", name="Create token").click()
    expect(page.get_by_role("button", name="I have it")).to_be_visible()
    page.get_by_role("switch", name="Enable real-time notifications").uncheck()
    expect(page.get_by_role("button", name="Undo")).to_be_visible()


def failed(page: Page, _sender: Sender) -> None:
    page.route("**/api/v1/opens*", lambda route: route.abort())
    page.goto("/activity")
    expect(page.get_by_role("button", name="Try again")).to_be_visible()
    page.unroute("**/api/v1/opens*")


def missing(page: Page, _sender: Sender) -> None:
    page.goto("/messages/no-such-thing")
    expect(page.get_by_text("No such message")).to_be_visible()


STATES: dict[str, Callable[[Page, Sender], None]] = {
    "empty": empty,
    "opened": opened,
    "taken-back": taken_back,
    "nothing-found": nothing_found,
    "new-token": new_token_and_undo,
    "failed": failed,
    "missing": missing,
}


@pytest.mark.parametrize(("size", "scheme"), [(DESKTOP, "dark"), (PHONE, "light")], ids=["desktop-dark", "phone-light"])
def test_every_state_is_accessible_and_fits_its_screen(
    desks: Desks, sender: Sender, size: tuple[int, int], scheme: str
) -> None:
    context = desks.context(sender.hub, size=size, color_scheme=scheme, reduced_motion="reduce")
    context.add_init_script("Notification.permission = 'default';")
    log_in(context, sender)
    page = context.new_page()
    found: dict[str, list[Any]] = {}
    for name, reach in STATES.items():
        reach(page, sender)
        found[name] = faults(page, f"{name}-{'phone' if size == PHONE else 'desktop'}-{scheme}")
    assert {name: wrong for name, wrong in found.items() if wrong} == {}


@pytest.mark.parametrize("path", ["/activity", "/messages", "/settings", "/history"])
def test_the_focus_is_never_hidden_behind_something_else(desks: Desks, sender: Sender, path: str) -> None:
    for number in range(12):
        message = sender.register(f"reader{number}@example.com")
        sender.hit(message)
    page = desks.open(sender, f"/messages/{message['id']}" if path == "/history" else path, size=PHONE)
    expect(page.locator(".open, .message, .settings-card").first).to_be_visible()
    hidden = []
    for key in ("Tab", "Shift+Tab"):
        for _ in range(TABS):
            page.keyboard.press(key)
            hidden.append(page.evaluate(WHOLLY_HIDDEN))
    assert [what for what in hidden if what] == []


def test_a_contrast_theme_shows_what_is_on_and_what_is_chosen(desks: Desks, sender: Sender) -> None:
    page = desks.open(sender, "/settings", forced_colors="active", reduced_motion="reduce")
    on, off = (page.get_by_role("switch", name=name) for name in ("Enable real-time notifications", "Sound"))
    expect(on).to_be_checked()
    expect(off).not_to_be_checked()
    assert on.screenshot() != off.screenshot()
    chosen, other = (page.locator(".segments span", has_text=name) for name in ("As the system", "Light"))
    expect(chosen).to_have_css("outline-style", "solid")
    expect(other).to_have_css("outline-style", "none")


def says_something(part: Locator) -> bool:
    """Whether its text can be told from another text of the same width."""
    shots = []
    for text in ("iii", "WWW"):
        part.evaluate("(element, text) => { element.style.font = '14px monospace'; element.textContent = text; }", text)
        shots.append(part.screenshot())
    return shots[0] != shots[1]


def test_a_contrast_theme_shows_the_text_on_what_stands_out(desks: Desks, sender: Sender) -> None:
    message = sender.register()
    sender.hit(message)
    page = desks.open(sender, "/activity", forced_colors="active", reduced_motion="reduce")
    page.locator(".open-subject").focus()
    sender.hit(message)
    assert says_something(page.locator(".fresh"))
    page.get_by_role("link", name="Add tracking", exact=True).click()
    make_snippet(page, "Mail")
    sender.hit(message)
    assert says_something(page.locator(".nav-count"))
    assert says_something(page.locator(".step.is-done .step-number"))
    button = page.get_by_role("button", name="I have sent it")
    colour = button.evaluate("(element) => getComputedStyle(element).backgroundColor")
    button.hover()
    expect(button).to_have_css("background-color", colour)
    assert says_something(page.locator(".button.is-primary"))
    page.locator(".skip").focus()
    assert says_something(page.locator(".skip"))


def test_a_history_drawn_from_the_latest_opens_says_so(desks: Desks, sender: Sender) -> None:
    message = sender.register()
    for _ in range(101):
        sender.hit(message)
    page = desks.open(sender, f"/messages/{message['id']}")
    dialog = page.get_by_role("dialog")
    expect(dialog.locator(".figures dd").first).to_have_text("101")
    expect(dialog.get_by_text("the latest 100")).to_have_count(2)
    dialog.get_by_role("button", name="Show older opens").click()
    expect(dialog.locator(".open")).to_have_count(101)
    expect(dialog.get_by_text("the latest 100")).to_have_count(0)


def test_today_becomes_yesterday_at_midnight(desks: Desks, sender: Sender) -> None:
    sender.hit(sender.register())
    context = desks.context(sender.hub)
    context.clock.install()
    log_in(context, sender)
    page = desks.tab(context)
    expect(page.get_by_role("heading", name="Today")).to_be_visible()
    context.clock.fast_forward("24:00:00")
    expect(page.get_by_role("heading", name="Yesterday")).to_be_visible()
    expect(page.get_by_role("heading", name="Today")).to_have_count(0)


def test_there_is_one_today_as_soon_as_a_day_begins(desks: Desks, sender: Sender) -> None:
    sender.hit(sender.register())
    page, line = with_line(desks, sender, before=CLOCK_OFF % "(globalThis.off ?? 0)" + COUNT_REQUESTS)
    expect(page.locator(".open")).to_have_count(1)
    answer_no_more(page)
    page.evaluate("() => void (globalThis.off = 86_400_000)")
    [event] = [event for event in sender.get("/events")["items"] if event["type"] == "open.recorded"]
    opened = event["data"]["open"]
    opened |= {"id": "~", "at": (datetime.fromisoformat(opened["at"]) + timedelta(days=1)).isoformat()}
    line.say({"type": "event", "event": event | {"sequence": "99"}})
    expect(page.locator(".open")).to_have_count(2)
    assert page.locator(".day-name").all_inner_texts() == ["Today", "Yesterday"]


def test_a_view_that_was_away_says_at_once_how_long_ago_all_was(desks: Desks, sender: Sender) -> None:
    sender.hit(sender.register())
    page, _ = with_line(desks, sender, before=CLOCK_OFF % "(globalThis.off ?? 0)" + COUNT_REQUESTS)
    expect(page.locator(".open-when")).to_have_text("just now")
    answer_no_more(page)
    page.get_by_role("link", name="Settings").click()
    page.evaluate("() => void (globalThis.off = 1_205_000)")
    page.get_by_role("link", name="Activity").click()
    # Not `inner_text`: that is empty until the row is drawn.
    assert page.locator(".open-when").text_content() == "20 min ago"


def test_days_and_times_are_those_of_the_time_zone_the_computer_has_come_to(desks: Desks, sender: Sender) -> None:
    message = sender.register()
    sender.hit(message)
    context = desks.context(sender.hub, timezone_id=None)
    context.clock.install()
    log_in(context, sender)
    page = context.new_page()
    zone = context.new_cdp_session(page)
    zone.send("Emulation.setTimezoneOverride", {"timezoneId": "Europe/Berlin"})
    page.goto("/activity")
    expect(page.locator(".open-when time")).to_have_attribute("title", re.compile("CES?T$"))
    live(page)
    zone.send("Emulation.setTimezoneOverride", {"timezoneId": "Pacific/Honolulu"})
    sender.hit(message)
    expect(page.locator(".open")).to_have_count(2)
    context.clock.fast_forward("00:21")
    expect(page.locator(".day-name")).to_have_text(["Today"])
    for when in page.locator(".open-when time").all():
        expect(when).to_have_attribute("title", re.compile("GMT-10$"))


def test_words_without_a_break_stay_on_the_screen(desks: Desks, sender: Sender) -> None:
    page = desks.open(sender, "/try", size=PHONE, reduced_motion="reduce")
    page.get_by_label("Subject").fill("Long")
    to = page.get_by_role("textbox", name="To", exact=True)
    to.fill("x" * 200)
    page.get_by_role("button", name="Make the snippet").click()
    expect(page.locator("#add-to-error")).to_contain_text("xxx")
    assert wider_than_the_screen(page) == []
    to.fill("x" * 60 + "@" + "y" * 60 + ".example.com")
    page.get_by_role("button", name="Make the snippet").click()
    page.get_by_role("button", name="I have sent it").click()
    expect(page.get_by_text("Sent. From now on")).to_be_visible()
    assert wider_than_the_screen(page) == []
    [message] = sender.get("/messages")["items"]
    sender.hit(sender.get(f"/messages/{message['id']}"))
    expect(page.get_by_text("Opened!")).to_be_visible()
    assert wider_than_the_screen(page) == []


def test_a_long_address_can_be_read_to_its_end_wherever_it_stands(desks: Desks, sender: Sender) -> None:
    address = "x" * 60 + "@example.com"
    sender.hit(sender.register(address), user_agent=CURL)
    draft = sender.register(address, "reader@example.com", pixels="per_recipient", sent_at=None)
    page = desks.open(sender, size=PHONE, reduced_motion="reduce")
    page.get_by_role("switch", name="Show machines and repeats").check()
    expect(page.locator(".open-facts")).to_contain_text("xxx")
    assert page.locator(".open-body").evaluate(CUT_OFF) == []
    page.goto(f"/messages/{draft['id']}")
    expect(page.locator(".snippets p").first).to_have_text(address)
    assert page.locator(".snippets").evaluate(CUT_OFF) == []


def test_a_toast_of_one_long_word_can_be_closed(desks: Desks, sender: Sender) -> None:
    sender.post("/tokens", name="x" * 100)
    page = desks.open(sender, "/settings", size=PHONE, reduced_motion="reduce")
    page.get_by_role("button", name="Revoke x").click()
    page.get_by_role("button", name="Revoke for good?").click()
    expect(page.locator(".toast")).to_contain_text("Revoked x")
    close = page.locator(".toast").get_by_role("button", name="Close")
    expect(close).to_be_in_viewport(ratio=1)
