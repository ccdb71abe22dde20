"""Whose dashboard it is: all tabs share one session, and no tab acts for a user whom it was not begun for."""

from __future__ import annotations

import json
import re
from typing import Any

from playwright.sync_api import BrowserContext, Page, Route, WebSocket, WebSocketRoute, expect

from tests.browser.conftest import NO_FIVE_SECONDS, Desks, live, log_in, log_in_by_hand
from tests.browser.people import Sender
from tests.processes import wait_until


class Line:
    """The line from a page's sockets to the hub: it can be cut, and what the hub says on it can be held back.

    It has to be made before the page is opened. However long the line is cut, the page soon finds out that it is
    mended.
    """

    def __init__(self, page: Page) -> None:
        self._page = page
        self._sockets: list[WebSocketRoute] = []
        self._is_cut = False
        self.tries = 0
        """How often the page has tried to reach the hub in vain."""
        self._kept: list[tuple[WebSocketRoute, str | bytes]] | None = None
        page.add_init_script("Math.random = () => 0.02;")
        page.route_web_socket("**/api/v1/ws", self._let_through)

    def _let_through(self, socket: WebSocketRoute) -> None:
        if self._is_cut:
            self.tries += 1
            socket.close(code=1013)
        else:
            socket.connect_to_server().on_message(lambda said: self._say(socket, said))
            self._sockets.append(socket)

    def _say(self, socket: WebSocketRoute, said: str | bytes) -> None:
        if self._kept is None:
            socket.send(said)
        else:
            self._kept.append((socket, said))

    def keep(self) -> None:
        """Hold back what the hub says from now on, until `tell`."""
        self._kept = []

    def tell(self, count: int) -> None:
        """Let the page hear what was held back, once it is `count` frames, and all that follows."""
        wait_until(lambda: self._page.evaluate("true") and len(self._kept or []) >= count, what=f"{count} to be told")
        kept, self._kept = self._kept or [], None
        for socket, said in kept:
            socket.send(said)

    def say(self, frame: dict[str, Any]) -> None:
        """Let the page hear something that the hub has not said."""
        self._sockets[-1].send(json.dumps(frame))

    def cut(self) -> None:
        self._is_cut = True
        if self._sockets:
            self.end(1012)

    def mend(self) -> None:
        self._is_cut = False

    def end(self, code: int) -> None:
        """Close the last socket as the hub would."""
        self._sockets[-1].close(code=code)


def logged_in(desks: Desks, sender: Sender, path: str = "/activity", before: str = "") -> tuple[Page, Line]:
    """A tab of somebody who is logged in, and its line to the hub; `before` is run ahead of the page's own scripts."""
    context = desks.context(sender.hub)
    context.add_init_script(before)
    log_in(context, sender)
    page = context.new_page()
    line = Line(page)
    page.goto(path)
    live(page)
    return page, line


def whose(context: BrowserContext) -> str:
    """The mail address of the user whose session the browser has."""
    answer = context.request.get("/api/v1/me")
    assert answer.ok, answer.text()
    return str(answer.json()["email"])


def test_a_tab_that_comes_back_to_somebody_elses_session_begins_anew(
    desks: Desks, sender: Sender, stranger: Sender
) -> None:
    sender.hit(sender.register(subject="The first"))
    page, line = logged_in(desks, sender)
    expect(page.locator(".open")).to_have_count(1)
    page.evaluate("() => { window.mark = 'the page that was begun for the sender'; }")
    line.cut()
    log_in(page.context, stranger)
    stranger.hit(stranger.register(subject="The second"))
    line.mend()
    expect(page.locator(".who-email")).to_have_text(stranger.email)
    expect(page.locator(".open")).to_have_count(1)
    expect(page.locator(".open")).to_contain_text("The second")
    assert page.evaluate("() => window.mark") is None


