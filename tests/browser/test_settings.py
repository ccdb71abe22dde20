"""Settings: what the two decisions do, undo, tokens, sessions, and this browser's own choices."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import NO_FIVE_SECONDS, Desks, count_told, live, log_in, popups
from tests.browser.people import PASSWORD, Sender
from tests.processes import wait_until


def test_realtime_off_silences_everything_until_it_is_on_again(desks: Desks, sender: Sender) -> None:
    message = sender.register()
    context = desks.context(sender.hub)
    context.add_init_script(NO_FIVE_SECONDS)
    log_in(context, sender)
    page = desks.tab(context, "/settings")
    other = desks.tab(context, "/settings")
    switch = page.get_by_role("switch", name="Enable real-time notifications")
    expect(page.get_by_text("Opens are still recorded.")).to_be_visible()
    switch.uncheck()
    expect(page.get_by_text("Real-time notifications are off.")).to_be_visible()
    expect(other.get_by_role("switch", name="Enable real-time notifications")).not_to_be_checked()
    sender.hit(message)
    page.get_by_role("button", name="Undo").click()
    expect(switch).to_be_checked()
    assert sender.get("/me")["settings"]["realtime_notifications"] is True
    sender.hit(sender.register(subject="Told"))
    [popup] = popups(page, 1)
    assert "Told" in popup["body"]


def test_mute_all_silences_what_was_sent_and_not_what_comes(desks: Desks, sender: Sender) -> None:
    old = sender.register(subject="Old")
    page = desks.open(sender, "/settings")
    expect(page.get_by_text("Silences every mail registered so far, drafts too.")).to_be_visible()
    page.get_by_role("button", name="Mute all notifications").click()
    expect(page.get_by_text("Muting everything registered so far in 5 seconds")).to_be_visible()
    sender.hit(old)
    expect(page.get_by_text("Muted everything registered so far.")).to_be_visible()
    assert sender.get(f"/messages/{old['id']}")["muted"] is True
    expect(page.get_by_text("Last used just now.", exact=True)).to_be_visible()
    sender.hit(old)
    sender.hit(sender.register(subject="New"))
    [popup] = popups(page, 1)
    assert "New" in popup["body"], "the old mail was not announced, neither while mute-all could be undone nor after it"


def test_mute_all_can_be_undone_for_a_few_seconds(desks: Desks, sender: Sender) -> None:
    message = sender.register()
    context = desks.context(sender.hub)
    context.clock.install()
    context.add_init_script(NO_FIVE_SECONDS)
    log_in(context, sender)
    page = desks.tab(context, "/settings")
    page.get_by_role("button", name="Mute all notifications").click()
    sender.hit(message)
    expect(page).to_have_title("(1) Settings · Glimpse")
    context.clock.run_for(1_000)
    assert popups(page) == [], "it is kept back"
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("Nothing was muted.")).to_be_visible()
    assert len(popups(page, 1)) == 1, "and told late"
    assert sender.get("/me")["settings"]["muted_all_at"] is None


HIDE = """() => {
    Object.defineProperty(document, "hidden", { value: true });
    document.dispatchEvent(new Event("visibilitychange"));
}"""
LEAVE: dict[str, Callable[[Page], object]] = {
    "another page": lambda page: page.goto("/docs"),
    "closed": lambda page: page.close(),
    "hidden": lambda page: page.evaluate(HIDE),
    "logged out": lambda page: page.get_by_role("button", name="Log out").click(),
}


@pytest.mark.parametrize("how", LEAVE)
def test_mute_all_holds_even_if_the_page_is_left_at_once(desks: Desks, sender: Sender, how: str) -> None:
    context = desks.context(sender.hub)
    context.add_init_script(NO_FIVE_SECONDS)
    log_in(context, sender)
    page = desks.tab(context, "/settings")
    page.get_by_role("button", name="Mute all notifications").click()
    expect(page.get_by_role("button", name="Undo")).to_be_visible()
    LEAVE[how](page)
    wait_until(lambda: sender.get("/me")["settings"]["muted_all_at"], what="mute-all reached the hub")


def test_a_token_is_shown_once_works_and_can_be_revoked(desks: Desks, sender: Sender) -> None:
    page = desks.open(sender, "/settings")
    page.get_by_label("Name of the new token").fill("My plugin")
    page.get_by_role("button", name="Create token").click()
    secret = page.get_by_role("textbox", name="The new token", exact=True)
    expect(page.get_by_text("Copy it now: it is shown this once")).to_be_visible()
    token = secret.input_value()
    headers = {"authorization": f"Bearer {token}"}
    assert sender.api.get("/me", headers=headers).status_code == 200
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("() => navigator.clipboard.readText()") == token
    page.get_by_role("button", name="I have it").click()
    expect(secret).to_be_hidden()
    page.get_by_role("button", name="Revoke My plugin").click()
    page.get_by_role("button", name="Revoke for good?").click()
    expect(page.get_by_text("Revoked My plugin.")).to_be_visible()
    assert sender.api.get("/me", headers=headers).status_code == 401
    expect(page.get_by_text("My plugin", exact=True)).to_be_hidden()


def test_another_session_can_be_ended_from_here(desks: Desks, sender: Sender) -> None:
    elsewhere = desks.open(sender)
    page = desks.open(sender, "/settings")
    expect(page.locator(".row", has_text="This browser")).to_have_count(1)
    page.get_by_role("button", name="Log out there").click()
    expect(page.get_by_text("Logged out there.")).to_be_visible()
    expect(elsewhere.get_by_label("Password", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="Log out there")).to_be_hidden()


def test_sessions_that_a_new_password_ends_are_listed_no_more(desks: Desks, sender: Sender) -> None:
    log_in(desks.context(sender.hub), sender)
    page = desks.open(sender, "/settings")
    expect(page.get_by_role("button", name="Log out there")).to_have_count(1)
    page.get_by_label("Current password").fill(PASSWORD)
    page.get_by_label("New password").fill("another long password")
    page.get_by_role("button", name="Change password").click()
    expect(page.get_by_text("Your password is changed.")).to_be_visible()
    expect(page.get_by_role("button", name="Log out there")).to_have_count(0)
    expect(page.locator(".row", has_text="This browser")).to_have_count(1)


def test_the_theme_is_kept_and_followed_by_other_tabs(desks: Desks, sender: Sender) -> None:
    page = desks.open(sender, "/settings", color_scheme="light")
    other = desks.tab(page.context)
    page.get_by_role("radio", name="Dark").check()
    dark = "rgb(16, 18, 20)"
    for tab in (page, other):
        expect(tab.locator("html")).to_have_css("background-color", dark)
    other.reload()
    expect(other.locator("html")).to_have_css("background-color", dark)
    page.get_by_role("radio", name="As the system").check()
    expect(page.locator("html")).to_have_css("background-color", "rgb(246, 246, 244)")


def test_every_tab_shows_what_was_chosen_in_another(desks: Desks, sender: Sender) -> None:
    page = desks.open(sender, "/settings")
    other = desks.tab(page.context, "/settings")
    for name in ("Keyboard shortcuts", "Sound"):
        switch = page.get_by_role("switch", name=name)
        switch.click()
        expect(other.get_by_role("switch", name=name)).to_be_checked(checked=switch.is_checked())


def test_name_and_password_can_be_changed(desks: Desks, sender: Sender) -> None:
    page = desks.open(sender, "/settings")
    page.get_by_label("Your name").fill("Sales Desk")
    page.get_by_role("button", name="Save name").click()
    expect(page.locator(".who-name")).to_have_text("Sales Desk")
    page.get_by_label("Current password").fill("wrong")
    page.get_by_label("New password").fill("another long password")
    page.get_by_role("button", name="Change password").click()
    expect(page.get_by_label("Current password")).to_have_accessible_description("This is not your current password.")
    expect(page.get_by_label("Current password")).to_be_focused()
    page.get_by_label("Current password").fill(PASSWORD)
    page.get_by_role("button", name="Change password").click()
    expect(page.get_by_text("Your password is changed.")).to_be_visible()
    again = desks.context(sender.hub)
    url = f"{sender.hub.base_url}/api/v1/session"
    assert again.request.post(url, data={"email": sender.email, "password": PASSWORD}).status == 401
    assert again.request.post(url, data={"email": sender.email, "password": "another long password"}).ok


def test_an_error_in_a_field_is_said_beside_it_and_in_words(desks: Desks, sender: Sender) -> None:
    page = desks.open(sender, "/settings")
    for label, button, said in (
        ("Your name", "Save name", "Give a name of up to 200 characters."),
        ("Name of the new token", "Create token", "Say what the token is for."),
    ):
        field = page.get_by_label(label)
        field.fill("   ")
        page.get_by_role("button", name=button).click()
        expect(field).to_have_accessible_description(said)
        field.fill("x")
        expect(page.get_by_text(said)).to_have_count(0)
    page.get_by_label("Current password").fill(PASSWORD)
    page.get_by_label("New password").fill("short")
    page.get_by_role("button", name="Change password").click()
    fresh = page.get_by_label("New password")
    assert fresh.evaluate("(field) => field.validity.tooShort")
    fresh.select_text()
    page.keyboard.insert_text("x" * 257)
    page.get_by_role("button", name="Change password").click()
    expect(fresh).to_have_accessible_description("A new password has 8 to 256 characters.")


COUNT_NOTES = """
    window.notes = 0;
    const start = OscillatorNode.prototype.start;
    OscillatorNode.prototype.start = function (when) { window.notes += 1; return start.call(this, when); };
