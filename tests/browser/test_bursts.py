"""Many changes at once: a page draws them once, and the row that somebody is using stays where and what it is."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Desks, live, log_in
from tests.browser.people import Sender
from tests.browser.test_readings import an_event, logged_in
from tests.browser.test_sessions import logged_in as with_line
from tests.processes import wait_until

MISSED = 150
"""More opens than the feed shows one by one."""
PAGE = 40
COUNT_ICONS = """
    window.icons = 0;
    const draw = HTMLCanvasElement.prototype.toDataURL;
    HTMLCanvasElement.prototype.toDataURL = function (...how) { window.icons += 1; return draw.apply(this, how); };
"""
NOT_IN_SIGHT = """
    window.requestAnimationFrame = () => 0;
    Object.defineProperty(document, "hidden", { get: () => true });
    Object.defineProperty(document, "visibilityState", { get: () => "hidden" });
"""
TWO_FRAMES = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
ONCE_PER_FRAME = """async () => {
    const { oncePerFrame } = await import("/static/live/frames.js");
    const ran = [];
    const run = oncePerFrame(() => ran.push(ran.length));
    const frame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
    for (const _ of Array(5)) run();
    const before = ran.length;
    await frame();
    const after = ran.length;
    run();
    await frame();
    await new Promise((done) => setTimeout(done, 250));
    return [before, after, ran.length];
}"""


def test_drawing_is_done_once_a_frame(desks: Desks, sender: Sender) -> None:
    page = desks.context(sender.hub).new_page()
    page.goto("/docs")
    assert page.evaluate(ONCE_PER_FRAME) == [0, 1, 2]


def test_a_long_absence_is_made_up_for_at_once(desks: Desks, sender: Sender) -> None:
    message = sender.register(subject="The letter")
    page, line = with_line(desks, sender, before=COUNT_ICONS)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/api/v1/opens" in request.url else None)
    line.cut()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: sender.hit(message), range(MISSED)))
    line.mend()
    expect(page).to_have_title(f"({MISSED}) Activity · Glimpse")
    expect(page.locator(".open")).to_have_count(PAGE)
    expect(page.locator(".open").last).to_contain_text(f"{MISSED} opens")
    expect(page.get_by_text("While you were away", exact=True)).to_have_count(1)
    assert len(asked) == 1
    assert page.evaluate("() => window.icons") < MISSED / 10


def test_a_page_that_is_not_in_sight_goes_on(desks: Desks, sender: Sender) -> None:
    message = sender.register()
    context = desks.context(sender.hub)
    context.add_init_script(NOT_IN_SIGHT)
    log_in(context, sender)
    page = desks.tab(context)
    for _ in range(2):
        sender.hit(message)
    expect(page.locator(".open")).to_have_count(2)
    expect(page).to_have_title("(2) Activity · Glimpse")
    expect(page.locator(".open").last).to_contain_text("2 opens")
    messages = desks.tab(context, "/messages")
    sender.hit(message)
    expect(messages.locator(".message")).to_contain_text("3 opens")


def in_activity(page: Page) -> Locator:
    return page.locator(".open-subject").last


def in_messages(page: Page) -> Locator:
    return page.locator(".message").last


PLACES = [
    pytest.param("/activity", in_activity, ".feed .open", id="activity"),
    pytest.param("/messages", in_messages, ".message", id="messages"),
]


def opened_once(desks: Desks, sender: Sender, path: str) -> tuple[dict[str, Any], Page]:
    message = sender.register(subject="The letter")
    sender.hit(message)
    return message, desks.open(sender, path)


@pytest.mark.parametrize(("path", "find", "row"), PLACES)
def test_the_focus_stays_when_its_row_changes(
    desks: Desks, sender: Sender, path: str, find: Callable[[Page], Locator], row: str
) -> None:
    message, page = opened_once(desks, sender, path)
    link = find(page)
    link.focus()
    sender.hit(message)
    expect(page.locator(row).last).to_contain_text("2 opens")
    expect(link).to_be_focused()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="The letter")
    expect(dialog).to_be_visible()
    sender.hit(message)
    expect(page.locator(row).last).to_contain_text("3 opens")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(link).to_be_focused()


@pytest.mark.parametrize(("path", "find", "row"), PLACES)
def test_a_row_that_changes_while_it_is_pressed_takes_the_click(
    desks: Desks, sender: Sender, path: str, find: Callable[[Page], Locator], row: str
) -> None:
    message = sender.register(subject="The letter")
    sender.hit(message)
    page = logged_in(desks, sender)
    with page.expect_websocket() as socket:
        page.goto(path)
    live(page)
    find(page).hover()
    page.mouse.down()
    with an_event(socket.value):
        sender.patch(f"/messages/{message['id']}", muted=True)
    page.evaluate(TWO_FRAMES)
    page.mouse.up()
    expect(page.locator(row).first).to_contain_text("Muted")
    expect(page.get_by_role("dialog", name="The letter")).to_be_visible()


def test_the_focus_stays_when_an_open_is_taken_back(desks: Desks, sender: Sender) -> None:
    message, page = opened_once(desks, sender, "/activity")
    in_activity(page).focus()
    sender.post(f"/messages/{message['id']}/viewing")
    expect(page.locator(".open").first).to_contain_text("Taken back: it was you")
    expect(in_activity(page)).to_be_focused()
    wait_until(lambda: sender.get(f"/messages/{message['id']}")["opens"] == 0)
