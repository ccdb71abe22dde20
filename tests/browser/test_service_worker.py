"""Pop-ups by the service worker, as on phones, where a page may show none: shown, clicked and withdrawn by any tab."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, expect

from tests.browser.conftest import Desks, launched, live, log_in
from tests.browser.people import Sender
from tests.browser.test_readings import Held
from tests.processes import wait_until

PHONES = """
    window.Notification = class {
        static permission = "granted";
        static async requestPermission() { return this.permission; }
        constructor() { throw new TypeError("Illegal constructor. Use ServiceWorkerRegistration.showNotification()"); }
    };
    const registered = window.ServiceWorkerRegistration?.prototype ?? {};
    const show = registered.showNotification;
    registered.showNotification = async function (...options) {
        await show.apply(this, options);
        window.put = (window.put ?? 0) + 1;
    };
"""
"""Notifications as Chrome on Android has them. `put` is how often the page has put one on the screen: if somebody asks
what is there while Chromium is just putting one there, it takes that one for gone and forgets it."""

SHOWN = """async () => {
    const worker = await navigator.serviceWorker.getRegistration();
    return ((await worker?.getNotifications()) ?? []).map(({ title, body }) => ({ title, body }));
}"""
CLICK = """async () => {
    const [notification] = await self.registration.getNotifications();
    const opened = [];
    self.clients.openWindow = async (path) => opened.push(path);
    const event = new Event("notificationclick");
    const done = [];
    self.dispatchEvent(Object.assign(event, { notification, waitUntil: (promise) => done.push(promise) }));
    // Only a real click lets a page be brought to the front.
    await Promise.allSettled(done);
    return opened;
}"""


@pytest.fixture(scope="module")
def browser(playwright: Playwright, chromium: str) -> Iterator[Browser]:
    """The full Chromium: in `chromium-headless-shell` a service worker shows nothing."""
    with launched(playwright, chromium) as browser:
        yield browser


def phone(desks: Desks, sender: Sender) -> BrowserContext:
    context = desks.context(sender.hub, service_workers="allow")
    context.add_init_script(PHONES)
    log_in(context, sender)
    return context


def put(page: Page, times: int) -> None:
    """Wait until the page has put something on the screen this many `times`."""
    wait_until(lambda: page.evaluate("window.put ?? 0") >= times, 20, "put on the screen")


def shown(page: Page, count: int) -> list[dict[str, Any]]:
    """What is on the screen, once it is `count` pop-ups and this page has put as many there."""
    put(page, count)
    wait_until(lambda: len(page.evaluate(SHOWN)) == count, 20, f"{count} on the screen")
    found: list[dict[str, Any]] = page.evaluate(SHOWN)
    return found


def test_a_popup_is_shown_where_pages_may_show_none_and_leads_to_the_history(desks: Desks, sender: Sender) -> None:
    context = phone(desks, sender)
    page = desks.tab(context, "/settings")
    message = sender.register(subject="The quote")
    sender.hit(message)
    [popup] = shown(page, 1)
    assert popup["title"] == "reader@example.com opened your mail"
    assert popup["body"].startswith("The quote\nBoston, US")
    assert context.service_workers[0].evaluate(CLICK) == []
    expect(page.get_by_role("dialog", name="The quote")).to_be_visible()
    expect(page).to_have_url(re.compile(f"/messages/{message['id']}$"))
    shown(page, 0)


def test_a_popup_that_is_pressed_while_its_tab_is_loaded_leads_to_the_history(desks: Desks, sender: Sender) -> None:
    context = phone(desks, sender)
    page = desks.tab(context, "/settings")
    sender.hit(sender.register(subject="The quote"))
    shown(page, 1)
    held = Held(page, "**/api/v1/me")
    page.reload()
    held.wait()
    assert context.service_workers[0].evaluate(CLICK) == []
    held.release()
    live(page)
    expect(page.get_by_role("dialog", name="The quote")).to_be_visible()


def test_a_popup_outlives_its_tab_and_opens_a_new_one(desks: Desks, sender: Sender) -> None:
    context = phone(desks, sender)
    page = desks.tab(context)
    message = sender.register()
    sender.hit(message)
    shown(page, 1)
    docs = context.new_page()
    docs.goto("/docs")
    page.close()
    assert context.service_workers[0].evaluate(CLICK) == [f"/messages/{message['id']}"], (
        "the documentation cannot show it"
    )


def test_a_popup_seen_or_taken_back_is_withdrawn_whichever_tab_showed_it(desks: Desks, sender: Sender) -> None:
    context = phone(desks, sender)
    first = desks.tab(context, "/settings")
    message = sender.register()
    sender.hit(message)
    shown(first, 1)
    second = desks.tab(context, "/settings")
    first.close()
    sender.post(f"/messages/{message['id']}/viewing")
    shown(second, 0)
    sender.hit(sender.register(subject="The contract"))
    [popup] = shown(second, 1)
    assert "The contract" in popup["body"]
    sender.post("/seen", sequence=sender.get("/me")["sequence"])
    shown(second, 0)


def test_a_popup_of_several_opens_keeps_only_those_that_were_not_taken_back(desks: Desks, sender: Sender) -> None:
    page = desks.tab(phone(desks, sender), "/settings")
    own, theirs = sender.register(subject="Own"), sender.register(subject="Theirs")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(sender.hit, [own, own, own, theirs]))
    expect(page).to_have_title("(4) Settings · Glimpse")
    put(page, 1)
    sender.post(f"/messages/{own['id']}/viewing")
    expect(page).to_have_title("(1) Settings · Glimpse")
    put(page, 2)
    wait_until(lambda: [popup["body"].split("\n")[0] for popup in page.evaluate(SHOWN)] == ["Theirs"])


def test_logging_out_leaves_nothing_on_the_screen(desks: Desks, sender: Sender) -> None:
    page = desks.tab(phone(desks, sender), "/settings")
    sender.hit(sender.register())
    shown(page, 1)
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_label("Password", exact=True)).to_be_visible()
    shown(page, 0)
