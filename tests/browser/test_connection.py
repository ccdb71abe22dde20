"""The connection: a quiet sign, and nothing lost or doubled when the hub or the network goes away."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import CLOCK_OFF, Desks, live, log_in, log_in_by_hand, popups
from tests.browser.people import CURL, Sender
from tests.browser.test_orders import on_its_way, wait
from tests.browser.test_sessions import Line, logged_in
from tests.processes import wait_until
from tests.servers import HubProcess

SOON_MS = 10_000
"""Long before a silence of two heartbeats would show that the connection is lost."""
RETURN_MS = 40_000
"""The longest back-off, and a little."""

PATIENCE = """
    window.patience = [];
    AbortSignal.timeout = () => {
        const one = new AbortController();
        window.patience.push(one);
        return one.signal;
    };
"""
"""The patience with requests is at its end when the test says so."""


@pytest.fixture
def own_hub(tmp_path: Path) -> Iterator[HubProcess]:
    """A hub that the test may stop."""
    with HubProcess(tmp_path, f"sqlite:///{tmp_path / 'hub.db'}") as hub:
        yield hub


def sign(page: Page, text: str) -> None:
    expect(page.locator(".connection")).to_contain_text(text, timeout=RETURN_MS)


def test_a_restart_is_survived_and_what_was_missed_is_one_popup(
    desks: Desks, own_hub: HubProcess, new_account: Callable[[HubProcess], Sender]
) -> None:
    sender = new_account(own_hub)
    message = sender.register(subject="The quote")
    page = desks.open(sender)
    sender.hit(message)
    assert len(popups(page, 1)) == 1
    own_hub.terminate()
    sign(page, "Offline, trying again")
    # The page is kept offline, so that it comes back only when the mail has been opened.
    page.context.set_offline(True)
    own_hub.start()
    for _ in range(5):
        sender.hit(message)
    page.context.set_offline(False)
    page.evaluate("() => dispatchEvent(new Event('online'))")
    expect(page.get_by_text("5 opens while you were away")).to_be_visible(timeout=RETURN_MS)
    expect(page.locator(".open")).to_have_count(6)
    expect(page.get_by_text("While you were away", exact=True)).to_be_visible()
    expect(page.locator(".open").first).to_contain_text("6 opens")
    second = popups(page, 2)[1]
    assert second["title"] == "5 opens while you were away"
    sender.hit(message)
    assert len(popups(page, 3)) == 3
    expect(page.locator(".open")).to_have_count(7)


def test_a_network_that_is_gone_is_said_at_once_and_one_that_is_back_is_used_at_once(
    desks: Desks, sender: Sender
) -> None:
    context = desks.context(sender.hub)
    # By itself the client would wait for minutes.
    context.add_init_script("Math.random = () => 600;")
    log_in(context, sender)
    page = desks.tab(context)
    page.context.set_offline(True)
    expect(page.locator(".connection")).to_contain_text("Offline, trying again", timeout=SOON_MS)
    page.context.set_offline(False)
    live(page)
    sender.hit(sender.register())
    expect(page.locator(".open")).to_have_count(1)


def never_again(desks: Desks, sender: Sender, before: str = "") -> tuple[Page, Line]:
    """A tab that, once its line is cut, does not try again for minutes, and the line."""
    return logged_in(desks, sender, before=f"Math.random = () => 600;{before}")


def test_a_page_that_is_looked_at_again_tries_at_once(desks: Desks, sender: Sender) -> None:
    page, line = never_again(desks, sender)
    line.cut()
    sign(page, "Offline, trying again")
    line.mend()
    page.evaluate("() => document.dispatchEvent(new Event('visibilitychange'))")
    live(page)


def test_a_computer_that_has_slept_does_not_trust_its_old_socket(desks: Desks, sender: Sender) -> None:
    page, _ = never_again(desks, sender, before=CLOCK_OFF % "(globalThis.off ?? 0)")
    with page.expect_websocket():
        page.evaluate("() => void (globalThis.off = 60_000)")
    live(page)


def test_only_the_opens_that_were_missed_last_are_marked(desks: Desks, sender: Sender) -> None:
    first, between, second = (sender.register(subject=subject) for subject in ("First", "Between", "Second"))
    page, line = logged_in(desks, sender)
    for missed, rows in ((first, 1), (second, 3)):
        line.cut()
        sign(page, "Offline, trying again")
        sender.hit(missed)
        line.mend()
        expect(page.locator(".open")).to_have_count(rows)
        if missed is first:
            sender.hit(between)
            expect(page.locator(".open")).to_have_count(2)
    expect(page.locator(".open, .missed-line")).to_contain_text(["Second", "While you were away", "Between", "First"])
    expect(page.locator(".is-missed")).to_have_count(1)
    expect(page.locator(".toast")).to_contain_text("1 open while you were away")


def test_tries_to_reach_the_hub_are_not_read_aloud_one_by_one(desks: Desks, sender: Sender) -> None:
    page, line = logged_in(desks, sender)
    page.evaluate("""() => {
        const sign = document.querySelector(".connection");
        window.said = [];
        const observer = new MutationObserver(() => window.said.push(sign.textContent));
        observer.observe(sign, { childList: true, subtree: true });
    }""")
    line.cut()
    wait_until(lambda: page.evaluate("true") and line.tries >= 3, what="three tries")
    assert page.evaluate("() => window.said") == ["Offline, trying again"]
    line.mend()
    sign(page, "Live")


def test_only_opens_that_would_have_been_told_are_said_to_be_missed(desks: Desks, sender: Sender) -> None:
    loud, quiet, own = (sender.register(subject=subject) for subject in ("Loud", "Quiet", "Own"))
    sender.patch(f"/messages/{quiet['id']}", muted=True)
    page, line = logged_in(desks, sender, "/messages")
    line.cut()
    for message in (loud, quiet, own):
        sender.hit(message)
    sender.hit(loud, user_agent=CURL)
    sender.register()
    sender.post(f"/messages/{own['id']}/viewing")
    line.mend()
    expect(page.get_by_text("1 open while you were away")).to_be_visible()


def test_an_open_while_a_page_is_loaded_was_not_missed(desks: Desks, sender: Sender) -> None:
    context = desks.context(sender.hub)
    log_in(context, sender)
    page = context.new_page()
    line = Line(page)
    line.cut()
    page.goto("/activity")
    expect(page.get_by_role("heading", name="No opens yet")).to_be_visible()
    sender.hit(sender.register(subject="The quote"))
    line.mend()
    live(page)
    expect(page.locator(".open")).to_have_count(1)
    assert popups(page, 1)[0]["title"] == "reader@example.com opened your mail"
    expect(page.get_by_text("while you were away", exact=False)).to_have_count(0)


def test_settings_are_right_after_more_was_missed_than_is_replayed(desks: Desks, sender: Sender) -> None:
    page, line = logged_in(desks, sender, "/settings")
    switch = page.get_by_role("switch", name="Enable real-time notifications")
    expect(switch).to_be_checked()
    line.cut()
    page.route("**/api/v1/events?*", lambda route: route.fulfill(json={"items": [], "sequence": 1}))
    message = sender.register()
    for number in range(1_001):
        sender.patch(f"/messages/{message['id']}", muted=bool(number % 2))
    sender.patch("/settings", realtime_notifications=False)
    line.mend()
    live(page)
    expect(switch).not_to_be_checked()


def test_a_kill_is_survived_too(desks: Desks, own_hub: HubProcess, new_account: Callable[[HubProcess], Sender]) -> None:
    sender = new_account(own_hub)
    message = sender.register()
    page = desks.open(sender, "/messages")
    own_hub.kill()
    sign(page, "Offline, trying again")
    own_hub.start()
    sign(page, "Live")
    sender.hit(message)
    expect(page.locator(f"[data-message='{message['id']}']")).to_contain_text("1 open")


def test_a_view_that_could_not_be_read_is_read_when_the_hub_is_there_again(
    desks: Desks, own_hub: HubProcess, new_account: Callable[[HubProcess], Sender]
) -> None:
    sender = new_account(own_hub)
    sender.hit(sender.register())
    page = desks.open(sender, "/settings")
    own_hub.kill()
    sign(page, "Offline, trying again")
    page.get_by_role("link", name="Activity").click()
    expect(page.get_by_role("alert")).to_contain_text("The hub cannot be reached.")
    own_hub.start()
    expect(page.locator(".open")).to_have_count(1)


@pytest.mark.parametrize(
    ("view", "reading", "row"),
    [("Activity", "**/api/v1/opens?*", ".open"), ("Messages", "**/api/v1/messages?*", ".message")],
)
def test_a_view_that_could_not_be_read_is_read_when_it_is_opened_again(
    desks: Desks, sender: Sender, view: str, reading: str, row: str
) -> None:
    sender.hit(sender.register())
    page, line = logged_in(desks, sender, "/settings")
    page.route(reading, lambda route: route.abort())
    page.get_by_role("link", name=view).click()
    expect(page.get_by_role("alert")).to_be_visible()
    page.get_by_role("link", name="Settings").click()
    line.cut()
    sign(page, "Offline, trying again")
    page.unroute(reading)
    line.mend()
    live(page)
    page.get_by_role("link", name=view).click()
    expect(page.locator(row)).to_have_count(1)


def test_a_page_that_cannot_be_read_says_so_and_can_be_tried_again(desks: Desks, sender: Sender) -> None:
    sender.hit(sender.register())
    page = desks.open(sender, "/settings")
    page.route("**/api/v1/opens*", lambda route: route.abort())
    page.get_by_role("link", name="Activity").click()
    expect(page.get_by_role("alert")).to_contain_text("The hub cannot be reached.")
    page.unroute("**/api/v1/opens*")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".open")).to_have_count(1)


@pytest.mark.parametrize("how", ["pressed", "live"])
@pytest.mark.parametrize(
    ("path", "reading", "row"),
    [("/activity", "**/api/v1/opens?*cursor*", ".open"), ("/messages", "**/api/v1/messages?*cursor*", ".message")],
)
def test_a_list_whose_next_page_could_not_be_read_goes_on(
    desks: Desks, sender: Sender, path: str, reading: str, row: str, how: str
) -> None:
    if path == "/messages":
        sender.register_many(60)
    else:
        message = sender.register()
        for _ in range(45):
            sender.hit(message)
    page, line = logged_in(desks, sender, "/settings")
    page.route(reading, lambda route: route.abort())
    page.get_by_role("link", name="Activity" if path == "/activity" else "Messages").click()
    expect(page.locator(row).first).to_be_visible()
    page.evaluate("() => scrollTo(0, document.documentElement.scrollHeight)")
    foot = page.get_by_role("alert")
    expect(foot).to_contain_text("The hub cannot be reached.")
    if how == "live":
        line.cut()
        sign(page, "Offline, trying again")
        page.unroute(reading)
        line.mend()
    else:
        page.unroute(reading)
        foot.get_by_role("button", name="Try again").click()
    expect(foot).to_have_count(0)
    page.evaluate("() => scrollTo(0, document.documentElement.scrollHeight)")
    if path == "/activity":
        expect(page.locator(row)).to_have_count(45)
        expect(page.get_by_text("That is everything.")).to_be_visible()
    else:
        expect(page.locator(".virtual-row").last).to_have_attribute("aria-setsize", "60")


@pytest.mark.parametrize(
    ("path", "question", "control", "name", "then"),
    [
        ("/messages/{id}", "**/api/v1/messages/*", "button", "Mute this mail", "Muted. Opens"),
        ("/settings", "**/api/v1/settings", "switch", "Enable real-time notifications", "notifications are off."),
    ],
)
def test_a_choice_without_an_answer_is_said_to_have_failed(
    desks: Desks, sender: Sender, path: str, question: str, control: Literal["button", "switch"], name: str, then: str
) -> None:
    context = desks.context(sender.hub)
    context.add_init_script(PATIENCE)
    log_in(context, sender)
    page = desks.tab(context, path.format(id=sender.register()["id"]))
    chooses = page.get_by_role(control, name=name)
    expect(chooses).to_be_visible()
    lost = on_its_way(page, question)
    chooses.click()
    wait(page, lost)
    expect(chooses).to_have_attribute("aria-busy", "true")
    page.evaluate("() => window.patience.forEach((one) => one.abort(new DOMException('', 'TimeoutError')))")
    expect(page.locator(".toasts")).to_contain_text("The hub cannot be reached.")
    expect(chooses).not_to_have_attribute("aria-busy", "true")
    if control == "switch":
        expect(chooses).to_be_checked()
    chooses.click()
    expect(page.get_by_text(then)).to_be_visible()


def test_too_many_tabs_are_explained_and_one_can_be_used(desks: Desks, sender: Sender) -> None:
    page = desks.context(sender.hub).new_page()
    page.route_web_socket("**/api/v1/ws", lambda socket: socket.on_message(lambda _: socket.close(code=4409)))
    page.goto("/")
    log_in_by_hand(page, sender)
    expect(page.get_by_text("Glimpse is open in too many places at once.")).to_be_visible()
    expect(page.get_by_role("button", name="Use it here")).to_be_visible()


def test_settings_that_could_not_be_read_are_read_once_the_hub_is_there_again(
    desks: Desks, own_hub: HubProcess, new_account: Callable[[HubProcess], Sender]
) -> None:
    page = desks.open(new_account(own_hub))
    own_hub.terminate()
    page.get_by_role("link", name="Settings").click()
    cards = [page.get_by_role("region", name=name) for name in ("API tokens", "Where you are logged in")]
    for card in cards:
        expect(card.get_by_role("button", name="Try again")).to_be_visible()
    own_hub.start()
    for card in cards:
        expect(card.locator(".row")).to_have_count(1, timeout=RETURN_MS)
        expect(card.get_by_role("alert")).to_have_count(0)


def test_the_focus_goes_on_from_the_button_that_connects_again(desks: Desks, sender: Sender) -> None:
    page, line = logged_in(desks, sender)
    line.end(4409)
    page.get_by_role("button", name="Use it here").press("Enter")
    live(page)
    expect(page.locator("#content")).to_be_focused()
