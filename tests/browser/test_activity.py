"""The live feed: what it says of an open, and that it never moves what is being read."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import PHONE, Desks, log_in, popups, scroll
from tests.browser.people import CURL, IPHONE, LYON, Sender


def test_an_empty_feed_says_what_will_come_and_how_to_try_it(desks: Desks, sender: Sender) -> None:
    page = desks.open(sender)
    expect(page.get_by_role("heading", name="No opens yet")).to_be_visible()
    page.get_by_role("link", name="Add tracking to a mail").click()
    expect(page.get_by_role("heading", name="Add tracking to a mail")).to_be_visible()


def test_an_open_says_who_what_where_on_what_and_how_often(desks: Desks, sender: Sender) -> None:
    named = sender.register(subject="The quote", recipients=[{"address": "a@example.com", "name": "Lena (Sales)"}])
    shared = sender.register("a@example.com", "b@example.com", "c@example.com", subject="The contract")
    page = desks.open(sender)
    sender.hit(named, user_agent=IPHONE, network=LYON)
    row = page.locator(".open").first
    expect(row).to_contain_text("Lena (Sales) opened The quote")
    expect(row.locator(".open-symbol")).to_have_text("LS")
    expect(row).to_contain_text("1 open")
    expect(row).to_contain_text("Lyon, FR")
    expect(row).to_contain_text("iOS")
    expect(row.locator("time")).to_have_text("just now")
    assert "20" in str(row.locator("time").get_attribute("title")), "the exact time is there on hover"

    sender.hit_by_gmail(shared)
    expect(row).to_contain_text("Someone, of 3 opened The contract")
    expect(row).to_contain_text("hidden by Gmail")
    sender.hit(named)
    expect(row).to_contain_text("2 opens")
    expect(page.locator(".open").nth(2)).to_contain_text("2 opens")


def test_the_feed_is_the_same_after_a_reload(desks: Desks, sender: Sender) -> None:
    message = sender.register(subject="The quote")
    for _ in range(3):
        sender.hit(message)
    page = desks.open(sender)
    expect(page.locator(".open")).to_have_count(3)
    expect(page.locator(".open").first).to_contain_text("reader@example.com opened The quote")
    expect(page.get_by_role("heading", name="Today")).to_be_visible()
    expect(page.get_by_text("That is everything.")).to_be_visible()


def test_a_mail_that_could_not_be_read_is_not_called_without_subject_and_read_later(
    desks: Desks, sender: Sender
) -> None:
    message = sender.register("a@example.com", "b@example.com", subject="The contract")
    sender.hit(message)
    context = desks.context(sender.hub)
    log_in(context, sender)
    page = context.new_page()
    pattern = f"**/api/v1/messages/{message['id']}"
    page.route(pattern, lambda route: route.abort())
    page.goto("/activity")
    expect(page.locator(".open")).to_contain_text("Someone opened a mail (its subject could not be loaded)")
    page.unroute(pattern)
    expect(page.locator(".open")).to_contain_text("Someone, of 2 opened The contract")


def test_the_switch_shows_the_machines_with_their_reasons(desks: Desks, sender: Sender) -> None:
    message = sender.register()
    sender.hit(message)
    sender.hit(message, user_agent=CURL)
    sender.hit(message, address="203.0.113.250")
    sender.hit(message, address="203.0.113.250")
    page = desks.open(sender)
    expect(page.locator(".open")).to_have_count(2)
    page.get_by_role("switch", name="Show machines and repeats").check()
    expect(page.locator(".open")).to_have_count(4)
    bot = page.locator(".open", has_text="A bot")
    expect(bot).to_contain_text("not a person")
    expect(bot).to_contain_text("Why: ")
    expect(page.locator(".open", has_text="A repeat")).to_contain_text("Counted once")
    sender.hit(message, user_agent=CURL)
    expect(page.locator(".open")).to_have_count(5)
    page.keyboard.press(".")
    expect(page.locator(".open")).to_have_count(2)


def test_an_open_that_is_taken_back_is_struck_out_with_the_reason(desks: Desks, sender: Sender) -> None:
    message = sender.register(subject="The quote")
    page = desks.open(sender)
    sender.hit(message)
    row = page.locator(".open").first
    expect(row).to_contain_text("opened The quote")
    [popup] = popups(page, 1)
    assert not popup["closed"]
    sender.post(f"/messages/{message['id']}/viewing")
    expect(row.locator("s")).to_contain_text("opened The quote")
    expect(row).to_contain_text("Taken back: it was you")
    [popup] = popups(page, 1)
    assert popup["closed"], "the pop-up is taken back too"


@pytest.mark.parametrize("size", [(1280, 700), PHONE], ids=["desktop", "phone"])
def test_new_opens_do_not_move_what_is_being_read(desks: Desks, sender: Sender, size: tuple[int, int]) -> None:
    message = sender.register()
    for _ in range(30):
        sender.hit(message)
    sender.hit(message, user_agent=CURL)
    looked_at = sender.register()
    page = desks.open(sender, size=size)
    page.get_by_role("switch", name="Show machines and repeats").check()
    expect(page.locator(".open")).to_have_count(31)
    read = page.locator(".open").nth(15)
    read.scroll_into_view_if_needed()
    scroll(page, 200)
    mark = str(read.get_attribute("data-open"))
    reading = page.locator(f"[data-open='{mark}']")
    before = reading.bounding_box()
    sender.hit(message)
    sender.hit(looked_at)
    expect(page.get_by_role("button", name="2 new opens")).to_be_visible()
    sender.post(f"/messages/{looked_at['id']}/viewing")
    sender.hit(message)
    pill = page.get_by_role("button", name="3 new opens")
    expect(pill).to_be_visible()
    assert reading.bounding_box() == before
    page.get_by_role("link", name="Settings").click()
    sender.hit(message)
    expect(page).to_have_title("(3) Settings · Glimpse")
    page.go_back()
    pill = page.get_by_role("button", name="4 new opens")
    expect(pill).to_be_visible()
    expect(page.locator(".open")).to_have_count(31)
    pill.click()
    expect(page.locator(".open")).to_have_count(35)
    expect(page.locator(".open").first).to_be_in_viewport()
    expect(pill).to_be_hidden()


def test_older_opens_come_as_one_scrolls(desks: Desks, sender: Sender) -> None:
    message = sender.register()
    for _ in range(90):
        sender.hit(message)
    page = desks.open(sender)
    shown = 0
    while shown < 90:
        expect(page.locator(".open")).not_to_have_count(shown)
        shown = page.locator(".open").count()
        page.locator(".open").last.scroll_into_view_if_needed()
    expect(page.get_by_text("That is everything.")).to_be_visible()
    assert len({row.get_attribute("data-open") for row in page.locator(".open").all()}) == 90


def test_markup_in_what_others_wrote_stays_text(desks: Desks, sender: Sender) -> None:
    subject = "<img src=x onerror=document.title='taken'><b>bold</b>"
    message = sender.register(subject=subject, recipients=[{"address": "a@example.com", "name": "<script>1</script>"}])
    page = desks.open(sender)
    sender.hit(message)
    expect(page.locator(".open").first).to_contain_text(f"<script>1</script> opened {subject}")
    page.goto(f"/messages/{message['id']}")
    expect(page.locator(".history-title")).to_have_text(subject)
    assert page.locator("main b, dialog b, main script, dialog script").count() == 0
