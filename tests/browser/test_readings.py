"""Lists that are read while things go on happening: nothing that arrives meanwhile is lost, and nothing is undone."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
from playwright.sync_api import APIResponse, Locator, Page, Route, WebSocket, WebSocketRoute, expect

from tests.browser.conftest import Desks, live, log_in
from tests.browser.people import LONG_AGO, Sender
from tests.browser.test_sessions import logged_in as line_to_the_hub
from tests.processes import wait_until


class Held:
    """Answers that the hub has given, and that are held back from the page."""

    def __init__(self, page: Page, pattern: str) -> None:
        self._page = page
        self._answers: list[tuple[Route, APIResponse]] = []
        self._released = False
        page.route(pattern, self._hold)

    def _hold(self, route: Route) -> None:
        if self._released:
            route.continue_()
            return
        answer = route.fetch()
        if self._released:  # meanwhile
            route.fulfill(response=answer)
        else:
            self._answers.append((route, answer))

    def wait(self, number: int = 1) -> None:
        """Wait until this many are held."""
        wait_until(lambda: self._page.evaluate("true") and len(self._answers) >= number, what="questions that are held")

    def release(self, *, lost: bool = False) -> None:
        """Give the page what is held, the last answer first, and hold back nothing more.

        If they are `lost`, the requests whose answers are held fail instead.
        """
        self.wait()
        self._released = True
        for route, answer in reversed(self._answers):
            if lost:
                route.abort()
            else:
                route.fulfill(response=answer)


def opened(sender: Sender, message: dict[str, Any]) -> None:
    sender.hit(message)


def registered(sender: Sender, _message: dict[str, Any]) -> None:
    sender.register()


def logged_in(desks: Desks, sender: Sender) -> Page:
    """A page that shows nothing yet."""
    context = desks.context(sender.hub)
    log_in(context, sender)
    return context.new_page()


def an_event(socket: WebSocket) -> AbstractContextManager[Any]:
    """Ends when the page has heard of an event that comes during the block."""
    return socket.expect_event("framereceived", lambda frame: '"event"' in str(frame))


VIEWS = [
    pytest.param("/activity", "**/api/v1/opens?*", opened, ".feed .open", 1, id="activity"),
    pytest.param("/messages/{id}", "**/api/v1/messages/*/opens?*", opened, "dialog .open", 1, id="history"),
    pytest.param("/messages", "**/api/v1/messages?*", registered, ".message", 2, id="messages"),
]


@pytest.mark.parametrize("lost", [False, True], ids=["read", "lost"])
@pytest.mark.parametrize(("path", "reading", "happen", "row", "count"), VIEWS)
def test_an_event_while_a_list_is_read_is_in_it_however_the_reading_ends(
    desks: Desks,
    sender: Sender,
    path: str,
    reading: str,
    happen: Callable[[Sender, dict[str, Any]], None],
    row: str,
    count: int,
    lost: bool,
) -> None:
    message = sender.register()
    page = logged_in(desks, sender)
    held = Held(page, reading)
    with page.expect_websocket() as socket:
        page.goto(path.format(id=message["id"]))
    live(page)
    held.wait()
    with an_event(socket.value):
        happen(sender, message)
    held.release(lost=lost)
    if lost:
        again = page.get_by_role("alert").get_by_role("button", name="Try again")
        expect(again).to_be_visible()
        with an_event(socket.value):
            happen(sender, message)
        expect(page.locator(row)).to_have_count(0)
        again.click()
    expect(page.locator(row)).to_have_count(count + lost)


def history_overtaken(desks: Desks, sender: Sender, message: dict[str, Any], happen: Callable[[], object]) -> Locator:
    """A history that is given its opens only after the page has heard of what `happen` does."""
    page = logged_in(desks, sender)
    held = Held(page, "**/api/v1/messages/*/opens?*")
    with page.expect_websocket() as socket:
        page.goto(f"/messages/{message['id']}")
    live(page)
    held.wait()
    with an_event(socket.value):
        happen()
    held.release()
    return page.get_by_role("dialog")


def test_a_change_while_the_history_is_read_is_shown(desks: Desks, sender: Sender) -> None:
    message = sender.register(sent_at=None)
    path = f"/messages/{message['id']}"
    dialog = history_overtaken(desks, sender, message, lambda: sender.patch(path, muted=True, sent_at=LONG_AGO))
    expect(dialog.get_by_role("button", name="Unmute this mail")).to_be_visible()
    expect(dialog.locator(".history-sub")).to_contain_text("Sent")
    expect(dialog.get_by_text("This mail is not sent yet")).to_have_count(0)


def test_a_history_shows_nothing_of_the_one_before_it(desks: Desks, sender: Sender) -> None:
    first, second = sender.register(subject="First"), sender.register(subject="Second")
    sender.hit(first)
    page = desks.open(sender, "/messages")
    of_first, of_second = (Held(page, f"**/api/v1/messages/{each['id']}/opens?*") for each in (first, second))
    page.get_by_role("link", name="First").click()
    of_first.wait()
    page.get_by_role("button", name="Close the history").click()
    page.get_by_role("link", name="Second").click()
    dialog = page.get_by_role("dialog", name="Second")
    of_second.wait()
    of_first.release(lost=True)
    of_second.release(lost=True)
    expect(dialog.get_by_role("alert")).to_be_visible()
    sender.hit(second)
    expect(page.locator(".message", has_text="Second")).to_contain_text("1 open")
    expect(dialog.locator(".open")).to_have_count(0)
    dialog.get_by_role("button", name="Try again").click()
    expect(dialog.locator(".open")).to_have_count(1)


def a_long_history(desks: Desks, sender: Sender) -> tuple[dict[str, Any], Page, Locator]:
    """A message with one open more than are shown at first, and its history."""
    message = sender.register()
    for _ in range(101):
        sender.hit(message)
    page = desks.open(sender, f"/messages/{message['id']}")
    return message, page, page.get_by_role("dialog")


def test_older_opens_that_are_asked_for_while_the_history_is_read_are_shown(desks: Desks, sender: Sender) -> None:
    _, page, dialog = a_long_history(desks, sender)
    expect(dialog.locator(".open")).to_have_count(100)
    held = Held(page, "**/api/v1/messages/*/opens?*")
    dialog.get_by_role("switch", name="Show machines and repeats").check()
    dialog.get_by_role("button", name="Show older opens").click()
    held.release()
    expect(dialog.locator(".open")).to_have_count(101)


def test_a_button_of_the_history_stays_under_the_finger_while_opens_arrive(desks: Desks, sender: Sender) -> None:
    message, page, dialog = a_long_history(desks, sender)
    older = dialog.get_by_role("button", name="Show older opens")
    older.hover()
    page.mouse.down()
    with page.expect_response(f"**/api/v1/messages/{message['id']}"):
        sender.hit(message)
    expect(older).to_be_focused()
    page.mouse.up()
    expect(dialog.locator(".open")).to_have_count(102)
    expect(dialog.locator(".figures dd").first).to_have_text("102")
    expect(older).to_be_hidden()
    expect(dialog.get_by_role("region")).to_be_focused()


def test_figures_of_a_history_are_the_newest_however_late_an_answer_comes(desks: Desks, sender: Sender) -> None:
    message = sender.register()
    sender.hit(message)
    page = logged_in(desks, sender)
    with page.expect_websocket() as socket:
        page.goto(f"/messages/{message['id']}")
    live(page)
    dialog = page.get_by_role("dialog")
    figure = dialog.locator(".figures dd").first
    expect(figure).to_have_text("1")
    held = Held(page, f"**/api/v1/messages/{message['id']}")
    for _ in range(3):
        with an_event(socket.value):
            sender.hit(message)
    held.release()
    expect(figure).to_have_text("4")
    expect(dialog.locator(".open")).to_have_count(4)


def unseen(desks: Desks, sender: Sender, message: dict[str, Any], opens: int) -> tuple[Page, WebSocket, Held]:
    """A page whose title counts this many `opens`, its socket, and the answers to its later requests for `/me`."""
    page = logged_in(desks, sender)
    with page.expect_websocket() as socket:
        page.goto("/settings")
    live(page)
    for number in range(1, opens + 1):
        sender.hit(message)
        expect(page).to_have_title(f"({number}) Settings · Glimpse")
    return page, socket.value, Held(page, "**/api/v1/me")


def test_an_open_that_comes_while_the_unseen_are_counted_counts(desks: Desks, sender: Sender) -> None:
    message = sender.register()
    page, socket, held = unseen(desks, sender, message, 2)
    sender.post("/seen", sequence=sender.get("/me")["sequence"] - 1)
    held.wait()
    with an_event(socket):
        sender.hit(message)
    expect(page).to_have_title("(3) Settings · Glimpse")
    held.release()
    expect(page).to_have_title("(2) Settings · Glimpse")


def test_unseen_are_counted_by_the_newest_answer_however_late_another_comes(desks: Desks, sender: Sender) -> None:
    page, socket, held = unseen(desks, sender, sender.register(), 3)
    last = sender.get("/me")["sequence"]
    for before in (2, 1):
        with an_event(socket):
            sender.post("/seen", sequence=last - before)
        # Once this is answered, the page has made all requests that follow from the event.
        page.evaluate("() => fetch('/healthz').then((answer) => answer.text())")
    held.release()
    # Once this is answered, the page has asked once more and has had its answer.
    page.evaluate("() => fetch('/api/v1/me').then((answer) => answer.text())")
    expect(page).to_have_title("(1) Settings · Glimpse")


def test_opens_seen_while_the_hub_could_not_take_it_stay_seen(desks: Desks, sender: Sender) -> None:
    first, second = sender.register(), sender.register()
    page = logged_in(desks, sender)
    refused: list[WebSocketRoute] = []

    def refuse_once(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()

        def said(frame: str | bytes) -> None:
            if '"seen"' not in str(frame) or refused:
                server.send(frame)
                return
            refused.append(socket)
            socket.send('{"type": "error", "code": "unavailable", "detail": "the database is away"}')

        socket.on_message(said)

    page.route_web_socket("**/api/v1/ws", refuse_once)
    page.goto("/activity")
    live(page)
    sender.hit(first)
    expect(page).to_have_title("(1) Activity · Glimpse")
    page.get_by_role("link", name="Settings").click()
    expect(page).to_have_title("Settings · Glimpse")
    wait_until(lambda: page.evaluate("true") and refused, what="it is said to be seen, and refused")
    sender.hit(second)
    expect(page).to_have_title("(1) Settings · Glimpse")
    with page.expect_response("**/api/v1/me"):
        sender.post(f"/messages/{second['id']}/viewing")
    assert sender.get("/me")["unseen"] == 1
    refused[0].send('{"type": "heartbeat", "sequence": 1}')
    expect(page).to_have_title("Settings · Glimpse")
    wait_until(lambda: sender.get("/me")["unseen"] == 0)


def test_unseen_that_could_not_be_counted_are_counted_later(desks: Desks, sender: Sender) -> None:
    first, second = sender.register(), sender.register()
    page, line = line_to_the_hub(desks, sender, "/settings")
    sender.hit(first)
    expect(page).to_have_title("(1) Settings · Glimpse")
    page.route("**/api/v1/me", lambda route: route.abort())

    def taken_back(message: dict[str, Any]) -> None:
        with page.expect_event("requestfailed"):
            sender.post(f"/messages/{message['id']}/viewing")
        page.unroute("**/api/v1/me")

    taken_back(first)
    with page.expect_response("**/api/v1/me"):
        sender.hit(second)
    expect(page).to_have_title("(1) Settings · Glimpse")
    page.route("**/api/v1/me", lambda route: route.abort())
    taken_back(second)
    line.cut()
    page.locator(".connection[data-state=waiting]").wait_for()
    line.mend()
    expect(page).to_have_title("Settings · Glimpse")


COUNTED = """async ([unseen, answered]) => {
    const { createUnseen } = await import("/static/live/unseen.js");
    const heard = {}, counts = [];
    const live = { on: (name, listener) => (heard[name] = listener), sequence: 10, seen() {} };
    const api = { me: async () => ({ unseen: 3, seen_sequence: 5, sequence: answered }) };
    const me = { unseen, seen_sequence: 5, sequence: 10 };
    createUnseen({ api, live, me, onChange: (count) => counts.push(count) });
    %s
    return counts;
}"""


def counted(page: Page, unseen: int, answered: int, happens: str) -> list[int]:
    """The counts of a page that begins with `unseen`, while `happens` runs and the hub answers 3 as of `answered`."""
    counts: list[int] = page.evaluate(COUNTED % happens, [unseen, answered])
    return counts


def test_unseen_opens_that_the_hub_has_counted_are_not_counted_again(desks: Desks, sender: Sender) -> None:
    page = logged_in(desks, sender)
    page.goto("/settings")
    happens = "await heard.corrected(); for (const sequence of [11, 12]) heard.opened({ notify: true, sequence });"
    assert counted(page, 2, 11, happens) == [2, 3, 4]


def test_opens_seen_while_the_unseen_are_counted_are_not_counted(desks: Desks, sender: Sender) -> None:
    page = logged_in(desks, sender)
    page.goto("/settings")
    happens = """const asking = heard.corrected();
        heard.seen({ sequence: 10 });
        await asking;
        heard.opened({ notify: true, sequence: 11 });"""
    assert counted(page, 3, 10, happens) == [3, 0, 1]


def test_unseen_are_those_of_a_hub_that_began_anew(desks: Desks, sender: Sender) -> None:
    page = logged_in(desks, sender)
    page.goto("/settings")
    happens = """heard.seen({ sequence: 10 });
        heard.reset({});
        await new Promise((done) => setTimeout(done));
        heard.opened({ notify: true, sequence: 6 });"""
    assert counted(page, 3, 1, happens) == [3, 0, 3, 4]
