"""Logging in and out: what a browser is given, and how guesses are limited."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from http.cookies import SimpleCookie
from pathlib import Path

import httpx
import pytest

from hub.api.attempts import WINDOW_SECONDS
from hub.api.passwords import Passwords
from hub.api.session import ACCOUNT_ATTEMPTS, ADDRESS_ATTEMPTS
from hub.model import new_id
from hub.store.away import DatabaseAway
from hub.store.credentials import SESSION_MS
from hub.store.events import Events
from hub.store.users import Users
from tests.api import PASSWORD, Hub, Sender, assert_problem, running_hub

TOO_LONG = "x" * 300
WRONG = "not the password"


def cookie_of(answer: httpx.Response) -> tuple[str, dict[str, str]]:
    """The name of the one cookie that an answer sets, and its attributes."""
    [header] = answer.headers.get_list("set-cookie")
    [(name, morsel)] = SimpleCookie(header).items()
    return name, {key: str(value) for key, value in morsel.items() if value} | {"value": morsel.value}


async def log_in(hub: Hub, email: str, password: str, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await hub.client().post("/session", json={"email": email, "password": password}, headers=named)


async def test_login_answers_who_it_is_and_sets_a_cookie_that_scripts_cannot_read(hub: Hub, sender: Sender) -> None:
    answer = await log_in(hub, sender.email.upper(), PASSWORD)
    assert answer.status_code == 200
    assert answer.json()["email"] == sender.email
    assert answer.json().keys() == {
        *("id", "email", "name", "role", "settings", "sequence", "seen_sequence", "unseen"),
    }
    name, cookie = cookie_of(answer)
    assert name == "glimpse"
    value = cookie.pop("value")
    assert len(value) >= 43
    assert value not in answer.text
    assert cookie == {"httponly": "True", "samesite": "Lax", "path": "/", "max-age": str(SESSION_MS // 1000)}


async def test_login_over_https_sets_a_cookie_for_this_host_over_https_only(hub: Hub, sender: Sender) -> None:
    name, cookie = cookie_of(await log_in(hub, sender.email, PASSWORD, x_forwarded_proto="https"))
    assert name == "__Host-glimpse"
    assert cookie["secure"] == "True"
    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == ("True", "Lax", "/")
    assert "domain" not in cookie
    https = {"x-forwarded-proto": "https"}
    shown = {"cookie": f"__Host-glimpse={cookie['value']}"}
    assert (await hub.client().get("/me", headers=https | shown)).status_code == 200
    # The same secret under the other name, or over plain http, is no session.
    assert_problem(await hub.client().get("/me", headers=shown), 401)
    planted = {"cookie": f"glimpse={cookie['value']}"}
    assert_problem(await hub.client().get("/me", headers=https | planted), 401)


async def test_login_over_https_that_the_proxy_cannot_tell_of_is_told_by_its_origin(
    tmp_path: Path, migrated_sqlite_url: str
) -> None:
    public = "https://hub.example.com"
    async with running_hub(tmp_path, migrated_sqlite_url, public_url=public, trusted_proxies=()) as hub:
        sender = await hub.add_sender()
        name, cookie = cookie_of(await log_in(hub, sender.email, PASSWORD, origin=public))
        assert (name, cookie["secure"]) == ("__Host-glimpse", "True")
        plain, other = cookie_of(await log_in(hub, sender.email, PASSWORD, origin=hub.origin))
        assert (plain, other.get("secure")) == ("glimpse", None)
        # Both are sessions here, and one that nobody else can have planted goes first.
        both = {"cookie": f"{name}={cookie['value']}; {plain}={other['value']}", "origin": public}
        assert (await hub.client().get("/me", headers={"cookie": f"{plain}={other['value']}"})).status_code == 200
        assert (answer := await hub.client().delete("/session", headers=both)).status_code == 204
        assert {each.partition("=")[0] for each in answer.headers.get_list("set-cookie")} == {name, plain}
        assert_problem(await hub.client().get("/me", headers={"cookie": f"{name}={cookie['value']}"}), 401)
        assert (await hub.client().get("/me", headers={"cookie": f"{plain}={other['value']}"})).status_code == 200


@pytest.mark.parametrize("blank", [b"\xa0", b"\x85", b"\xc2\xa0", b"="])
async def test_cookie_named_as_ours_but_for_a_byte_before_it_is_no_session(
    hub: Hub, sender: Sender, blank: bytes
) -> None:
    _, cookie = cookie_of(await log_in(hub, sender.email, PASSWORD, x_forwarded_proto="https"))
    own = f"__Host-glimpse={cookie['value']}".encode()
    https = {b"x-forwarded-proto": b"https"}
    # Chromium keeps such a cookie from any page of the domain, and sends it back byte for byte.
    assert_problem(await hub.client().get("/me", headers=https | {b"cookie": blank + own}), 401)
    beside = b"theirs=1; " + own + b"; " + blank + b"__Host-glimpse=planted"
    assert (await hub.client().get("/me", headers=https | {b"cookie": beside})).status_code == 200


@pytest.mark.parametrize(
    ("email", "password"),
    [
        (None, PASSWORD + "r"),
        (None, ""),
        (None, "x" * 10_000),
        (None, "a\0b"),
        ("nobody@example.com", PASSWORD),
        ("", PASSWORD),
        ("a\0b@example.com", PASSWORD),
        ("x" * 100_000, PASSWORD),
    ],
)
async def test_login_with_a_wrong_address_or_password_is_the_same_401(
    hub: Hub, sender: Sender, email: str | None, password: str
) -> None:
    address = f"192.0.2.{len(password) % 250}"
    answer = await log_in(hub, sender.email if email is None else email, password, x_forwarded_for=address)
    body = assert_problem(answer, 401)
    assert body["type"] == "urn:glimpse:problem:wrong-password"
    assert "set-cookie" not in answer.headers
    assert "www-authenticate" not in answer.headers


async def test_login_from_a_foreign_page_is_a_403(hub: Hub, sender: Sender) -> None:
    assert_problem(await log_in(hub, sender.email, PASSWORD, origin="https://evil.example"), 403)
    assert (await log_in(hub, sender.email, PASSWORD, origin=hub.origin)).status_code == 200


@pytest.fixture
def unhashed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passwords are compared without the work of a hash."""

    async def verify(_self: Passwords, _password_hash: str | None, password: str) -> bool:
        await asyncio.sleep(0)
        return password == PASSWORD

    monkeypatch.setattr(Passwords, "verify", verify)


