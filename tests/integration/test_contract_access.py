"""Every endpoint as its owner, as a stranger and as nobody, on each database."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import pytest

from tests.api import PASSWORD, Hub, Sender, assert_problem
from tests.documents import OPENAPI


@dataclass(frozen=True)
class Call:
    """An endpoint, what its owner sends there and what they are answered."""

    method: str
    path: str
    status: int
    body: Any = None

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


LEAST = {"subject": "Proposal", "recipients": [{"address": "reader@example.com"}]}
CALLS = [
    Call("GET", "/me", 200),
    Call("PATCH", "/me", 200, {"name": "Another"}),
    Call("PATCH", "/settings", 200, {"realtime_notifications": False}),
    Call("POST", "/messages", 201, LEAST),
    Call("GET", "/messages", 200),
    Call("GET", "/messages/{message}", 200),
    Call("PATCH", "/messages/{message}", 200, {"muted": True}),
    Call("PATCH", "/messages/{message}", 200, {}),
    Call("POST", "/messages/mute-all", 200),
    Call("POST", "/messages/{message}/viewing", 204),
    Call("GET", "/messages/{message}/opens", 200),
    Call("GET", "/opens", 200),
    Call("GET", "/events", 200),
    Call("POST", "/seen", 204, {"sequence": 1}),
    Call("GET", "/tokens", 200),
    Call("POST", "/tokens", 201, {"name": "plugin"}),
    Call("DELETE", "/tokens/{token}", 204),
    Call("GET", "/sessions", 200),
    Call("DELETE", "/sessions/{session}", 204),
    Call("HEAD", "/stream", 200),
]
NOTHING = dict.fromkeys(("message", "token", "session"), "06d80000000000000000000000")
OWNED = [call for call in CALLS if "{" in call.path]
OTHERS = {
    *("GET /openapi.json", "GET /asyncapi.json"),
    *("POST /session", "DELETE /session"),
    *("GET /stream", "GET /ws"),
}
"""The calls that are tried elsewhere: those for everybody, those by which a session begins and ends, and those whose
answer does not end."""


async def things_of(sender: Sender) -> dict[str, str]:
    """The ids of a message, a token and a session of the sender's own."""
    message = await sender.register()
    await sender.hit(message)
    token = await sender.post("/tokens", {"name": "other"})
    await sender.log_in()
    [session] = (await sender.get("/sessions"))["items"]
    return {"message": message["id"], "token": token["id"], "session": session["id"]}


async def answered(client: Any, call: Call, things: dict[str, str]) -> Any:
    options = {} if call.body is None else {"json": call.body}
    return await client.request(call.method, call.path.format(**things), **options)


def test_every_call_of_the_document_is_tried_here() -> None:
    methods = ("get", "post", "put", "patch", "delete")
    documented = {f"{each.upper()} {path}" for path, item in OPENAPI["paths"].items() for each in item.keys() & methods}
    tried = {str(call) for call in CALLS if call.method != "HEAD"} | OTHERS
    assert {re.sub(r"{\w+}", "{}", each) for each in tried} == {re.sub(r"{\w+}", "{}", each) for each in documented}


@pytest.mark.parametrize("call", CALLS, ids=str)
async def test_owner_is_answered(sender: Sender, call: Call) -> None:
    answer = await answered(sender.http, call, await things_of(sender))
    assert answer.status_code == call.status, answer.text
    assert answer.status_code != 204 or answer.content == b""
    assert answer.status_code == 204 or answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("call", CALLS, ids=str)
async def test_owner_with_a_cookie_is_answered(hub: Hub, sender: Sender, call: Call) -> None:
    things = await things_of(sender)
    browser = await sender.log_in(origin=hub.origin)
    assert (await answered(browser, call, things)).status_code == call.status


@pytest.mark.parametrize("call", OWNED, ids=str)
async def test_stranger_is_told_that_there_is_no_such_thing(sender: Sender, stranger: Sender, call: Call) -> None:
    things = await things_of(sender)
    before = await sender.get("/events"), await sender.get("/tokens"), await sender.get("/sessions")
    there = await answered(stranger.http, call, things)
    nowhere = await answered(stranger.http, call, NOTHING)
    assert_problem(there, 404)
    assert there.content == nowhere.content
    assert (await sender.get("/events"), await sender.get("/tokens"), await sender.get("/sessions")) == before


@pytest.mark.parametrize("call", [*CALLS, Call("DELETE", "/session", 204)], ids=str)
@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer glimpse_" + "x" * 43}], ids=["nobody", "forged"])
async def test_nobody_is_told_to_log_in(hub: Hub, call: Call, headers: dict[str, str]) -> None:
    answer = await answered(hub.client(**headers), call, NOTHING)
    if call.method == "HEAD":
        assert (answer.status_code, answer.content) == (401, b"")
    else:
        assert_problem(answer, 401)
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("call", [call for call in CALLS if call.method not in ("GET", "HEAD")], ids=str)
async def test_foreign_page_with_the_cookie_is_refused(sender: Sender, call: Call) -> None:
    things = await things_of(sender)
    browser = await sender.log_in()
    browser.headers["origin"] = "https://evil.example"
    head = await sender.head()
    assert_problem(await answered(browser, call, things), 403)
    assert await sender.head() == head


async def test_acts_of_one_sender_show_to_no_other(sender: Sender, stranger: Sender) -> None:
    before = [await stranger.get(path) for path in ("/me", "/messages", "/opens", "/events", "/tokens", "/sessions")]
    things = await things_of(sender)
    for call in CALLS:
        await answered(sender.http, call, things)
    after = [await stranger.get(path) for path in ("/me", "/messages", "/opens", "/events", "/tokens", "/sessions")]
    before[4]["items"][0].pop("last_used_at")
    after[4]["items"][0].pop("last_used_at")
    assert after == before


async def test_journey_from_the_log_in_to_the_open_and_back(hub: Hub, sender: Sender) -> None:
    browser = hub.client(origin=hub.origin)
    await browser.post("/session", json={"email": sender.email, "password": PASSWORD})
    message = (await browser.post("/messages", json=LEAST | {"sent_at": "2024-05-01T12:00:00Z"})).json()
    cookie = {"cookie": f"glimpse={browser.cookies['glimpse']}"}
    async with hub.socket(origin=hub.origin, additional_headers=cookie) as socket:
        await socket.say(type="connect", after=0)
        assert (await socket.hear())["sequence"] == 1
        await socket.event("message.registered")
        await sender.hit(message)
        told = await socket.event("open.recorded")
        assert told["data"]["notify"]
        assert told["data"]["message"]["opens"] == 1
        await socket.say(type="seen", sequence=int(told["sequence"]))
        assert (await socket.event("notifications.seen"))["data"] == {"sequence": 2}
    assert (await browser.get("/me")).json()["unseen"] == 0
    await browser.delete("/session")
    assert_problem(await browser.get("/me"), 401)
