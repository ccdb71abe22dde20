"""The list of messages: search, filters, live counts, and any number of rows."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import AN_HOUR_MS, CLOCK_OFF, COUNT_REQUESTS, Desks, answer_no_more, live, log_in, scroll
from tests.browser.people import Sender
from tests.browser.test_readings import an_event
from tests.browser.test_sessions import logged_in
from tests.processes import wait_until

MANY = 10_000
ROWS_IN_DOCUMENT = 60


def subjects(page: Page) -> Locator:
    return page.locator(".message-subject")


def test_messages_are_found_by_subject_recipient_opens_and_template(desks: Desks, sender: Sender) -> None:
    opened = sender.register("office@example.com", subject="Spring offer", template="Offer")
    sender.register("office@example.net", subject="Autumn offer", template="Offer")
    sender.register("other@example.com", subject="Thank you", template="Thanks")
    sender.hit(opened)
    page = desks.open(sender, "/messages")
    expect(page.locator(".message")).to_have_count(3)

    page.get_by_label("Search messages").fill("offer")
    expect(page.locator(".message")).to_have_count(2)
    page.get_by_role("radio", name="Not opened").check()
    expect(page.locator(".message")).to_have_count(1)
    expect(subjects(page)).to_have_text(["Autumn offer"])
    assert "q=offer" in page.url
    assert "opened=false" in page.url
    page.reload()
    expect(page.locator(".message")).to_have_count(1)
    expect(page.get_by_label("Search messages")).to_have_value("offer")

    page.get_by_label("Search messages").fill("nothing like it")
    expect(page.get_by_role("heading", name="Nothing fits")).to_be_visible()
    page.get_by_role("button", name="Clear the search").click()
    expect(page.locator(".message")).to_have_count(3)

    page.get_by_label("Template").fill("Thanks")
    expect(page.locator(".message")).to_have_count(1)
    page.get_by_label("Template").fill("")
    page.get_by_label("Search messages").fill("example.net")
    expect(page.locator(".message")).to_have_count(1)
    expect(subjects(page)).to_have_text(["Autumn offer"])


def test_no_more_can_be_searched_for_than_the_hub_takes(desks: Desks, sender: Sender) -> None:
    page = desks.open(sender, "/messages")
    for label in ("Search messages", "Template"):
        field = page.get_by_label(label)
        field.focus()
        page.keyboard.insert_text("x" * 201)
        expect(field).to_have_value("x" * 200)
        expect(page.get_by_role("heading", name="Nothing fits")).to_be_visible()
        page.get_by_role("button", name="Clear the search").click()


def test_counts_and_new_messages_are_live(desks: Desks, sender: Sender) -> None:
    message = sender.register(subject="First")
    page = desks.open(sender, "/messages")
    row = page.locator(f"[data-message='{message['id']}']")
    expect(row).to_contain_text("Not opened")
    sender.hit(message)
    expect(row).to_contain_text("1 open")
    expect(row.get_by_role("img", name="Opens over time: 1 open")).to_be_visible()
    second = sender.register(subject="Second")
    expect(page.locator(".message")).to_have_count(2)
    expect(subjects(page)).to_have_text(["Second", "First"])
    sender.patch(f"/messages/{second['id']}", muted=True)
    expect(page.locator(f"[data-message='{second['id']}']")).to_contain_text("Muted")
    sender.post(f"/messages/{message['id']}/viewing")
    expect(row).to_contain_text("Not opened")


def test_a_filtered_list_follows_what_happens(desks: Desks, sender: Sender) -> None:
    first, second = sender.register(subject="First"), sender.register(subject="Second")
    page = desks.open(sender, "/messages?opened=true")
    other = desks.tab(page.context, "/messages?opened=false")
    expect(page.get_by_role("heading", name="Nothing fits")).to_be_visible()
    expect(subjects(other)).to_have_text(["Second", "First"])
    other.locator(".message", has_text="Second").focus()
    sender.hit(second)
    expect(subjects(page)).to_have_text(["Second"])
    expect(subjects(other)).to_have_text(["First"])
    expect(other.locator(".message", has_text="First")).to_be_focused()
    sender.register(subject="Third")
    expect(subjects(other)).to_have_text(["Third", "First"])
    expect(other.locator(".message", has_text="First")).to_be_focused()
    sender.hit(first)
    expect(subjects(page)).to_have_text(["Second", "First"])
    sender.post(f"/messages/{second['id']}/viewing")
    expect(subjects(page)).to_have_text(["First"])
    expect(subjects(other)).to_have_text(["Third", "Second"])


FILTER_AS_THE_ROW_CHANGES = """() => new MutationObserver((_, observer) => {
    observer.disconnect();
    document.querySelector("[name=opened][value=true]").click();
}).observe(document.querySelector(".message"), { childList: true })"""


def test_a_filtered_list_that_could_not_be_read_is_live_once_it_is_there(desks: Desks, sender: Sender) -> None:
    message = sender.register(subject="The quote")
    context = desks.context(sender.hub)
    context.clock.install()
    log_in(context, sender)
    page = desks.tab(context, "/messages?q=quote")
    row = page.locator(".message")
    expect(row).to_have_count(1)
    page.route("**/api/v1/messages?*opened=true*", lambda route: route.fulfill(status=503, json={}), times=1)
    page.evaluate(FILTER_AS_THE_ROW_CHANGES)
    with page.expect_response("**/api/v1/messages?*opened=true*"):
        sender.hit(message)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    # Longer than a filtered list waits before it follows an event.
    page.clock.fast_forward(5_000)
    page.evaluate("() => fetch('/healthz')")
    assert not [url for url in asked if "opened=true" in url], "only reading the whole list can make up for the failure"
    page.get_by_role("button", name="Try again").click()
    expect(row).to_contain_text("1 open")
    sender.hit(message)
    expect(row).to_contain_text("2 opens")


def test_a_message_that_cannot_be_opened_says_so(desks: Desks, sender: Sender) -> None:
    sender.register(subject="Plain", format="plain")
    sender.register(subject="Draft", sent_at=None)
    page = desks.open(sender, "/messages")
    expect(page.locator(".message", has_text="Plain")).to_contain_text("Not tracked")
    expect(page.locator(".message", has_text="Plain")).to_contain_text("Opens unknown")
    expect(page.locator(".message", has_text="Draft")).to_contain_text("Not sent yet")


def test_what_a_message_is_instead_of_sent_is_on_one_line(desks: Desks, sender: Sender) -> None:
    sender.register(subject="Plain", format="plain")
    sender.register(subject="Draft", sent_at=None)
    page = desks.open(sender, "/messages")
    tags = page.locator(".message > .tag")
    expect(tags).to_have_count(2)
    assert max(tags.evaluate_all("(tags) => tags.map(({ clientHeight }) => clientHeight)")) < 24


def test_a_mail_that_is_to_be_sent_is_not_called_sent(desks: Desks, sender: Sender) -> None:
    sender.register(subject="Scheduled", sent_at="2999-03-01T09:00:00Z")
    page = desks.open(sender, "/messages")
    row = page.locator(".message", has_text="Scheduled")
    expect(row.locator(".tag")).to_have_text("Not sent yet")
    expect(row.locator(".tag")).to_have_attribute("title", "To be sent 1 Mar 2999, 10:00")
    row.click()
    dialog = page.get_by_role("dialog")
    expect(dialog.locator(".history-sub")).to_contain_text("To be sent 1 Mar 2999, 10:00")
    expect(dialog.get_by_text("This mail is to be sent 1 Mar 2999, 10:00.")).to_be_visible()


def test_a_mail_is_called_sent_once_its_time_has_come(desks: Desks, sender: Sender) -> None:
    due = datetime.now(UTC) + timedelta(minutes=30)
    message = sender.register(subject="Scheduled", sent_at=due.isoformat(timespec="milliseconds"))
    context = desks.context(sender.hub)
    context.clock.install()
    context.add_init_script(COUNT_REQUESTS)
    log_in(context, sender)
    listed = desks.tab(context, "/messages")
    expect(listed.locator(".message .tag")).to_have_text("Not sent yet")
    whole = desks.tab(context, f"/messages/{message['id']}")
    history = whole.get_by_role("dialog")
    note = history.get_by_text("This mail is to be sent")
    expect(note).to_be_visible()
    answer_no_more(listed)
    answer_no_more(whole)
    context.clock.fast_forward("00:35:05")
    expect(listed.locator(".message-sent")).to_have_text("5 min ago")
    expect(history.locator(".history-sub")).to_contain_text("Sent ")
    expect(note).to_be_hidden()


@pytest.mark.parametrize("off", [-AN_HOUR_MS, AN_HOUR_MS], ids=["behind", "ahead"])
def test_just_now_is_said_even_by_a_computer_whose_clock_is_wrong(desks: Desks, sender: Sender, off: int) -> None:
    message = sender.register(sent_at=datetime.now(UTC).isoformat(timespec="milliseconds"))
    sender.hit(sender.register())
    context = desks.context(sender.hub)
    context.add_init_script(CLOCK_OFF % off)
    log_in(context, sender)
    page = desks.tab(context, "/messages")
    expect(page.locator(".message-sent").last).to_have_text("just now")
    expect(page.locator(".message-last")).to_have_text("just now")
    page.goto(f"/messages/{message['id']}")
    expect(page.locator(".history-sub")).to_contain_text("Sent ")
    expect(page.get_by_role("dialog").get_by_text("This mail is to be sent")).to_have_count(0)


@pytest.mark.parametrize("off", [-AN_HOUR_MS, AN_HOUR_MS], ids=["back", "forward"])
def test_just_now_is_said_even_after_the_computers_clock_was_set(desks: Desks, sender: Sender, off: int) -> None:
    context = desks.context(sender.hub)
    context.add_init_script(CLOCK_OFF % "(globalThis.off ?? 0)")
    log_in(context, sender)
    page = desks.tab(context)
    with page.expect_response("**/api/v1/me"):
        page.evaluate(f"() => void (globalThis.off = {off})")
    sender.hit(sender.register())
    expect(page.locator(".open-when")).to_have_text("just now")


def test_an_empty_list_says_what_to_do(desks: Desks, sender: Sender) -> None:
    page = desks.open(sender, "/messages")
    expect(page.get_by_role("heading", name="No messages yet")).to_be_visible()


def test_ten_thousand_messages_scroll_without_filling_the_document(desks: Desks, sender: Sender) -> None:
    sender.hub.copy_message(sender.register()["id"], MANY - 1)
    page = desks.open(sender, "/messages")
    expect(page.locator(".message").first).to_be_visible()
    # In the page itself: a question from here for each step would take most of the time.
    down = """(many) => new Promise((done) => {
        const end = performance.now() + 120_000;
        let most = 0;
        const step = () => {
            const rows = [...document.querySelectorAll(".virtual-row")];
            const reached = Number(rows.at(-1)?.dataset.index ?? -1) + 1;
            most = Math.max(most, rows.length);
            if (reached >= many || performance.now() > end) return done([reached, most]);
            scrollTo(0, document.documentElement.scrollHeight);
            requestAnimationFrame(step);
        };
        step();
    })"""
    reached, most = page.evaluate(down, MANY)
    assert reached == MANY
    assert most < ROWS_IN_DOCUMENT
    assert page.locator(".virtual-row").last.get_attribute("aria-setsize") == str(MANY)
    page.evaluate("() => scrollTo(0, document.documentElement.scrollHeight / 2)")
    wait_until(lambda: abs(int(page.locator(".virtual-row").first.get_attribute("data-index") or 0) - MANY / 2) < 100)
    redraw = """() => new Promise((done) => {
        const start = performance.now();
        scrollBy(0, 4000);
        requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - start)));
    })"""
    # A busy machine may be slow once; a list that is slow by itself is slow each time.
    assert any(page.evaluate(redraw) < 250 for _ in range(5)), "a jump of a whole screen is drawn within a few frames"


def test_a_reader_further_down_keeps_their_place_when_a_message_arrives(desks: Desks, sender: Sender) -> None:
    for number in range(40):
        sender.register(subject=f"Number {number}")
    page = desks.open(sender, "/messages")
    expect(page.locator(".message").first).to_be_visible()
    page.mouse.move(640, 500)
    scroll(page, 1_000)
    row = page.locator(".message", has_text="Number 20").first
    before = row.bounding_box()
    sender.register(subject="New")
    wait_until(lambda: page.locator(".virtual-row").last.get_attribute("aria-setsize") == "41")
    assert row.bounding_box() == before


def test_mails_that_are_heard_of_late_stand_in_their_places(desks: Desks, sender: Sender) -> None:
    page, line = logged_in(desks, sender)
    line.cut()
    page.locator(".connection[data-state=waiting]").wait_for(state="attached")
    sender.register_many(60)
    sender.register(subject="The very last")
    page.get_by_role("link", name="Messages").click()
    expect(page.locator(".message").first).to_contain_text("The very last")
    line.mend()
    live(page)
    # The next message comes the same way: once it is shown, the page has heard of all the others.
    sender.register(subject="Later still")
    expect(page.locator(".message").first).to_contain_text("Later still")
    shown = page.locator(".message-subject").all_inner_texts()[:10]
    assert shown == [message["subject"] for message in sender.get("/messages", limit=10)["items"]]


def test_a_mail_is_shown_muted_while_no_event_can_say_so(desks: Desks, sender: Sender) -> None:
    sender.register()
    page, line = logged_in(desks, sender, "/messages")
    line.cut()
    page.locator(".message").focus()
    page.keyboard.press("m")
    expect(page.locator(".toast")).to_contain_text("Muted.")
    expect(page.locator(".message")).to_contain_text("Muted")


def test_a_filtered_list_is_read_anew_in_one_piece(desks: Desks, sender: Sender) -> None:
    sender.register_many(120)
    page = desks.open(sender, "/messages?opened=false")
    last = page.locator(".virtual-row").last
    wait_until(lambda: shows_all(page, last))
    with page.expect_response(lambda answer: "/api/v1/messages?" in answer.url) as read:
        sender.register(subject="New")
    assert len(read.value.json()["items"]) >= 120


def test_a_long_filtered_list_is_read_anew_with_few_requests_and_seldom(desks: Desks, sender: Sender) -> None:
    sender.register_many(1_200)
    context = desks.context(sender.hub)
    context.clock.install()
    log_in(context, sender)
    page = context.new_page()
    with page.expect_websocket() as socket:
        page.goto("/messages?opened=false")
    last = page.locator(".virtual-row").last
    wait_until(lambda: shows_all(page, last, 1_200), 30)
    page.evaluate("() => scrollTo(0, 0)")
    context.clock.pause_at(page.evaluate("Date.now() / 1_000 + 3"))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/api/v1/messages?" in request.url else None)
    with an_event(socket.value):
        sender.register(subject="New")
    context.clock.run_for(900)
    page.evaluate("true")
    assert asked == []
    context.clock.run_for(200)
    wait_until(lambda: page.evaluate("true") and len(asked) >= 2, what="two requests")
    context.clock.run_for(10_000)
    assert [re.findall("limit=([0-9]+)", url) for url in asked] == [["1000"], ["200"]]


def shows_all(page: Page, row: Locator, count: int = 120) -> bool:
    page.evaluate("() => scrollTo(0, document.documentElement.scrollHeight)")
    return row.get_attribute("aria-setsize") == str(count)
