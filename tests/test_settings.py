"""The user's own account: who they are, their settings, their tokens and their sessions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from hub.api.attempts import WINDOW_SECONDS
from hub.api.auth import secret_hash
from hub.api.passwords import Passwords
from hub.api.session import ACCOUNT_ATTEMPTS
from tests.api import MACHINE, PASSWORD, Hub, Sender, assert_problem
from tests.processes import PATIENCE_SECONDS

NEW_PASSWORD = "another long password"


async def test_me_says_who_the_user_is_and_where_the_log_stands(sender: Sender) -> None:
    me = await sender.get("/me")
    assert me == {
        "id": sender.id,
        "email": sender.email,
        "name": "A Sender",
        "role": "user",
        "settings": {"realtime_notifications": True, "muted_all_at": None},
        "sequence": 0,
        "seen_sequence": 0,
        "unseen": 0,
    }


async def test_me_says_who_is_an_admin(hub: Hub) -> None:
    assert (await (await hub.add_sender("admin")).get("/me"))["role"] == "admin"


async def test_unseen_counts_notifications_and_nothing_else(sender: Sender) -> None:
    message = await sender.register()
    await sender.hit(message)
    await sender.hit(message, user_agent=MACHINE)
    await sender.hit(message)
    assert (await sender.get("/me"))["unseen"] == 2
    await sender.post("/seen", {"sequence": 2})
    me = await sender.get("/me")
    assert (me["unseen"], me["seen_sequence"], me["sequence"]) == (1, 2, 5)
    await sender.post("/seen", {"sequence": 5})
    assert (await sender.get("/me"))["unseen"] == 0


async def test_seen_never_goes_back_and_never_beyond_the_log(sender: Sender) -> None:
    message = await sender.register()
    await sender.hit(message)
    await sender.post("/seen", {"sequence": 2})
    head = await sender.head()
    for sequence in (2, 1, 0):
        assert (await sender.http.post("/seen", json={"sequence": sequence})).status_code == 204
    assert (await sender.get("/me"))["seen_sequence"] == 2
    assert await sender.head() == head
    for sequence in (head + 1, 2**53):
        body = assert_problem(await sender.http.post("/seen", json={"sequence": sequence}), 422)
        assert body["errors"][0]["field"] == "sequence"
    assert await sender.head() == head


async def test_realtime_is_turned_off_and_on(sender: Sender) -> None:
    off = await sender.patch("/settings", realtime_notifications=False)
    assert off == {"realtime_notifications": False, "muted_all_at": None}
    assert (await sender.get("/me"))["settings"] == off
    assert (await sender.patch("/settings"))["realtime_notifications"] is False
    assert (await sender.patch("/settings", realtime_notifications=True))["realtime_notifications"] is True


async def test_settings_of_one_are_not_anothers(sender: Sender, stranger: Sender) -> None:
    await sender.patch("/settings", realtime_notifications=False)
    await sender.post("/messages/mute-all")
    assert (await stranger.get("/me"))["settings"] == {"realtime_notifications": True, "muted_all_at": None}


async def test_name_is_changed(sender: Sender) -> None:
    assert (await sender.patch("/me", name="Ünïcode 🕊"))["name"] == "Ünïcode 🕊"
    assert (await sender.get("/me"))["name"] == "Ünïcode 🕊"
    assert (await sender.patch("/me"))["name"] == "Ünïcode 🕊"


@pytest.mark.parametrize("name", ["", " ", "x" * 201, "\0", "two\nlines", "a\tb", "\u200b", "\u202edrawkcab"])
async def test_name_that_is_wrong_is_a_422(sender: Sender, name: str) -> None:
    for asked in (sender.http.patch("/me", json={"name": name}), sender.http.post("/tokens", json={"name": name})):
        assert [error["field"] for error in assert_problem(await asked, 422)["errors"]] == ["name"]


@pytest.mark.parametrize("name", ["x" * 200, "علی\u200cرضا", "👩\u200d💻", "O'Neil (Sales)"])
async def test_name_in_any_language_is_taken(sender: Sender, name: str) -> None:
    assert (await sender.patch("/me", name=name))["name"] == name


# Tokens


async def test_token_is_shown_once_and_works_until_it_is_removed(hub: Hub, sender: Sender) -> None:
    answer = await sender.http.post("/tokens", json={"name": "plugin"})
    assert answer.status_code == 201
    made = answer.json()
    token = made.pop("token")
    assert made.keys() == {"id", "name", "created_at", "last_used_at"}
    assert (made["name"], made["last_used_at"]) == ("plugin", None)
    assert (await hub.client(authorization=f"Bearer {token}").get("/me")).json()["id"] == sender.id
    listing = await sender.http.get("/tokens")
    assert token not in listing.text
    assert [item["id"] for item in listing.json()["items"]] == [made["id"], sender.token_id]
    assert listing.json()["items"][0]["last_used_at"] is not None
    removed = await sender.http.delete(f"/tokens/{made['id']}")
    assert (removed.status_code, removed.content) == (204, b"")
    assert_problem(await hub.client(authorization=f"Bearer {token}").get("/me"), 401)
    assert_problem(await sender.http.delete(f"/tokens/{made['id']}"), 404)


async def test_token_that_is_removed_takes_its_sockets_and_streams_with_it(hub: Hub, sender: Sender) -> None:
    made = await sender.post("/tokens", {"name": "plugin"})
    bearer = {"authorization": f"Bearer {made['token']}"}
    async with hub.socket(additional_headers=bearer) as ended, sender.socket() as (other, _):
        await ended.say(type="connect")
        await ended.hear()
        async with hub.client(**bearer).stream("GET", "/stream") as stream:
            await sender.http.delete(f"/tokens/{made['id']}")
            assert await ended.closed() == 4401
            async with asyncio.timeout(PATIENCE_SECONDS):
                assert [chunk async for chunk in stream.aiter_bytes()] == [b"id: 0\nretry: 2000\n\n"]
        await sender.register()
        await other.event("message.registered")


async def test_token_may_remove_itself(sender: Sender) -> None:
    assert (await sender.http.delete(f"/tokens/{sender.token_id}")).status_code == 204
    assert_problem(await sender.http.get("/me"), 401)


async def test_token_of_somebody_else_is_not_there(sender: Sender, stranger: Sender) -> None:
    assert_problem(await stranger.http.delete(f"/tokens/{sender.token_id}"), 404)
    assert sender.token_id not in (await stranger.http.get("/tokens")).text
    assert await sender.get("/me")


async def test_hash_is_all_that_is_kept_of_a_token_and_of_a_session(hub: Hub, sender: Sender) -> None:
    made = await sender.post("/tokens", {"name": "plugin"})
    browser = await sender.log_in()
    kept = [
        tuple(row)
        for table in ("tokens", "sessions")
        for row in await hub.database.fetch(f"SELECT * FROM {table} WHERE user_id = $1", sender.id)
    ]
    assert len(kept) == 3
    for secret in (made["token"], browser.cookies["glimpse"]):
        assert secret not in str(kept)
        assert secret_hash(secret) in str(kept)


# Sessions and passwords


async def test_sessions_are_listed_and_ended_from_elsewhere(sender: Sender, stranger: Sender) -> None:
    first, second = await sender.log_in(), await sender.log_in()
    items = (await second.get("/sessions")).json()["items"]
    assert [item["current"] for item in items] == [True, False]
    assert items[0].keys() == {"id", "created_at", "last_used_at", "device", "current"}
    assert [item["current"] for item in (await sender.get("/sessions"))["items"]] == [False, False]
    assert_problem(await stranger.http.delete(f"/sessions/{items[1]['id']}"), 404)
    assert (await first.get("/me")).status_code == 200
    assert (await second.delete(f"/sessions/{items[1]['id']}")).status_code == 204
    assert_problem(await first.get("/me"), 401)
    assert_problem(await second.delete(f"/sessions/{items[1]['id']}"), 404)
    assert (await second.get("/me")).status_code == 200


async def test_session_ended_while_its_request_is_sent_changes_nothing(sender: Sender) -> None:
    browser = await sender.log_in()
    [session] = (await browser.get("/sessions")).json()["items"]

    async def slowly() -> AsyncIterator[bytes]:
        yield b'{"name": '
        await sender.http.delete(f"/sessions/{session['id']}")
        yield b'"a way back in"}'

    tokens = (await sender.get("/tokens"))["items"]
    assert_problem(await browser.post("/tokens", content=slowly()), 401)
    assert (await sender.get("/tokens"))["items"] == tokens


async def test_session_ended_from_elsewhere_loses_its_socket(hub: Hub, sender: Sender) -> None:
    browser = await sender.log_in()
    cookie = {"cookie": f"glimpse={browser.cookies['glimpse']}"}
    async with hub.socket(origin=hub.origin, additional_headers=cookie) as socket:
        await socket.say(type="connect")
        await socket.hear()
        [session] = (await sender.get("/sessions"))["items"]
        await sender.http.delete(f"/sessions/{session['id']}")
        assert await socket.closed() == 4401


async def test_new_password_ends_the_other_sessions_and_not_this_one(hub: Hub, sender: Sender) -> None:
    here, elsewhere = await sender.log_in(), await sender.log_in()
    cookie = {"cookie": f"glimpse={elsewhere.cookies['glimpse']}"}
    async with hub.socket(origin=hub.origin, additional_headers=cookie) as socket, sender.socket() as (plugin, _):
        await socket.say(type="connect")
        await socket.hear()
        answer = await here.patch("/me", json={"password": {"current": PASSWORD, "new": NEW_PASSWORD}})
        assert answer.json()["id"] == sender.id
        assert await socket.closed() == 4401
        await sender.register()
        await plugin.event("message.registered")
    assert_problem(await elsewhere.get("/me"), 401)
    assert (await here.get("/me")).status_code == 200
    old = {"email": sender.email, "password": PASSWORD}
    assert_problem(await hub.client().post("/session", json=old), 401)
    assert (await hub.client().post("/session", json=old | {"password": NEW_PASSWORD})).status_code == 200


async def test_new_password_by_token_ends_every_session(sender: Sender) -> None:
    browser = await sender.log_in()
    await sender.patch("/me", name="Another", password={"current": PASSWORD, "new": NEW_PASSWORD})
    assert_problem(await browser.get("/me"), 401)
    assert (await sender.get("/me"))["name"] == "Another"


async def test_new_password_beside_another_is_refused_with_the_name_it_came_with(
    sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_hash = Passwords.hash

    async def overtaken(self: Passwords, password: str) -> str:
        monkeypatch.setattr(Passwords, "hash", make_hash)
        await sender.patch("/me", password={"current": PASSWORD, "new": NEW_PASSWORD})
        return await make_hash(self, password)

    monkeypatch.setattr(Passwords, "hash", overtaken)
    late = {"name": "Another", "password": {"current": PASSWORD, "new": "a third long password"}}
    problem = assert_problem(await sender.http.patch("/me", json=late), 422)
    assert [error["field"] for error in problem["errors"]] == ["password.current"]
    assert (await sender.get("/me"))["name"] == "A Sender"
    await sender.patch("/me", password={"current": NEW_PASSWORD, "new": PASSWORD})


async def test_guesses_at_the_current_password_are_limited(hub: Hub) -> None:
    sender, other = await hub.add_sender(), await hub.add_sender()
    browser = await sender.log_in()

    async def guess(client: httpx.AsyncClient, current: str) -> httpx.Response:
        return await client.patch("/me", json={"password": {"current": current, "new": NEW_PASSWORD}})

    # Half by the session, half by the token, all at once: the limit is the account's.
    wrong = "x" * 300
    guesses = [guess(client, wrong) for client in (browser, sender.http) for _ in range(ACCOUNT_ATTEMPTS // 2 + 1)]
    statuses = sorted(answer.status_code for answer in await asyncio.gather(*guesses))
    assert statuses == [422] * ACCOUNT_ATTEMPTS + [429] * 2
    refused = await guess(browser, PASSWORD)
    assert_problem(refused, 429)
    assert 1 <= int(refused.headers["retry-after"]) <= WINDOW_SECONDS
    # Logging in, changes that need no password, and other accounts do not have to wait.
    assert (await browser.patch("/me", json={"name": "Another"})).status_code == 200
    await sender.log_in()
    assert (await guess(other.http, PASSWORD)).status_code == 200


async def test_current_password_that_is_right_clears_the_count(hub: Hub) -> None:
    sender = await hub.add_sender()
    for _ in range(2):
        for _ in range(ACCOUNT_ATTEMPTS - 1):
            body = {"password": {"current": "x" * 300, "new": NEW_PASSWORD}}
            assert (await sender.http.patch("/me", json=body)).status_code == 422
        await sender.patch("/me", password={"current": PASSWORD, "new": PASSWORD})


@pytest.mark.parametrize(
    ("current", "new", "field"),
    [
        ("wrong password", NEW_PASSWORD, "password.current"),
        ("x" * 1000, NEW_PASSWORD, "password.current"),
        (PASSWORD, "short", "password.new"),
        (PASSWORD, "x" * 257, "password.new"),
    ],
)
async def test_password_that_is_wrong_changes_nothing(sender: Sender, current: str, new: str, field: str) -> None:
    browser = await sender.log_in()
    answer = await sender.http.patch("/me", json={"name": "Another", "password": {"current": current, "new": new}})
    assert [error["field"] for error in assert_problem(answer, 422)["errors"]] == [field]
    assert (await browser.get("/me")).json()["name"] == "A Sender"
    await sender.log_in()