@pytest.mark.usefixtures("unhashed")
async def test_login_is_limited_for_an_account_from_all_addresses_together(
    hub: Hub, sender: Sender, stranger: Sender
) -> None:
    for number in range(ACCOUNT_ATTEMPTS):
        assert_problem(await log_in(hub, sender.email, WRONG, x_forwarded_for=f"192.0.2.{number}"), 401)
    answer = await log_in(hub, sender.email, PASSWORD, x_forwarded_for="192.0.2.250")
    assert_problem(answer, 429)
    assert 1 <= int(answer.headers["retry-after"]) <= WINDOW_SECONDS
    assert (await log_in(hub, stranger.email, PASSWORD, x_forwarded_for="192.0.2.250")).status_code == 200
    # Only guessing passwords is limited: the token still works.
    assert await sender.get("/me")


@pytest.mark.usefixtures("unhashed")
async def test_login_guesses_are_counted_however_the_address_is_written(hub: Hub, sender: Sender) -> None:
    for number in range(ACCOUNT_ATTEMPTS):
        email = sender.email.upper() if number % 2 else sender.email
        assert_problem(await log_in(hub, email, WRONG, x_forwarded_for=f"192.0.2.{number}"), 401)
    assert_problem(await log_in(hub, sender.email.title(), WRONG, x_forwarded_for="192.0.2.250"), 429)