def test_somebody_elses_log_in_is_known_to_all_tabs_at_once(desks: Desks, sender: Sender, stranger: Sender) -> None:
    page, line = logged_in(desks, sender, "/settings", before=NO_FIVE_SECONDS)
    line.cut()
    log_in(page.context, stranger)
    page.get_by_role("button", name="Mute all notifications").click()
    desks.tab(page.context, "/messages")
    expect(page.locator(".who-email")).to_have_text(stranger.email)
    line.mend()
    live(page)
    for account in (sender, stranger):
        assert account.get("/me")["settings"]["muted_all_at"] is None, "what was meant for one is done for nobody"


def test_a_log_in_is_known_to_a_tab_that_waits_for_one(desks: Desks, sender: Sender) -> None:
    context = desks.context(sender.hub)
    page, waiting = context.new_page(), context.new_page()
    waiting.goto("/messages")
    page.goto("/")
    for each in (waiting, page):
        expect(each.get_by_label("Email")).to_be_visible()
    log_in_by_hand(page, sender)
    live(page)
    live(waiting)
    expect(waiting).to_have_url(re.compile("/messages$"))
    expect(page).to_have_url(re.compile("/activity$"))


def test_a_log_in_that_another_tab_has_overtaken_leaves_one_dashboard(desks: Desks, sender: Sender) -> None:
    context = desks.context(sender.hub)
    page, other = context.new_page(), context.new_page()
    sockets: list[WebSocket] = []
    page.on("websocket", lambda socket: sockets.append(socket))
    held: list[Route] = []
    page.route("**/api/v1/session", lambda route: held.append(route))
    for each in (page, other):
        each.goto("/login")
        log_in_by_hand(each, sender)
    live(page)
    held[0].continue_()
    wait_until(lambda: page.evaluate("true") and len(sockets) == 2, what="the second dashboard is connected")
    wait_until(lambda: page.evaluate("true") and sockets[0].is_closed(), what="the first one has ended")
    live(page)


def test_a_log_out_is_known_to_a_tab_that_is_not_connected(desks: Desks, sender: Sender) -> None:
    page, line = logged_in(desks, sender)
    other = desks.tab(page.context, "/messages")
    line.cut()
    other.get_by_role("button", name="Log out").click()
    expect(page).to_have_url(re.compile("/login$"))
    expect(page.get_by_label("Password", exact=True)).to_be_visible()


def test_what_one_user_could_undo_is_not_offered_to_the_next(desks: Desks, sender: Sender, stranger: Sender) -> None:
    sender.patch("/settings", realtime_notifications=False)
    page, _ = logged_in(desks, sender, "/settings", before=NO_FIVE_SECONDS)
    page.get_by_role("switch", name="Enable real-time notifications").check()
    expect(page.get_by_role("button", name="Undo")).to_be_visible()
    page.get_by_role("button", name="Log out").click()
    log_in_by_hand(page, stranger)
    live(page)
    expect(page.get_by_role("button", name="Undo")).to_have_count(0)


def test_a_mute_all_that_the_end_of_the_session_prevents_says_so(desks: Desks, sender: Sender) -> None:
    page, line = logged_in(desks, sender, "/settings", before=NO_FIVE_SECONDS)
    page.get_by_role("button", name="Mute all notifications").click()
    line.end(4401)
    expect(page.get_by_label("Password", exact=True)).to_be_visible()
    expect(page.locator(".toast")).to_contain_text("Nothing was muted.")


def test_a_mute_all_that_finds_the_session_over_says_so(desks: Desks, sender: Sender) -> None:
    page, _ = logged_in(desks, sender, "/settings", before=NO_FIVE_SECONDS)
    page.get_by_role("button", name="Mute all notifications").click()
    page.route("**/mute-all", lambda route: route.fulfill(status=401, json={"detail": "You are not logged in."}))
    page.evaluate("() => dispatchEvent(new Event('pagehide'))")
    expect(page.get_by_label("Password", exact=True)).to_be_visible()
    expect(page.locator(".toast")).to_contain_text("You are not logged in.")