"""
SOUND_ON = """if (origin !== "null") localStorage.setItem("glimpse", '{ "sound": true }');"""
NEVER_CLICKED = "Object.defineProperty(navigator, 'userActivation', { value: { hasBeenActive: false } });"


def test_the_chime_sounds_only_where_it_was_asked_for(desks: Desks, sender: Sender) -> None:
    message = sender.register()
    context = desks.context(sender.hub)
    context.add_init_script(COUNT_NOTES)
    log_in(context, sender)
    page = desks.tab(context, "/settings")
    sender.hit(message)
    popups(page, 1)
    assert page.evaluate("() => window.notes") == 0
    page.get_by_role("switch", name="Sound").check()
    assert page.evaluate("() => window.notes") == 2, "it is heard when it is turned on"
    sender.hit(message)
    popups(page, 2)
    assert page.evaluate("() => window.notes") == 4
    page.evaluate(NEVER_CLICKED)
    sender.hit(message)
    popups(page, 3)
    assert page.evaluate("() => window.notes") == 4, "sounds that wait for a first click would all be heard after it"


def test_a_tab_that_may_not_sound_has_one_of_the_others_do_it(desks: Desks, sender: Sender) -> None:
    context = desks.context(sender.hub)
    context.add_init_script(COUNT_NOTES + SOUND_ON)
    log_in(context, sender)
    leader = context.new_page()
    leader.add_init_script(NEVER_CLICKED)
    leader.goto("/settings")
    live(leader)
    others = [desks.tab(context, "/settings") for _ in range(2)]
    for page in others:
        count_told(page, sender, "chime")
    sender.hit(sender.register())
    popups(leader, 1)
    wait_until(lambda: [page.evaluate("told") for page in others] == [1, 1], what="the others to be asked")
    wait_until(lambda: sum(page.evaluate("notes") for page in others) == 2, what="one of them to sound")
    assert leader.evaluate("notes") == 0
