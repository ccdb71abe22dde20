"""What comes out of order: answers after events, an answer after a later one, one press too many."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import Desks, live, log_in
from tests.browser.people import LONG_AGO, PASSWORD, Sender
from tests.browser.test_add import make_snippet
from tests.browser.test_readings import Held, an_event, history_overtaken, logged_in
from tests.browser.test_sessions import Line
from tests.browser.test_sessions import logged_in as with_line
from tests.processes import wait_until

ANSWERED = "() => fetch('/healthz').then((answer) => answer.text())"
"""Once this is answered, the page has made all requests that follow from what it heard before."""


def on_its_way(page: Page, pattern: str) -> list[Route]:
    """The next request that fits the pattern, which is not answered until the test does so."""
    asked: list[Route] = []
    page.route(pattern, lambda route: asked.append(route), times=1)
    return asked


def wait(page: Page, asked: list[Route]) -> Route:
    wait_until(lambda: page.evaluate("true") and asked, what="the question")
    return asked[0]


def let_go(page: Page, held: Held, method: str) -> None:
    """Release the answers that are held, and wait until the page has taken note of them."""
    with page.expect_response(lambda response: response.request.method == method and "/messages/" in response.url):
        held.release()
    page.evaluate(ANSWERED)


def test_a_mail_that_is_muted_with_all_while_its_history_is_read_is_shown_muted(desks: Desks, sender: Sender) -> None:
    dialog = history_overtaken(desks, sender, sender.register(), lambda: sender.post("/messages/mute-all"))
    expect(dialog.get_by_role("button", name="Unmute this mail")).to_be_visible()


def test_an_answer_about_a_mail_undoes_nothing_that_was_heard_before_it(desks: Desks, sender: Sender) -> None:
    message = sender.register()
    sender.hit(message)
    page = logged_in(desks, sender)
    held = Held(page, f"**/api/v1/messages/{message['id']}")
    with page.expect_websocket() as socket:
        page.goto("/activity")
    live(page)
    held.wait()
    with an_event(socket.value):
        sender.hit(message)
    held.release()
    expect(page.locator(".feed .open")).to_have_count(2)
    expect(page.locator(".feed .open").last).to_contain_text("2 opens")


def test_the_speaker_shows_the_last_choice_however_late_the_answer_to_its_own_comes(
    desks: Desks, sender: Sender
) -> None:
    message = sender.register()
    page = desks.open(sender, f"/messages/{message['id']}")
    mute, unmute = (page.get_by_role("button", name=f"{name} this mail", exact=True) for name in ("Mute", "Unmute"))
    expect(mute).to_be_visible()
    held = Held(page, f"**/api/v1/messages/{message['id']}")
    mute.click()
    expect(unmute).to_be_visible()
    sender.patch(f"/messages/{message['id']}", muted=False)
    expect(mute).to_be_visible()
    let_go(page, held, "PATCH")
    expect(mute).to_be_visible()


def test_a_history_is_what_was_heard_last_however_late_its_figures_come(desks: Desks, sender: Sender) -> None:
    message = sender.register(sent_at=None)
    page = desks.open(sender, f"/messages/{message['id']}")
    unsent = page.get_by_text("This mail is not sent yet")
    expect(unsent).to_be_visible()
    held = Held(page, f"**/api/v1/messages/{message['id']}")
    sender.hit(message)
    held.wait()
    sender.patch(f"/messages/{message['id']}", sent_at=LONG_AGO)
    expect(unsent).to_have_count(0)
    let_go(page, held, "GET")
    expect(unsent).to_have_count(0)


@pytest.mark.parametrize("all_of_them", [False, True], ids=["one", "all"])
def test_a_corrected_row_is_muted_however_late_its_mail_comes(desks: Desks, sender: Sender, all_of_them: bool) -> None:
    message = sender.register()
    sender.hit(message)
    page = desks.open(sender, "/messages")
    row = page.locator(".message")
    expect(row).to_contain_text("1 open")
    held = Held(page, f"**/api/v1/messages/{message['id']}")
    sender.post(f"/messages/{message['id']}/viewing")
    held.wait()
    sender.post("/messages/mute-all") if all_of_them else sender.patch(f"/messages/{message['id']}", muted=True)
    expect(row).to_contain_text("Muted")
    let_go(page, held, "GET")
    expect(row).to_contain_text("Not opened")
    expect(row).to_contain_text("Muted")


SEARCH_AND_OPEN = """() => {
    const search = document.getElementById("search");
    search.value = "quote";
    search.dispatchEvent(new Event("input"));
    document.querySelector("a.message").click();
}"""


def test_a_search_that_begins_as_a_history_opens_is_there_when_that_is_closed(desks: Desks, sender: Sender) -> None:
    sender.register(subject="The quote")
    page = desks.open(sender, "/messages")
    expect(page.locator(".message")).to_have_count(1)
    with page.expect_response("**/api/v1/messages?*q=quote*"):
        page.evaluate(SEARCH_AND_OPEN)
    page.get_by_role("button", name="Close the history").click()
    expect(page.get_by_label("Search messages")).to_have_value("quote")
    wait_until(lambda: page.url.endswith("/messages?q=quote"))
    expect(page.get_by_label("Search messages")).to_have_value("quote")


def test_the_second_of_two_choices_in_a_row_holds(desks: Desks, sender: Sender) -> None:
    page = desks.open(sender, "/settings")
    switch = page.get_by_role("switch", name="Enable real-time notifications")
    held = Held(page, "**/api/v1/settings")
    switch.uncheck()
    held.wait()
    page.evaluate("() => document.getElementById('realtime').checked || document.getElementById('realtime').click()")
    page.evaluate(ANSWERED)
    held.release()
    expect(page.get_by_text("Real-time notifications are on.")).to_be_visible()
    expect(switch).to_be_checked()
    assert sender.get("/me")["settings"]["realtime_notifications"] is True


POPUPS = """async () => {
    const { createPopups } = await import("/static/notify/popups.js");
    const heard = {}, channel = new EventTarget();
    const parts = { leads: false, shown: [], closing: [], said: [] };
    Object.assign(channel, { postMessage: (said) => parts.said.push(said) });
    const popups = createPopups({
        live: { on: (name, listener) => (heard[name] = listener), state: "live" },
        attention: { within: () => true },
        channel, leads: () => parts.leads, held: () => false, wanted: () => true, chime() {},
        describe: (items) => ({ title: items.map(({ open }) => open.id).join(), body: "", path: "/" }),
        screen: {
            withdraw: async () => undefined,
            show(title) {
                parts.shown.push(title);
                return { close: () => new Promise((done) => parts.closing.push(done)) };
            },
        },
    });
    const open = (sequence) => heard.opened({ open: { id: sequence }, message: {}, notify: true, sequence });
    window.desk = { heard, channel, parts, popups, open };
}"""
"""The pop-ups of a tab in which the test controls everything else."""


def test_an_open_that_the_leader_shows_before_another_tab_hears_of_it_is_shown_once(
    desks: Desks, sender: Sender
) -> None:
    page = desks.context(sender.hub).new_page()
    page.goto("/docs")
    page.evaluate(POPUPS)
    page.evaluate("""() => {
        desk.channel.dispatchEvent(new MessageEvent("message", { data: { shown: 7 } }));
        for (const sequence of [7, 8]) desk.open(sequence);
        desk.parts.leads = true;
        desk.popups.takeOver();
    }""")
    wait_until(lambda: page.evaluate("() => desk.parts.shown"))
    assert page.evaluate("() => desk.parts.shown") == ["8"]


def test_the_rest_of_a_popup_is_not_shown_once_the_user_is_logged_out(desks: Desks, sender: Sender) -> None:
    page = desks.context(sender.hub).new_page()
    page.goto("/docs")
    page.evaluate(POPUPS)
    page.evaluate("() => { desk.parts.leads = true; for (const sequence of [7, 8]) desk.open(sequence); }")
    wait_until(lambda: page.evaluate("() => desk.parts.shown"))
    page.evaluate("""async () => {
        desk.heard.corrected({ open: { id: 7, counted: false } });
        desk.popups.stop();
        for (const done of desk.parts.closing) done(true);
        await new Promise((done) => setTimeout(done));
    }""")
    assert page.evaluate("() => desk.parts.shown") == ["7,8"]


def test_a_page_that_is_tried_again_twice_begins_once(desks: Desks, sender: Sender) -> None:
    page = logged_in(desks, sender)
    sockets: list[Any] = []
    page.on("websocket", lambda socket: sockets.append(socket))
    page.route("**/api/v1/me", lambda route: route.abort(), times=1)
    page.goto("/settings")
    again = page.get_by_role("button", name="Try again")
    expect(again).to_be_visible()
    held = Held(page, "**/api/v1/me")
    again.evaluate("(button) => { button.click(); button.click(); }")
    held.wait()
    page.evaluate(ANSWERED)
    held.release()
    live(page)
    assert len(sockets) == 1


def test_a_late_answer_to_a_session_that_is_over_ends_no_other(desks: Desks, sender: Sender) -> None:
    page = logged_in(desks, sender)
    asked = on_its_way(page, "**/api/v1/opens?*")
    page.goto("/activity")
    late = wait(page, asked)
    page.get_by_role("button", name="Log out").click()
    page.get_by_label("Email").fill(sender.email)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    live(page)
    with page.expect_response("**/api/v1/opens?*"):
        late.fulfill(status=401, json={})
    page.evaluate(ANSWERED)
    live(page)


def test_the_picture_of_a_mail_that_was_opened_behind_another_view_is_drawn(desks: Desks, sender: Sender) -> None:
    message = sender.register()
    context = desks.context(sender.hub)
    context.clock.install()
    log_in(context, sender)
    page = desks.tab(context, "/messages")
    expect(page.locator(".message")).to_contain_text("Not opened")
    page.get_by_role("link", name="Settings").click()
    sender.hit(message)
    expect(page).to_have_title("(1) Settings · Glimpse")
    context.clock.run_for(1_000)
    page.get_by_role("link", name="Messages").click()
    expect(page.get_by_role("img", name="Opens over time: 1 open")).to_be_visible()


READ_ANEW = """async () => {
    const { createVirtualList } = await import("/static/parts/virtual-list.js");
    const render = ({ text }) => Object.assign(document.createElement("a"), { textContent: text });
    const list = createVirtualList({ label: "", key: ({ id }) => id, render, onNearEnd() {} });
    document.body.prepend(list.element);
    const before = { id: "1", text: "before" };
    list.set([before]);
    list.refresh(before);
    list.clear();
    list.set([{ id: "1", text: "after" }]);
    await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    return list.element.textContent;
}"""


def test_a_row_that_was_read_anew_is_not_drawn_as_it_was_before(desks: Desks, sender: Sender) -> None:
    page = desks.context(sender.hub).new_page()
    page.goto("/docs")
    assert page.evaluate(READ_ANEW) == "after"


def test_a_choice_keeps_what_another_tab_has_just_chosen(desks: Desks, sender: Sender) -> None:
    page = desks.open(sender, "/settings")
    # A page is not told of what it stores itself, just as it is not told yet of what another tab has just stored.
    page.evaluate("() => localStorage.setItem('glimpse', JSON.stringify({ theme: 'dark' }))")
    page.get_by_role("switch", name="Sound").check()
    kept = page.evaluate("() => JSON.parse(localStorage.getItem('glimpse'))")
    assert (kept["theme"], kept["sound"]) == ("dark", True)


HIDE_AND_LOG_OUT = """() => {
    Object.defineProperty(document, "hidden", { value: true });
    document.dispatchEvent(new Event("visibilitychange"));
    document.querySelector("[aria-label='Log out']").click();
}"""


def test_a_log_out_waits_for_a_mute_all_that_is_under_way(desks: Desks, sender: Sender) -> None:
    page = desks.open(sender, "/settings")
    methods: list[str] = []
    page.on("request", lambda request: methods.append(request.method))
    asked = on_its_way(page, "**/api/v1/messages/mute-all")
    page.get_by_role("button", name="Mute all notifications").click()
    page.evaluate(HIDE_AND_LOG_OUT)
    late = wait(page, asked)
    page.evaluate(ANSWERED)
    assert "DELETE" not in methods
    late.continue_()
    expect(page.get_by_label("Password", exact=True)).to_be_visible()
    assert sender.get("/me")["settings"]["muted_all_at"]


def test_a_session_is_ended_once_however_often_that_is_pressed(desks: Desks, sender: Sender) -> None:
    log_in(desks.context(sender.hub), sender)
    page = desks.open(sender, "/settings")
    end = page.get_by_role("button", name="Log out there")
    expect(end).to_have_count(1)
    methods: list[str] = []
    page.on("request", lambda request: methods.append(request.method))
    end.evaluate("(button) => { button.click(); button.click(); }")
    expect(page.get_by_text("Logged out there.")).to_be_visible()
    assert methods.count("DELETE") == 1


def test_a_late_answer_to_sent_says_nothing_of_the_next_mail(desks: Desks, sender: Sender) -> None:
    page = desks.open(sender, "/try")
    make_snippet(page, "The first")
    [message] = wait_until(lambda: sender.get("/messages")["items"])
    held = Held(page, f"**/api/v1/messages/{message['id']}")
    page.get_by_role("button", name="I have sent it").click()
    expect(page.get_by_text("Sent. From now on an open is an open.")).to_be_visible()
    sender.hit(sender.get(f"/messages/{message['id']}"))
    page.locator(".watch .buttons button").click()
    make_snippet(page, "The second")
    let_go(page, held, "PATCH")
    # By then the answer has done all that it does.
    page.evaluate("() => new Promise((done) => setTimeout(done))")
    expect(page.get_by_role("button", name="I have sent it")).to_be_visible()


def test_a_reading_that_fails_only_after_the_hub_is_back_is_made_again(desks: Desks, sender: Sender) -> None:
    sender.hit(sender.register())
    page = logged_in(desks, sender)
    line = Line(page)
    page.goto("/settings")
    live(page)
    asked = on_its_way(page, "**/api/v1/opens?*")
    page.get_by_role("link", name="Activity").click()
    late = wait(page, asked)
    line.cut()
    expect(page.locator(".connection")).to_contain_text("Offline")
    line.mend()
    live(page)
    late.abort()
    expect(page.locator(".open")).to_have_count(1)


def come_late(sender: Sender, line: Line) -> None:
    """Have the page hear of the first open only now, as if the hub had kept the hit in its spool.

    The event takes the sequence of the hub's next event, which the page then passes over.
    """
    log = sender.get("/events")
    event = next(event for event in log["items"] if event["type"] == "open.recorded")
    event["sequence"] = str(log["sequence"] + 1)
    event["data"]["message"]["opens"] += 1
    line.say({"type": "event", "event": event})
    sender.register()


def turn_out(sender: Sender, _line: Line) -> None:
    """Have the first open corrected: the mail was not sent yet."""
    [*_, first] = sender.get("/messages")["items"]
    sender.patch(f"/messages/{first['id']}", sent_at="2999-03-01T09:00:00Z")


@pytest.mark.parametrize("happen", [come_late, turn_out])
def test_the_feed_is_in_order_whatever_happens_to_opens_beyond_it(
    desks: Desks, sender: Sender, happen: Callable[[Sender, Line], None]
) -> None:
    sender.hit(sender.register())
    message = sender.register()
    for _ in range(45):
        sender.hit(message)
    page, line = with_line(desks, sender)
    rows = page.locator(".open")
    with page.expect_response("**/api/v1/opens?*all=true*"):
        page.get_by_role("switch", name="Show machines and repeats").check()
    expect(rows).to_have_count(40)
    happen(sender, line)
    sender.hit(message)
    expect(rows.first).to_contain_text("46 opens")

    def is_all_there() -> bool:
        rows.last.scroll_into_view_if_needed()
        return rows.count() == 47

    wait_until(is_all_there, what="all of the feed")
    shown = [row.get_attribute("data-open") for row in rows.all()]
    assert shown == [open_["id"] for open_ in sender.get("/opens", all=True, limit=50)["items"]]


def test_a_mail_was_last_opened_at_its_latest_open_however_late_another_is_told(desks: Desks, sender: Sender) -> None:
    message = sender.register()
    for _ in range(2):
        sender.hit(message)
    page, line = with_line(desks, sender, "/messages")
    row = page.locator(f"[data-message='{message['id']}']")
    expect(row).to_contain_text("2 opens")
    come_late(sender, line)
    expect(row).to_contain_text("3 opens")
    last = sender.get(f"/messages/{message['id']}")["last_opened_at"]
    expect(row.locator(".message-last time")).to_have_attribute("datetime", last)
