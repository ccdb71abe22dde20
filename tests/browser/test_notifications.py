"""Pop-ups: one for an open however many tabs there are, one for several at once, none for opens seen or taken back."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import PATIENCE_MS, Desks, count_told, live, log_in, popups
from tests.browser.people import Sender
from tests.browser.test_orders import on_its_way, wait
from tests.browser.test_sessions import Line, logged_in
from tests.processes import wait_until


def shown(pages: list[Page]) -> list[str]:
    return [popup["body"] for page in pages for popup in popups(page)]


def test_one_open_is_one_popup_however_many_tabs_are_open(desks: Desks, sender: Sender) -> None:
    first = desks.open(sender)
    tabs = [first, desks.tab(first.context, "/messages"), desks.tab(first.context, "/settings")]
    sender.hit(sender.register(subject="The quote"))
    wait_until(lambda: len(shown(tabs)) == 1)
    # A second open goes the same way through every tab: once it is shown, nothing of the first is still on its way.
    sender.hit(sender.register(subject="The contract"))
    wait_until(lambda: len(shown(tabs)) >= 2)
    assert [body.split("\n")[0] for body in shown(tabs)] == ["The quote", "The contract"]


def test_when_the_tab_that_shows_popups_is_closed_another_takes_over(desks: Desks, sender: Sender) -> None:
    first = desks.open(sender)
    second = desks.tab(first.context)
    sender.hit(sender.register(subject="The quote"))
    assert len(popups(first, 1)) == 1
    first.close()
    sender.hit(sender.register(subject="The contract"))
    [popup] = popups(second, 1)
    assert "The contract" in popup["body"]


def assert_leads_again(page: Page, other: Page, sender: Sender) -> None:
    """Check that the tab is back and, once the other is closed, shows the next pop-up."""
    live(page)
    other.close()
    sender.hit(sender.register(subject="The contract"))
    [popup] = popups(page, 1)
    assert "The contract" in popup["body"], "what the other tab has shown is not shown again"


def test_a_tab_that_is_refused_leaves_the_popups_to_another_until_it_is_back(desks: Desks, sender: Sender) -> None:
    page, line = logged_in(desks, sender, "/settings")
    other = desks.tab(page.context, "/settings")
    message = sender.register(subject="The quote")
    line.end(4409)
    again = page.get_by_role("button", name="Use it here")
    expect(again).to_be_visible()
    sender.hit(message)
    assert len(popups(other, 1)) == 1
    again.click()
    assert_leads_again(page, other, sender)


def test_a_tab_that_is_cut_off_leaves_the_popups_to_another(desks: Desks, sender: Sender) -> None:
    page, line = logged_in(desks, sender, "/settings")
    other = desks.tab(page.context, "/settings")
    line.cut()
    sender.hit(sender.register(subject="The quote"))
    assert len(popups(other, 1)) == 1
    line.mend()
    assert_leads_again(page, other, sender)


def test_several_opens_at_once_are_one_popup(desks: Desks, sender: Sender) -> None:
    messages = [sender.register(subject=f"Mail {number}") for number in range(4)]
    context = desks.context(sender.hub)
    log_in(context, sender)
    page = context.new_page()
    line = Line(page)
    page.goto("/settings")
    live(page)
    line.keep()
    for message in messages:
        sender.hit(message)
    line.tell(4)
    [popup] = popups(page, 1)
    assert popup["title"] == "4 opens"
    assert sum(f"Mail {number}" in popup["body"] for number in range(4)) == 3
    sender.post(f"/messages/{messages[0]['id']}/viewing")
    together, left = popups(page, 2)
    assert together["closed"]
    assert left["title"] == "3 opens", "one was taken back"
    assert left["silent"]
    assert "Mail 0" not in left["body"]
    page.evaluate("() => window.popups[1].onclick()")
    expect(page.get_by_role("heading", name="Activity")).to_be_visible()


def test_a_click_on_a_popup_leads_to_the_history(desks: Desks, sender: Sender) -> None:
    message = sender.register(subject="The quote")
    page = desks.open(sender, "/settings")
    sender.hit(message)
    popups(page, 1)
    page.evaluate("() => window.popups[0].onclick()")
    expect(page.get_by_role("dialog", name="The quote")).to_be_visible()
    expect(page).to_have_url(re.compile(f"/messages/{message['id']}$"))
    assert popups(page)[0]["closed"]


def test_the_title_and_the_icon_carry_the_unseen_count(desks: Desks, sender: Sender) -> None:
    message = sender.register()
    page = desks.open(sender, "/settings")
    expect(page).to_have_title("Settings · Glimpse")
    icon = page.locator("link[rel=icon]")
    expect(icon).to_have_attribute("href", re.compile("icon.svg"))
    for number in (1, 2):
        sender.hit(message)
        expect(page).to_have_title(f"({number}) Settings · Glimpse")
    expect(icon).to_have_attribute("href", re.compile("^data:image/png"))
    expect(page.get_by_role("link", name="Activity 2 unseen")).to_be_visible()
    page.reload()
    expect(page).to_have_title("(2) Settings · Glimpse")
    page.get_by_role("link", name="Activity").click()
    page.mouse.move(400, 300)
    expect(page).to_have_title("Activity · Glimpse")
    expect(icon).to_have_attribute("href", re.compile("icon.svg"))
    wait_until(lambda: sender.get("/me")["unseen"] == 0)


def test_an_open_that_could_not_be_read_is_not_seen(desks: Desks, sender: Sender) -> None:
    sender.hit(sender.register())
    page = desks.open(sender, "/settings")
    page.route("**/api/v1/opens*", lambda route: route.abort())
    page.get_by_role("link", name="Activity").click()
    again = page.get_by_role("button", name="Try again")
    expect(again).to_be_visible()
    page.mouse.move(400, 300)
    expect(page).to_have_title("(1) Activity · Glimpse")
    page.unroute("**/api/v1/opens*")
    again.click()
    expect(page.locator(".open")).to_have_count(1)
    page.mouse.move(300, 400)
    expect(page).to_have_title("Activity · Glimpse")


def test_a_user_who_goes_to_the_feed_has_seen_it_whatever_comes_next(desks: Desks, sender: Sender) -> None:
    message = sender.register()
    page = desks.open(sender, "/settings")
    for _ in ("the feed is made", "the feed is there"):
        sender.hit(message)
        expect(page).to_have_title("(1) Settings · Glimpse")
        page.get_by_role("link", name="Activity").click()
        expect(page).to_have_title("Activity · Glimpse")
        page.get_by_role("link", name="Settings").click()
    wait_until(lambda: sender.get("/me")["unseen"] == 0)


def test_a_user_who_is_there_while_the_feed_is_read_has_seen_it(desks: Desks, sender: Sender) -> None:
    sender.hit(sender.register())
    page = desks.open(sender, "/settings")
    asked = on_its_way(page, "**/api/v1/opens*")
    page.get_by_role("link", name="Activity").click()
    page.mouse.move(400, 300)
    reading = wait(page, asked)
    expect(page).to_have_title("(1) Activity · Glimpse")
    reading.continue_()
    expect(page.locator(".open")).to_have_count(1)
    expect(page).to_have_title("Activity · Glimpse")


def test_a_user_who_is_there_as_an_open_comes_has_seen_it(desks: Desks, sender: Sender) -> None:
    context = desks.context(sender.hub)
    context.add_init_script("""
        const frame = requestAnimationFrame;
        requestAnimationFrame = (run) => {
            // Between the arrival of what is to be drawn and its drawing.
            queueMicrotask(() => document.querySelector(".open") || dispatchEvent(new PointerEvent("pointermove")));
            return frame(run);
        };
    """)
    log_in(context, sender)
    page = desks.tab(context)
    expect(page.get_by_role("heading", name="No opens yet")).to_be_visible()
    sender.hit(sender.register())
    expect(page.locator(".open")).to_have_count(1)
    expect(page).to_have_title("Activity · Glimpse")
    wait_until(lambda: sender.get("/me")["unseen"] == 0)


def test_a_user_who_was_there_before_an_open_has_not_seen_it(desks: Desks, sender: Sender) -> None:
    page = desks.open(sender)
    expect(page.get_by_role("heading", name="No opens yet")).to_be_visible()
    page.mouse.move(400, 300)
    sender.hit(sender.register())
    expect(page.locator(".open")).to_have_count(1)
    expect(page).to_have_title("(1) Activity · Glimpse")


def test_a_popup_that_is_seen_on_one_device_is_withdrawn_on_the_others(desks: Desks, sender: Sender) -> None:
    phone, desk = desks.open(sender, "/settings"), desks.open(sender, "/settings")
    sender.hit(sender.register())
    for page in (phone, desk):
        assert not popups(page, 1)[0]["closed"]
    phone.get_by_role("link", name="Activity").click()
    phone.mouse.move(300, 300)
    wait_until(lambda: popups(desk)[0]["closed"])
    expect(desk).to_have_title("Settings · Glimpse")


def test_a_device_that_nobody_uses_lets_the_others_go_first(desks: Desks, sender: Sender) -> None:
    context = desks.context(sender.hub)
    # Here it waits for the others for ever, so that they need not be quick.
    context.add_init_script("""
        const now = Date.now, wait = setTimeout;
        Date.now = () => now() + (window.later ?? 0);
        setTimeout = (run, after) => wait(run, after > 2000 && after < 2500 ? 1e9 : after);
    """)
    log_in(context, sender)
    page = desks.tab(context, "/settings")
    busy = desks.open(sender, "/settings")
    page.evaluate("() => { window.later = 3_600_000; }")
    sender.hit(sender.register())
    expect(page).to_have_title("(1) Settings · Glimpse")
    assert len(popups(busy, 1)) == 1
    sender.post("/seen", sequence=sender.get("/me")["sequence"])
    expect(page).to_have_title("Settings · Glimpse")
    page.evaluate("() => { window.later = 0; }")
    page.mouse.move(10, 10)
    sender.hit(sender.register(subject="Next"))
    [popup] = popups(page, 1)
    assert "Next" in popup["body"]


@pytest.mark.parametrize("silenced", ["one", "all"])
def test_a_popup_that_is_silenced_while_it_waits_is_not_shown(desks: Desks, sender: Sender, silenced: str) -> None:
    context = desks.context(sender.hub)
    # On a device that nobody uses an open waits for two seconds; here it waits for as long as the test wants.
    context.add_init_script("""
        const now = Date.now, wait = setTimeout;
        Date.now = () => now() + (window.later ?? 0);
        window.held = [];
        setTimeout = (run, after) => (after > 2000 && after < 2500 ? held.push(run) : wait(run, after));
    """)
    log_in(context, sender)
    page = desks.tab(context, "/messages")
    page.evaluate("() => { window.later = 3_600_000; }")
    quiet, loud = sender.register(subject="Quiet"), sender.register(subject="Loud")
    sender.hit(quiet)
    sender.hit(loud)
    expect(page).to_have_title("(2) Messages · Glimpse")
    if silenced == "one":
        sender.patch(f"/messages/{quiet['id']}", muted=True)
    else:
        sender.patch("/settings", realtime_notifications=False)
    sender.register(subject="Next")
    expect(page.get_by_role("link", name="Next")).to_be_visible()
    page.evaluate("() => held.splice(0).forEach((run) => run())")
    assert [popup["body"].split("\n")[0] for popup in popups(page)] == (["Loud"] if silenced == "one" else [])


def test_permission_is_asked_by_a_button_and_never_on_load(desks: Desks, sender: Sender) -> None:
    context = desks.context(sender.hub)
    context.add_init_script("""
        Notification.permission = "default";
        window.asked = 0;
        Notification.requestPermission = async () => {
            window.asked += 1;
            Notification.permission = "granted";
            return "granted";
        };
    """)
    context.clock.install()
    log_in(context, sender)
    page = desks.tab(context)
    message = sender.register()
    sender.hit(message)
    expect(page.locator(".open")).to_have_count(1)
    # By then a pop-up has waited for other opens long enough.
    context.clock.run_for(1_000)
    assert page.evaluate("() => window.asked") == 0
    assert popups(page) == []
    card = page.get_by_role("complementary", name="Hear of an open the moment it happens")
    card.get_by_role("button", name="Turn on pop-ups").click()
    expect(page.get_by_text("Pop-ups are on.")).to_be_visible()
    expect(card).to_be_hidden()
    assert page.evaluate("() => window.asked") == 1
    sender.hit(message)
    assert len(popups(page, 1)) == 1


def test_a_refusal_is_respected_and_explained(desks: Desks, sender: Sender) -> None:
    context = desks.context(sender.hub)
    context.add_init_script("Notification.permission = 'denied';")
    log_in(context, sender)
    page = desks.tab(context)
    expect(page.get_by_role("button", name="Turn on pop-ups")).to_be_hidden()
    page.get_by_role("link", name="Settings").click()
    expect(page.get_by_role("switch", name="Pop-ups in this browser")).to_be_disabled()
    expect(page.get_by_text("Your browser blocks pop-ups from this page.")).to_be_visible()


def test_a_permission_that_is_changed_in_the_browser_is_shown_at_once(desks: Desks, sender: Sender) -> None:
    page = desks.open(sender, "/settings")
    switch = page.get_by_role("switch", name="Pop-ups in this browser")
    refusal = page.get_by_text("Your browser blocks pop-ups from this page.")
    expect(switch).to_be_checked()
    page.evaluate("() => void (Notification.permission = 'denied')")
    page.context.clear_permissions()
    expect(switch).to_be_disabled()
    expect(refusal).to_be_visible()
    page.evaluate("() => void (Notification.permission = 'granted')")
    page.context.grant_permissions(["notifications"])
    expect(switch).to_be_checked()
    expect(switch).to_be_enabled()
    expect(refusal).to_be_hidden()


def test_the_question_about_popups_stays_in_its_card_on_the_narrowest_screen(desks: Desks, sender: Sender) -> None:
    context = desks.context(sender.hub, size=(320, 568))
    context.add_init_script("Notification.permission = 'default';")
    log_in(context, sender)
    page = desks.tab(context)
    edges = "(elements) => elements.map((element) => element.getBoundingClientRect().right)"
    [card] = page.locator(".ask").evaluate_all(edges)
    assert max(page.locator(".ask button").evaluate_all(edges)) <= card - 16


def test_permission_is_not_asked_for_again_after_not_now(desks: Desks, sender: Sender) -> None:
    context = desks.context(sender.hub)
    context.add_init_script("Notification.permission = 'default';")
    log_in(context, sender)
    page = desks.tab(context)
    page.get_by_role("button", name="Not now").click()
    expect(page.get_by_role("button", name="Turn on pop-ups")).to_be_hidden()
    page.reload()
    live(page)
    expect(page.get_by_role("heading", name="No opens yet")).to_be_visible(timeout=PATIENCE_MS)
    expect(page.get_by_role("button", name="Turn on pop-ups")).to_be_hidden()


def test_popups_that_were_asked_for_after_all_are_on(desks: Desks, sender: Sender) -> None:
    context = desks.context(sender.hub)
    context.add_init_script("""
        Notification.permission = "default";
        const answers = ["default", "granted"];
        Notification.requestPermission = async () => (Notification.permission = answers.shift());
    """)
    log_in(context, sender)
    page = desks.tab(context, "/settings")
    switch = page.get_by_role("switch", name="Pop-ups in this browser")
    switch.click()
    expect(switch).not_to_be_checked()
    page.get_by_role("link", name="Activity").click()
    page.get_by_role("button", name="Turn on pop-ups").click()
    expect(page.get_by_text("Pop-ups are on.")).to_be_visible()
    sender.hit(sender.register())
    popups(page, 1)
    page.get_by_role("link", name="Settings").click()
    expect(switch).to_be_checked()


def test_popups_that_were_turned_off_are_not_shown(desks: Desks, sender: Sender) -> None:
    page = desks.open(sender, "/settings")
    switch = page.get_by_role("switch", name="Pop-ups in this browser")
    switch.uncheck()
    # Whoever has a pop-up to show tells the other tabs of it, shown or not.
    count_told(page, sender, "shown")
    first, second = sender.register(subject="The quote"), sender.register(subject="The contract")
    sender.hit(first)
    expect(page).to_have_title("(1) Settings · Glimpse")
    wait_until(lambda: page.evaluate("told") == 1, what="the pop-up's turn")
    switch.check()
    sender.hit(second)
    [popup] = popups(page, 1)
    assert "The contract" in popup["body"]