def test_a_log_out_that_is_heard_of_late_ends_nobody_elses_session(
    desks: Desks, sender: Sender, stranger: Sender
) -> None:
    page, line = logged_in(desks, sender)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/api/" in request.url else None)
    log_in(page.context, stranger)
    line.end(4401)
    expect(page.get_by_label("Password", exact=True)).to_be_visible()
    assert asked == []
    assert whose(page.context) == stranger.email


def test_a_dashboard_that_was_left_follows_no_choice_any_more(desks: Desks, sender: Sender) -> None:
    page = desks.open(sender)
    page.evaluate("() => { window.old = [document.querySelector('.ask')]; }")
    page.get_by_role("link", name="Settings").click()
    page.evaluate("() => old.push(document.querySelector('[value=dark]'), document.getElementById('popups'))")
    page.get_by_role("button", name="Log out").click()
    log_in_by_hand(page, sender)
    # If the old dashboard still followed choices, these would become true.
    page.evaluate("() => { const [ask, dark, popups] = old; ask.hidden = dark.checked = popups.checked = false; }")
    page.get_by_role("radio", name="Dark").check()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert page.evaluate("() => [old[0].hidden, old[1].checked, old[2].checked]") == [False, False, False]


def test_a_log_in_that_was_reloaded_leads_to_what_was_asked_for(desks: Desks, sender: Sender) -> None:
    page = desks.context(sender.hub).new_page()
    page.goto("/messages?q=renewal")
    expect(page).to_have_url(re.compile("/login$"))
    page.reload()
    log_in_by_hand(page, sender)
    expect(page).to_have_url(re.compile("/messages\\?q=renewal$"))


def test_what_was_filled_in_outlives_the_session_for_the_same_user_alone(
    desks: Desks, sender: Sender, stranger: Sender
) -> None:
    page, line = logged_in(desks, sender, "/try")
    subject, to = page.get_by_label("Subject"), page.get_by_role("textbox", name="To", exact=True)
    subject.fill("The quote")
    to.fill("a@example.com, b@example.com")
    line.end(4401)
    log_in_by_hand(page, sender)
    live(page)
    expect(subject).to_have_value("The quote")
    expect(to).to_have_value("a@example.com, b@example.com")
    line.end(4401)
    log_in_by_hand(page, stranger)
    live(page)
    page.get_by_role("link", name="Add tracking", exact=True).click()
    expect(subject).to_have_value("")
    expect(to).to_have_value("")


def test_forward_leads_past_the_log_in_that_a_session_ended_on(desks: Desks, sender: Sender) -> None:
    page, line = logged_in(desks, sender)
    page.get_by_role("link", name="Messages").click()
    line.end(4401)
    expect(page).to_have_url(re.compile("/login$"))
    page.go_back()
    log_in_by_hand(page, sender)
    live(page)
    page.go_forward()
    expect(page.get_by_role("heading", name="Messages", exact=True)).to_be_visible()
    expect(page).to_have_url(re.compile("/messages$"))


def test_a_log_in_of_somebody_else_does_not_lead_to_where_the_last_one_was(
    desks: Desks, sender: Sender, stranger: Sender
) -> None:
    page = desks.open(sender, f"/messages/{sender.register()['id']}")
    page.keyboard.press("Escape")
    page.get_by_role("link", name="Settings").click()
    for account, where in ((sender, "/settings"), (stranger, "/activity")):
        page.get_by_role("button", name="Log out").click()
        log_in_by_hand(page, account)
        live(page)
        expect(page).to_have_url(re.compile(f"{where}$"))


def test_a_log_out_takes_the_number_of_unseen_from_the_title(desks: Desks, sender: Sender) -> None:
    page = desks.open(sender, "/settings")
    sender.hit(sender.register())
    expect(page).to_have_title("(1) Settings · Glimpse")
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_label("Password", exact=True)).to_be_visible()
    expect(page).to_have_title(re.compile("^[^(]"))
    expect(page.locator("link[rel=icon]")).to_have_attribute("href", re.compile("icon.svg"))