@pytest.mark.usefixtures("unhashed")
async def test_login_that_succeeds_forgives_its_account_all_and_its_address_only_itself(quiet_hub: Hub) -> None:
    sender = await quiet_hub.add_sender()

    async def attempt(email: str, password: str) -> int:
        return (await log_in(quiet_hub, email, password, x_forwarded_for="192.0.2.1")).status_code

    wrong = [WRONG] * (ACCOUNT_ATTEMPTS - 1)
    rounds = (ADDRESS_ATTEMPTS - 1) // len(wrong)
    for _ in range(rounds):
        statuses = [await attempt(sender.email, password) for password in (*wrong, PASSWORD, PASSWORD)]
        assert statuses == [401] * len(wrong) + [200, 200]
    for _ in range(ADDRESS_ATTEMPTS - rounds * len(wrong)):
        assert await attempt(f"{new_id()}@example.com", WRONG) == 401
    assert await attempt(sender.email, PASSWORD) == 429


@pytest.mark.usefixtures("unhashed")
async def test_login_attempts_at_once_are_each_counted(hub: Hub, sender: Sender) -> None:
    answers = await asyncio.gather(
        *(log_in(hub, sender.email, WRONG, x_forwarded_for=f"192.0.2.{n}") for n in range(ACCOUNT_ATTEMPTS + 5))
    )
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [401] * ACCOUNT_ATTEMPTS + [429] * 5


@pytest.fixture
async def quiet_hub(tmp_path: Path, migrated_sqlite_url: str) -> AsyncIterator[Hub]:
    """A hub whose limits no other test has used."""
    async with running_hub(tmp_path, migrated_sqlite_url) as hub:
        yield hub


@pytest.mark.usefixtures("unhashed")
async def test_login_is_limited_for_an_address_over_all_accounts_together(quiet_hub: Hub) -> None:
    # All from one IPv6 network, which is one customer's.
    async def guess(number: int) -> int:
        answer = await log_in(quiet_hub, f"{new_id()}@example.com", WRONG, x_forwarded_for=f"2001:db8:1:2::{number:x}")
        return answer.status_code

    assert {await guess(number) for number in range(ADDRESS_ATTEMPTS)} == {401}
    assert await guess(9999) == 429
    sender = await quiet_hub.add_sender()
    elsewhere = await log_in(quiet_hub, sender.email, PASSWORD, x_forwarded_for="2001:db8:1:3::1")
    assert elsewhere.status_code == 200


async def test_password_too_long_for_any_account_is_no_attempt(quiet_hub: Hub) -> None:
    # It costs no hash. If it were counted, ten thousand of them would soon make the hub forget real attempts.
    sender = await quiet_hub.add_sender()
    for _ in range(ADDRESS_ATTEMPTS + 1):
        assert_problem(await log_in(quiet_hub, sender.email, TOO_LONG), 401)
    assert (await log_in(quiet_hub, sender.email, PASSWORD)).status_code == 200


