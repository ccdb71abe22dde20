"""Open History: one message in full, with an address of its own and the speaker."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import PHONE, Desks, popups
from tests.browser.people import CURL, LYON, Sender


def figure(page: Page, name: str) -> str:
    return page.locator(".figures > div", has_text=name).locator("dd").inner_text()


def height(element: Locator) -> float:
    box = element.bounding_box()
    assert box is not None
    return box["height"]


def test_a_history_tells_everything_that_is_known(desks: Desks, sender: Sender) -> None:
    message = sender.register(
        "one@example.com",
        "two@example.com",
        subject="The contract",
        pixels="per_recipient",
        crm={"system": "crm", "record_id": "7", "url": "HTTPS://crm.example.com/7"},
    )
    sender.hit(message, 0)
    sender.hit(message, 0, network=LYON)
    sender.hit_by_gmail(message, 1)
    sender.hit(message, 1, user_agent=CURL)
    page = desks.open(sender, f"/messages/{message['id']}")
    dialog = page.get_by_role("dialog", name="The contract")
    expect(dialog).to_be_visible()
    expect(dialog.locator(".open")).to_have_count(3)
    assert figure(page, "Opens") == "3"
    assert figure(page, "First opened") == "just now"
    expect(dialog.locator(".reader", has_text="one@example.com")).to_contain_text("2 opens")
    expect(dialog.locator(".reader", has_text="two@example.com")).to_contain_text("1 open")
    for place in ("United States", "France", "hidden by Gmail"):
        expect(dialog.locator(".bar", has_text=place)).to_contain_text("1")
    expect(dialog.get_by_role("img", name="3 opens between")).to_be_visible()
    expect(dialog.get_by_role("link", name="Open the record")).to_have_attribute("href", "HTTPS://crm.example.com/7")
    dialog.get_by_role("switch", name="Show machines and repeats").check()
    expect(dialog.locator(".open")).to_have_count(4)
    expect(dialog.locator(".open", has_text="A bot")).to_contain_text("Why: ")


def test_a_history_is_live(desks: Desks, sender: Sender) -> None:
    message = sender.register()
    page = desks.open(sender, f"/messages/{message['id']}")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Nobody has opened it yet")
    sender.hit(message)
    expect(dialog.locator(".open")).to_have_count(1)
    expect(dialog.locator(".figures dd").first).to_have_text("1")
    sender.post(f"/messages/{message['id']}/viewing")
    expect(dialog.locator(".open")).to_contain_text("Taken back: it was you")
    expect(dialog.locator(".figures dd").first).to_have_text("0")


def test_shared_untracked_unsent_and_unknown_messages_are_explained(desks: Desks, sender: Sender) -> None:
    shared = sender.register("a@example.com", "b@example.com")
    plain = sender.register(format="plain")
    draft = sender.register(sent_at=None)
    page = desks.open(sender, f"/messages/{shared['id']}")
    expect(page.get_by_text("The recipients share one copy")).to_be_visible()
    for message, text in ((plain, "Plain text cannot carry an image"), (draft, "This mail is not sent yet")):
        page.goto(f"/messages/{message['id']}")
        expect(page.get_by_role("dialog")).to_contain_text(text)
    page.goto("/messages/no-such-thing")
    expect(page.get_by_role("dialog")).to_contain_text("No such message")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()


def test_a_mail_that_carries_no_image_promises_no_notification(desks: Desks, sender: Sender) -> None:
    plain, tracked = sender.register(format="plain"), sender.register(subject="The contract")
    page = desks.open(sender, f"/messages/{plain['id']}")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Plain text cannot carry an image")
    expect(dialog.locator(".speaker-bar, .history-foot:visible")).to_have_count(0)
    page.keyboard.press("m")
    page.keyboard.press("Escape")
    page.get_by_role("link", name=plain["subject"]).focus()
    page.keyboard.press("m")
    page.get_by_role("link", name="The contract").click()
    expect(dialog.get_by_role("button", name="Mute this mail")).to_be_visible()
    assert sender.get(f"/messages/{plain['id']}")["muted"] is False
    assert sender.get(f"/messages/{tracked['id']}")["muted"] is False


def test_a_history_has_its_own_address_and_back_leads_out(desks: Desks, sender: Sender) -> None:
    message = sender.register(subject="The quote")
    sender.hit(message)
    page = desks.open(sender)
    page.get_by_role("link", name="The quote").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    expect(page).to_have_url(re.compile(f"/messages/{message['id']}$"))
    page.go_back()
    expect(dialog).to_be_hidden()
    expect(page).to_have_url(re.compile("/activity$"))
    page.go_forward()
    expect(dialog).to_be_visible()
    page.get_by_role("button", name="Close the history").click()
    expect(dialog).to_be_hidden()
    expect(page).to_have_url(re.compile("/activity$"))
    page.goto(f"/messages/{message['id']}")
    page.get_by_role("button", name="Close the history").click()
    expect(page.locator(".message")).to_have_count(1)
    expect(page).to_have_url(re.compile("/messages$"))


BACK_AND_FORTH = """async () => {
    const moved = () => new Promise((resolve) => addEventListener("popstate", resolve, { once: true }));
    for (const move of ["back", "forward"]) {
        const done = moved();
        history[move]();
        await done;
    }
    // A frame later the browser says that the first was closed.
    await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
}"""


def test_a_history_that_is_left_and_entered_at_once_is_there(desks: Desks, sender: Sender) -> None:
    message = sender.register(subject="The quote")
    sender.hit(message)
    page = desks.open(sender)
    page.get_by_role("link", name="The quote").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.locator(".open")).to_have_count(1)
    page.evaluate(BACK_AND_FORTH)
    expect(page).to_have_url(re.compile(f"/messages/{message['id']}$"))
    expect(dialog.locator(".open")).to_have_count(1)


@pytest.mark.parametrize("size", [PHONE, (320, 256)], ids=["phone", "enlarged-fourfold"])
def test_a_long_subject_leaves_room_for_the_opens_and_the_speaker(
    desks: Desks, sender: Sender, size: tuple[int, int]
) -> None:
    subject = "Proposal for the renewal of your contract " * 11 + "x" * 38
    message = sender.register("a" * 200 + "@example.com", subject=subject)
    sender.hit(message)
    page = desks.open(sender, f"/messages/{message['id']}", size=size)
    dialog = page.get_by_role("dialog")
    expect(dialog.locator(".open")).to_have_count(1)
    expect(dialog.get_by_role("heading", level=2)).to_have_attribute("title", subject)
    expect(dialog.get_by_role("button", name="Mute this mail")).to_be_in_viewport(ratio=1)
    assert height(dialog.locator(".history-content")) > size[1] / 4
    page.goto("/activity")
    assert height(page.locator(".open")) < 200


def test_the_speaker_is_in_the_lower_right_corner_and_says_what_it_did(desks: Desks, sender: Sender) -> None:
    message = sender.register()
    page = desks.open(sender, f"/messages/{message['id']}")
    dialog = page.get_by_role("dialog")
    mute = dialog.get_by_role("button", name="Mute this mail")
    expect(dialog.get_by_text("Speaking: you are told when it is opened.")).to_be_visible()
    frame, button = dialog.bounding_box(), mute.bounding_box()
    assert frame is not None
    assert button is not None
    assert frame["x"] + frame["width"] - button["x"] - button["width"] < 40
    assert frame["y"] + frame["height"] - button["y"] - button["height"] < 40
    mute.click()
    expect(
        dialog.get_by_text("Muted. Opens of this mail are still recorded, but you will not be told.")
    ).to_be_visible()
    assert sender.get(f"/messages/{message['id']}")["muted"] is True
    page.keyboard.press("m")
    expect(dialog.get_by_text("Unmuted. You will be told when this mail is opened.")).to_be_visible()
    sender.hit(message)
    assert len(popups(page, 1)) == 1


def test_the_speaker_promises_nothing_while_real_time_is_off(desks: Desks, sender: Sender) -> None:
    message = sender.register()
    page = desks.open(sender, f"/messages/{message['id']}")
    said = page.get_by_role("dialog").locator(".speaker-status")
    expect(said).to_have_text("Speaking: you are told when it is opened.")
    sender.patch("/settings", realtime_notifications=False)
    expect(said).to_have_text("Real-time notifications are off, so nothing is told.")
    page.get_by_role("button", name="Mute this mail").click()
    expect(said).to_have_text("Muted. Opens of this mail are still recorded, but you will not be told.")
    page.get_by_role("button", name="Unmute this mail").click()
    expect(said).to_have_text("Unmuted, but real-time notifications are off, so you are not told.")
    sender.patch("/settings", realtime_notifications=True)
    expect(said).to_have_text("Speaking: you are told when it is opened.")


def test_the_speaker_keeps_the_focus_while_the_opens_are_read_anew(desks: Desks, sender: Sender) -> None:
    message = sender.register()
    sender.hit(message, user_agent=CURL)
    page = desks.open(sender, f"/messages/{message['id']}")
    speaker = page.get_by_role("button", name="Mute this mail")
    speaker.focus()
    page.keyboard.press(".")
    expect(page.get_by_role("dialog").locator(".open")).to_have_count(1)
    expect(speaker).to_be_focused()


def test_every_recipient_can_be_seen_and_the_latest_to_open_it_first(desks: Desks, sender: Sender) -> None:
    addresses = [f"person{number}@example.com" for number in range(60)]
    message = sender.register(*addresses, pixels="per_recipient")
    for number in (3, 55):
        sender.hit(message, number)
    page = desks.open(sender, f"/messages/{message['id']}")
    dialog = page.get_by_role("dialog")
    readers = dialog.locator(".reader")
    expect(readers).to_have_count(50)
    expect(readers.nth(0)).to_contain_text("person55@example.com")
    expect(readers.nth(1)).to_contain_text("person3@example.com")
    expect(readers.nth(2)).to_contain_text("person0@example.com")
    dialog.get_by_role("button", name="and 10 more").press("Enter")
    expect(readers).to_have_count(60)
    expect(dialog.get_by_role("list", name="Recipients")).to_be_focused()
    sender.hit(message, 59)
    expect(readers.nth(0)).to_contain_text("person59@example.com")
    expect(readers).to_have_count(60)
    expect(dialog.get_by_role("list", name="Recipients")).to_be_focused()


def test_a_subject_or_a_name_of_blanks_counts_as_none(desks: Desks, sender: Sender) -> None:
    message = sender.register(subject="   ", recipients=[{"address": "lena@example.com", "name": " "}])
    sender.hit(message)
    page = desks.open(sender)
    row = page.locator(".feed .open")
    expect(row).to_contain_text("lena@example.com opened (no subject)")
    expect(row.locator(".open-symbol")).to_have_text("L")
    page.get_by_role("link", name="Messages").click()
    expect(page.locator(".message-subject")).to_have_text("(no subject)")
    expect(page.locator(".message-to")).to_have_text("lena@example.com")
    page.locator(".message").click()
    dialog = page.get_by_role("dialog", name="(no subject)")
    expect(dialog.locator(".history-sub")).to_contain_text("lena@example.com")
    expect(dialog.locator(".reader-name")).to_have_text("lena@example.com")


@pytest.mark.parametrize(
    ("path", "pressed", "count"),
    [("/messages", ".message", ".message-count"), ("/messages/{id}", ".history-content", ".reader-opens")],
    ids=["list", "history"],
)
def test_a_press_whose_release_a_menu_takes_does_not_hold_up_changes(
    desks: Desks, sender: Sender, path: str, pressed: str, count: str
) -> None:
    message = sender.register()
    page = desks.open(sender, path.format(id=message["id"]))
    # Like macOS, Playwright sends nothing more of a right press after "contextmenu".
    page.locator(pressed).hover()
    page.mouse.down(button="right")
    sender.hit(message)
    expect(page.locator(count)).to_contain_text("1 open")
