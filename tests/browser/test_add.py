"""Adding tracking by hand: a new user sees the whole thing work in a minute, with no plugin."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from hub.api.messages import MOST_SUBJECT
from tests.browser.conftest import AN_HOUR_MS, CLOCK_OFF, Desks, log_in
from tests.browser.people import CURL, LONG_AGO, LYON, THUNDERBIRD, Sender, assert_just_sent

SOURCE = re.compile(r'src="([^"]+)"')


def make_snippet(page: Page, subject: str) -> str:
    """The snippet of a new mail to me@example.com, made as a sender does."""
    page.get_by_label("Subject").fill(subject)
    page.get_by_role("textbox", name="To", exact=True).fill("me@example.com")
    page.get_by_role("button", name="Make the snippet").click()
    return page.get_by_label("Snippet for me@example.com").input_value()


def test_adding_leads_from_a_subject_to_the_first_open(desks: Desks, sender: Sender) -> None:
    page = desks.open(sender, "/try")
    snippet = make_snippet(page, "My first tracked mail")
    page.get_by_role("button", name="Copy HTML").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("() => navigator.clipboard.readText()") == snippet
    found = SOURCE.search(snippet)
    assert found is not None
    reader = {"user-agent": THUNDERBIRD, "x-forwarded-for": "203.0.113.9"}

    httpx.get(found[1], headers=reader, verify=False).raise_for_status()
    expect(page.get_by_text("it counts as your own view")).to_be_visible()
    page.get_by_role("button", name="I have sent it").click()
    expect(page.get_by_text("Sent. From now on an open is an open.")).to_be_visible()
    httpx.get(found[1], headers=reader | {"user-agent": CURL}, verify=False).raise_for_status()
    expect(page.get_by_text("A machine asked for the image.")).to_be_visible()
    httpx.get(found[1], headers=reader, verify=False).raise_for_status()
    expect(page.get_by_text("Opened!")).to_be_visible()
    expect(page.get_by_text("me@example.com · Boston, US")).to_be_visible()
    # In a live region, a time that changes by itself would be read aloud each time.
    expect(page.locator("[role=status] time[data-ago]")).to_have_attribute("aria-live", "off")
    page.get_by_role("link", name="Open its history").click()
    expect(page.get_by_role("dialog", name="My first tracked mail")).to_be_visible()


def send_mail(page: Page, sender: Sender) -> dict[str, Any]:
    """Send a mail, whose first open the page waits for."""
    make_snippet(page, "My mail")
    page.get_by_role("button", name="I have sent it").click()
    expect(page.get_by_text("Sent. From now on")).to_be_visible()
    [message] = sender.get("/messages")["items"]
    whole: dict[str, Any] = sender.get(f"/messages/{message['id']}")
    return whole


def test_a_mail_whose_answer_was_lost_is_added_once(desks: Desks, sender: Sender) -> None:
    page = desks.open(sender, "/try")
    page.route("**/api/v1/messages", lambda route: (route.fetch(), route.abort()), times=1)
    page.get_by_label("Subject").fill("My mail")
    page.get_by_role("textbox", name="To", exact=True).fill("me@example.com")
    page.get_by_role("button", name="Make the snippet").click()
    expect(page.locator(".toast")).to_contain_text("cannot be reached")
    first = make_snippet(page, "My mail")
    [message] = sender.get("/messages")["items"]
    assert message["pixels"][0]["html"] == first
    page.get_by_role("button", name="I have sent it").click()
    sender.hit(sender.get(f"/messages/{message['id']}"))
    page.get_by_role("button", name="Add tracking to another mail").click()
    assert make_snippet(page, "My mail") != first, "the same mail again, but on purpose"
    assert len(sender.get("/messages")["items"]) == 2


def test_an_open_that_is_taken_back_is_waited_for_again(desks: Desks, sender: Sender) -> None:
    page = desks.open(sender, "/try")
    message = send_mail(page, sender)
    sender.hit(message)
    expect(page.get_by_text("Opened!")).to_be_visible()
    expect(page.locator(".step.is-done")).to_have_count(4)
    page.get_by_role("link", name="Open its history").focus()
    sender.patch(f"/messages/{message['id']}", sent_at="2999-03-01T09:00:00Z")
    expect(page.get_by_text("Taken back: it was you")).to_be_focused()
    expect(page.get_by_text("Waiting for the first open…")).to_be_visible()
    expect(page.get_by_text("Opened!")).to_have_count(0)
    expect(page.locator(".step.is-done")).to_have_count(3)
    sender.patch(f"/messages/{message['id']}", sent_at=LONG_AGO)
    sender.hit(message, network=LYON)
    expect(page.get_by_text("me@example.com · Lyon, FR")).to_be_visible()
    expect(page.locator(".step.is-done")).to_have_count(4)


def test_the_next_open_is_shown_where_the_first_is_taken_back(desks: Desks, sender: Sender) -> None:
    page = desks.open(sender, "/try")
    message = send_mail(page, sender)
    sender.hit(message)
    expect(page.get_by_text("me@example.com · Boston, US")).to_be_visible()
    sender.hit(message, network=LYON)
    second, _ = sender.get("/opens")["items"]
    sender.patch(f"/messages/{message['id']}", sent_at=second["at"])
    expect(page.get_by_text("me@example.com · Lyon, FR")).to_be_visible()
    expect(page.get_by_text("Opened!")).to_be_visible()


def test_a_draft_is_finished_from_its_history(desks: Desks, sender: Sender) -> None:
    page = desks.open(sender, "/try")
    snippet = make_snippet(page, "My draft")
    elsewhere = desks.tab(page.context, "/messages")
    elsewhere.get_by_role("link", name="My draft").click()
    dialog = elsewhere.get_by_role("dialog", name="My draft")
    expect(dialog.get_by_label("Snippet for me@example.com")).to_have_value(snippet)
    sender.hit(sender.get("/messages")["items"][0])
    dialog.get_by_role("switch", name="Show machines and repeats").check()
    expect(dialog.locator(".open")).to_contain_text("Your own view")
    dialog.get_by_role("button", name="Copy HTML").click()
    expect(dialog.get_by_role("button", name="Copied")).to_be_visible()
    assert elsewhere.evaluate("() => navigator.clipboard.readText()") == snippet

    dialog.get_by_role("button", name="I have sent it").press("Enter")
    expect(dialog.locator(".history-sub")).to_contain_text("Sent")
    expect(dialog.get_by_text("This mail is not sent yet")).to_have_count(0)
    expect(dialog.get_by_role("button", name="I have sent it")).to_have_count(0)
    expect(dialog.get_by_role("region")).to_be_focused()
    assert sender.get("/messages")["items"][0]["sent_at"]
    expect(page.get_by_text("Sent. From now on an open is an open.")).to_be_visible()


@pytest.mark.parametrize("off", [-AN_HOUR_MS, AN_HOUR_MS], ids=["behind", "ahead"])
def test_a_mail_is_sent_by_the_clock_of_the_hub(desks: Desks, sender: Sender, off: int) -> None:
    context = desks.context(sender.hub)
    context.add_init_script(CLOCK_OFF % off)
    log_in(context, sender)
    page = desks.tab(context, "/try")
    make_snippet(page, "Sent at once")
    page.get_by_role("button", name="I have sent it").click()
    expect(page.get_by_text("Sent. From now on an open is an open.")).to_be_visible()
    draft = sender.register(subject="Sent later", sent_at=None)
    page.goto(f"/messages/{draft['id']}")
    dialog = page.get_by_role("dialog", name="Sent later")
    dialog.get_by_role("button", name="I have sent it").click()
    expect(dialog.get_by_text("This mail is not sent yet")).to_have_count(0)
    for message in sender.get("/messages")["items"]:
        assert_just_sent(message)


def test_the_reader_can_be_played_without_a_mail_program(desks: Desks, sender: Sender) -> None:
    page = desks.open(
        sender, "/try", user_agent="Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
    )
    page.get_by_label("Subject").fill("Mail")
    page.get_by_role("textbox", name="To", exact=True).fill("me@example.com")
    page.get_by_role("button", name="Make the snippet").click()
    page.get_by_role("button", name="I have sent it").click()
    with page.context.expect_page():
        page.get_by_role("link", name="No mail at hand?").click()
    expect(page.get_by_text("Opened!")).to_be_visible()


def test_addresses_are_checked_where_they_are_typed(desks: Desks, sender: Sender) -> None:
    page = desks.open(sender, "/try")
    page.get_by_label("Subject").fill("Mail")
    page.get_by_role("textbox", name="To", exact=True).fill("one@example.com, nobody")
    page.get_by_role("button", name="Make the snippet").click()
    expect(page.get_by_role("alert")).to_have_text("“nobody” is not an email address.")
    page.get_by_role("textbox", name="To", exact=True).fill("one@example.com, two@example.com")
    page.get_by_role("button", name="Make the snippet").click()
    expect(page.get_by_label("Snippet", exact=True)).to_be_visible()


TAKEN = {
    "Lena Müller <lena@x.com>": [("lena@x.com", "Lena Müller")],
    "<lena@x.com>": [("lena@x.com", None)],
    '"Müller, Lena" <lena@x.com>; bo@x.com': [("lena@x.com", "Müller, Lena"), ("bo@x.com", None)],
    "a@x.com\nb@x.com, a@x.com c@x.com;": [("a@x.com", None), ("b@x.com", None), ("c@x.com", None)],
}
REFUSED = {
    "Lena Müller": "“Lena Müller”",
    "Lena <nobody>": "“nobody”",
    "Lena <>": "“”",
    "a@x.com, Lena b@x.com": "“Lena b@x.com”",
    "Lena <a@x.com> Bo <b@x.com>": "“Lena <a@x.com> Bo <b@x.com>”",
    "<a@x.com> <b@x.com>": "“<a@x.com>”",
}


def test_recipients_are_taken_as_mail_programs_write_them(desks: Desks, sender: Sender) -> None:
    page = desks.open(sender, "/try")
    to, make = page.get_by_role("textbox", name="To", exact=True), page.get_by_role("button", name="Make the snippet")
    page.get_by_label("Subject").fill("Mail")
    for text, named in REFUSED.items():
        to.fill(text)
        make.click()
        expect(to).to_have_accessible_description(f"{named} is not an email address.")
    for text, recipients in TAKEN.items():
        page.goto("/try")
        page.get_by_label("Subject").fill("Mail")
        to.fill(text)
        make.click()
        expect(page.get_by_role("button", name="I have sent it")).to_be_visible()
        made = sender.get("/messages")["items"][0]["recipients"]
        assert [(recipient["address"], recipient["name"]) for recipient in made] == recipients


def test_a_subject_may_be_as_long_as_the_hub_takes(desks: Desks, sender: Sender) -> None:
    page = desks.open(sender, "/try")
    expect(page.get_by_label("Subject")).to_have_attribute("maxlength", str(MOST_SUBJECT))


def test_what_to_write_is_shown_whole_on_the_narrowest_screen(desks: Desks, sender: Sender) -> None:
    page = desks.open(sender, "/try", size=(320, 640))
    hidden = "(field) => { field.value = field.placeholder; return field.scrollHeight - field.clientHeight; }"
    assert page.get_by_role("textbox", name="To", exact=True).evaluate(hidden) <= 0


def test_a_field_that_the_hub_refuses_says_so_beside_it(desks: Desks, sender: Sender) -> None:
    page = desks.open(sender, "/try")
    to = page.get_by_role("textbox", name="To", exact=True)
    page.get_by_label("Subject").fill("Mail")
    to.fill(",".join(f"p{number}@x.com" for number in range(501)))
    page.get_by_role("button", name="Make the snippet").click()
    expect(to).to_have_accessible_description(re.compile("A mail has up to 500 recipients"))
    expect(to).to_be_focused()
