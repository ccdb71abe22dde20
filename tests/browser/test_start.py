"""A start that fails says so and can be tried again; none leaves an empty page."""

from __future__ import annotations

from dataclasses import replace

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import Desks, live, log_in, log_in_by_hand
from tests.browser.people import PASSWORD, Sender

NO_RETRY = """
    const real = setTimeout;
    setTimeout = (run, after) => real(run, after >= 500 ? 1e9 : after);
"""
BLOCKED = """
    const denied = () => { throw new DOMException("Denied", "SecurityError"); };
    Object.defineProperty(window, "localStorage", { get: denied });
    BroadcastChannel = class { constructor() { denied(); } };
"""
"""As in a browser that blocks site data; the channel fails as it does in Firefox."""

BARS = """() => [...document.querySelectorAll("meta[name=theme-color]")]
    .filter((meta) => matchMedia(meta.media).matches).map((meta) => meta.content)"""
"""What a browser colours its own bars with."""


def not_begun(desks: Desks, sender: Sender, script: str = "") -> Page:
    """A page of a user who is logged in, with nothing loaded yet."""
    context = desks.context(sender.hub)
    context.add_init_script(script)
    log_in(context, sender)
    return context.new_page()


def test_a_page_of_which_a_module_is_missing_can_be_loaded_again(desks: Desks, sender: Sender) -> None:
    page = not_begun(desks, sender)
    page.route("**/static/parts/toast.js", lambda route: route.abort())
    page.goto("/activity")
    expect(page.get_by_role("alert")).to_contain_text("This could not be loaded.")
    page.unroute("**/static/parts/toast.js")
    page.get_by_role("button", name="Try again").click()
    live(page)


@pytest.mark.parametrize("how", ["by itself", "online"])
def test_a_start_that_failed_is_tried_again(desks: Desks, sender: Sender, how: str) -> None:
    page = not_begun(desks, sender, NO_RETRY if how == "online" else "")

    def refuse(route: Route) -> None:
        route.fulfill(status=503, json={"status": 503, "detail": "The hub is going down."})

    page.route("**/api/v1/me", refuse)
    page.goto("/activity")
    expect(page.get_by_role("alert")).to_contain_text("The hub is going down.")
    page.get_by_role("button", name="Try again").focus()
    with page.expect_response("**/api/v1/me"):
        page.evaluate("() => dispatchEvent(new Event('online'))")
    expect(page.get_by_role("button", name="Try again")).to_be_focused()
    page.unroute("**/api/v1/me")
    if how == "online":
        page.evaluate("() => dispatchEvent(new Event('online'))")
    live(page)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_browsers_own_bars_have_the_colour_of_the_theme(desks: Desks, sender: Sender, scheme: str) -> None:
    page = desks.open(sender, "/settings", color_scheme=scheme)
    colours = {"light": ["#f6f6f4"], "dark": ["#101214"]}
    for theme, expected in (("Light", "light"), ("Dark", "dark"), ("As the system", scheme)):
        page.get_by_role("radio", name=theme).check()
        assert page.evaluate(BARS) == colours[expected]


def test_a_browser_that_stores_nothing_is_served_all_the_same(desks: Desks, sender: Sender) -> None:
    page = not_begun(desks, sender, BLOCKED)
    page.goto("/settings")
    live(page)
    page.get_by_role("radio", name="Dark").check()
    assert page.evaluate("() => document.documentElement.dataset.theme") == "dark"


@pytest.mark.parametrize("body", ["Slow down", "null"])
def test_a_log_in_that_is_refused_for_a_time_that_nobody_tells_names_none(
    desks: Desks, sender: Sender, body: str
) -> None:
    page = desks.context(sender.hub).new_page()
    page.route("**/api/v1/session", lambda route: route.fulfill(status=429, body=body))
    page.goto("/login")
    log_in_by_hand(page, sender)
    expect(page.get_by_role("alert")).to_have_text("The hub could not do that. Try again in a moment.")


def test_a_log_in_whose_cookie_is_not_kept_says_so(desks: Desks, sender: Sender) -> None:
    page = desks.context(sender.hub).new_page()
    page.route("**/api/v1/session", lambda route: route.fulfill(json={}))
    page.goto("/login")
    log_in_by_hand(page, sender)
    expect(page.get_by_role("alert")).to_contain_text("This browser has not kept the cookie")
    expect(page.get_by_role("button", name="Log in")).not_to_have_attribute("aria-busy", "true")


def test_who_has_an_address_of_more_than_ascii_letters_can_log_in(desks: Desks, sender: Sender) -> None:
    account = replace(sender, email=f"jörg-{sender.email}".replace("example", "exämple"))
    sender.hub.add_user(account.email, "Jörg", PASSWORD)
    page = desks.context(sender.hub).new_page()
    page.goto("/login")
    log_in_by_hand(page, account)
    live(page)