async def test_password_that_could_not_be_looked_up_was_no_attempt(
    quiet_hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender = await quiet_hub.add_sender()
    change = {"password": {"current": PASSWORD, "new": "another long password"}}

    async def away(_users: Users, _email: str) -> None:
        raise DatabaseAway("as if")

    with monkeypatch.context() as outage:
        outage.setattr(Users, "by_email", away)
        for _ in range(max(ACCOUNT_ATTEMPTS, ADDRESS_ATTEMPTS)):
            assert_problem(await log_in(quiet_hub, sender.email, PASSWORD), 503)
            assert_problem(await sender.http.patch("/me", json=change), 503)
    assert (await log_in(quiet_hub, sender.email, PASSWORD)).status_code == 200
    assert (await sender.http.patch("/me", json=change)).status_code == 200


async def test_password_that_found_no_room_to_be_checked_was_no_attempt(
    quiet_hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender = await quiet_hub.add_sender()
    change = {"password": {"current": PASSWORD, "new": "another long password"}}
    with monkeypatch.context() as rush:
        rush.setattr("hub.api.passwords.MOST_WAITING", 0)
        for _ in range(max(ACCOUNT_ATTEMPTS, ADDRESS_ATTEMPTS)):
            assert_problem(await log_in(quiet_hub, sender.email, PASSWORD), 503)
            assert_problem(await sender.http.patch("/me", json=change), 503)
    assert (await log_in(quiet_hub, sender.email, PASSWORD)).status_code == 200
    assert (await sender.http.patch("/me", json=change)).status_code == 200


async def test_login_that_fails_leaves_no_session(hub: Hub, sender: Sender, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(_events: Events, *_: object) -> None:
        raise DatabaseAway("as if")

    with monkeypatch.context() as outage:
        outage.setattr(Events, "unseen", away)
        assert_problem(await log_in(hub, sender.email, PASSWORD), 503)
    assert (await sender.get("/sessions"))["items"] == []


async def test_login_with_a_password_that_is_changed_meanwhile_is_a_401(
    hub: Hub, sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    verify = Passwords.verify

    async def overtaken(self: Passwords, password_hash: str | None, password: str) -> bool:
        verified = await verify(self, password_hash, password)
        monkeypatch.setattr(Passwords, "verify", verify)
        await sender.patch("/me", password={"current": PASSWORD, "new": "another long password"})
        return verified

    monkeypatch.setattr(Passwords, "verify", overtaken)
    answer = await log_in(hub, sender.email, PASSWORD)
    assert_problem(answer, 401)
    assert "set-cookie" not in answer.headers
    assert (await sender.get("/sessions"))["items"] == []


async def test_logout_ends_the_session_and_takes_the_cookie_away(hub: Hub, sender: Sender) -> None:
    browser = await sender.log_in()
    kept = dict(browser.cookies)
    answer = await browser.delete("/session")
    assert answer.status_code == 204
    assert cookie_of(answer)[1].get("max-age") == "0" or 'glimpse=""' in answer.headers["set-cookie"]
    assert_problem(await hub.client(cookie=f"glimpse={kept['glimpse']}").get("/me"), 401)
    assert (await sender.get("/sessions"))["items"] == []


async def test_logout_with_a_token_is_a_404(sender: Sender) -> None:
    assert_problem(await sender.http.delete("/session"), 404)


async def test_logout_closes_the_sockets_of_that_session_only(hub: Hub, sender: Sender) -> None:
    first, second = await sender.log_in(), await sender.log_in()

    def cookie(browser: httpx.AsyncClient) -> dict[str, str]:
        return {"cookie": f"glimpse={browser.cookies['glimpse']}"}

    async with (
        hub.socket(origin=hub.origin, additional_headers=cookie(first)) as ended,
        hub.socket(origin=hub.origin, additional_headers=cookie(second)) as other,
    ):
        for socket in (ended, other):
            await socket.say(type="connect", stream="history")
            assert (await socket.hear())["type"] == "connected"
        async with first.stream("GET", "/stream") as stream:
            assert (await first.delete("/session")).status_code == 204
            assert await ended.closed() == 4401
            assert b"".join([chunk async for chunk in stream.aiter_bytes()]).startswith(b"id: 0\nretry:")
        await sender.register()
        await other.event("message.registered")


async def test_session_that_has_expired_is_a_401(hub: Hub, sender: Sender) -> None:
    browser = await sender.log_in()
    async with hub.database.write() as tx:
        await tx.fetch("UPDATE sessions SET expires_at = 1 WHERE user_id = $1", sender.id)
    assert_problem(await browser.get("/me"), 401)
    assert (await sender.get("/sessions"))["items"] == []


async def test_session_says_which_program_it_is_in(sender: Sender) -> None:
    firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
    browser = await sender.log_in(**{"user-agent": firefox})
    [session] = (await browser.get("/sessions")).json()["items"]
    assert session["device"] == "Firefox on Linux"
    assert session["current"]
