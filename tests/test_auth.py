"""Who is asking: tokens, cookies, and where a cookie is not believed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from starlette.requests import Request

from hub.api.auth import Auth, new_secret, secret_hash
from hub.api.problems import Problem
from hub.config import LOOPBACK
from hub.store.credentials import Credentials
from hub.tracking.visit import TrustedProxies
from tests.api import Hub, Sender, assert_problem
from tests.factories import T0, ManualClock, Store


def an_auth(public_url: str | None = None) -> Auth:
    """An `Auth` that is asked nothing about credentials, and so has no store of them."""
    return Auth(
        cast(Credentials, None), public_url=public_url, trusted_proxies=TrustedProxies(LOOPBACK), clock=lambda: 0
    )


def a_request(client: str = "127.0.0.1", method: str = "POST", **headers: str) -> Request:
    scope: dict[str, Any] = {
        "type": "http",
        "method": method,
        "path": "/",
        "scheme": "http",
        "client": (client, 1),
        "server": ("127.0.0.1", 8000),
        "headers": [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()],
    }
    return Request(scope)


def test_secret_is_new_each_time_and_long() -> None:
    assert new_secret("glimpse_").startswith("glimpse_")
    assert len({new_secret() for _ in range(100)}) == 100
    assert len(new_secret()) >= 43


@pytest.mark.parametrize("secret", ["", "x", "ä", "\ud800", "x" * 100_000])
def test_hash_of_any_secret_is_made(secret: str) -> None:
    assert len(secret_hash(secret)) == 64


@pytest.mark.parametrize(
    ("public_url", "headers", "expected"),
    [
        ("https://hub.example.com", {"host": "elsewhere.example"}, "https://hub.example.com"),
        (None, {"host": "hub.example.com"}, "http://hub.example.com"),
        (None, {"host": "hub.example.com", "x_forwarded_proto": "https"}, "https://hub.example.com"),
        (None, {"host": "hub.example.com:8443"}, "http://hub.example.com:8443"),
        (None, {}, "http://127.0.0.1:8000"),
        (None, {"host": ""}, "http://127.0.0.1:8000"),
        (None, {"host": 'x" onload="'}, "http://127.0.0.1:8000"),
        (None, {"host": "a@b"}, "http://127.0.0.1:8000"),
        (None, {"host": "a/b"}, "http://127.0.0.1:8000"),
    ],
)
def test_base_url_is_the_configured_one_or_the_askers(
    public_url: str | None, headers: dict[str, str], expected: str
) -> None:
    assert an_auth(public_url).base_url(a_request(**headers)) == expected


def test_base_url_of_a_hub_on_ipv6_has_brackets_though_its_asker_names_no_host() -> None:
    request = a_request("::1")
    request.scope["server"] = ("::1", 8000)
    assert an_auth().base_url(request) == "http://[::1]:8000"


def test_forwarded_proto_is_believed_of_trusted_proxies_only() -> None:
    request = a_request(client="203.0.113.9", host="hub.example.com", x_forwarded_proto="https")
    assert an_auth().base_url(request) == "http://hub.example.com"


OURS = [
    {"host": "hub.example.com", "origin": "http://hub.example.com"},
    {"host": "hub.example.com:80", "origin": "http://hub.example.com"},
    {"host": "hub.example.com", "origin": "http://HUB.example.com"},
    {"host": "hub.example.com", "origin": "https://hub.example.com", "x_forwarded_proto": "https"},
    {"host": "hub.example.com:443", "origin": "https://hub.example.com", "x_forwarded_proto": "https"},
    {"host": "[::1]:8000", "origin": "http://[::1]:8000"},
    {"host": "hub.example.com"},
    {"host": "hub.example.com", "sec_fetch_site": "same-origin"},
    {"host": "hub.example.com", "sec_fetch_site": "none"},
]
FOREIGN = [
    {"host": "hub.example.com", "origin": "http://evil.example"},
    {"host": "hub.example.com", "origin": "null"},
    {"host": "hub.example.com", "origin": ""},
    {"host": "hub.example.com", "origin": "https://hub.example.com"},
    {"host": "hub.example.com", "origin": "http://hub.example.com", "x_forwarded_proto": "https"},
    {"host": "hub.example.com", "origin": "http://hub.example.com:8080"},
    {"host": "hub.example.com", "origin": "http://hub.example.com.evil.example"},
    {"host": "hub.example.com", "origin": "http://sub.hub.example.com"},
    {"host": "hub.example.com", "origin": "http://hub.example.com/evil"},
    {"host": "hub.example.com", "origin": "http://evil.example@hub.example.com"},
    {"host": "hub.example.com", "origin": "http://hub.example.com?evil"},
    {"host": "hub.example.com", "origin": "http://hub.example.com#evil"},
    {"host": "hub.example.com", "origin": "http://hub.example.com:99999"},
    {"host": "hub.example.com", "origin": "http://["},
    {"host": "", "origin": ""},
    {"host": "hub.example.com", "sec_fetch_site": "cross-site"},
    {"host": "hub.example.com", "sec_fetch_site": "same-site"},
]


@pytest.mark.parametrize("headers", OURS)
def test_origin_of_ours_is_let_in(headers: dict[str, str]) -> None:
    an_auth().check_origin(a_request(**headers))


@pytest.mark.parametrize("headers", FOREIGN)
def test_origin_that_is_foreign_is_a_403(headers: dict[str, str]) -> None:
    with pytest.raises(Problem) as caught:
        an_auth().check_origin(a_request(**headers))
    assert caught.value.status == 403


def test_origin_of_the_public_url_is_ours_whatever_the_host_says() -> None:
    auth = an_auth("https://hub.example.com")
    auth.check_origin(a_request(host="10.0.0.7:8000", origin="https://hub.example.com"))
    an_auth("https://hub.example.com/glimpse").check_origin(a_request(host="x", origin="https://hub.example.com"))
    auth.check_origin(a_request(host="10.0.0.7:8000", origin="http://10.0.0.7:8000"))
    with pytest.raises(Problem):
        auth.check_origin(a_request(host="10.0.0.7:8000", origin="http://hub.example.com"))


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER   "])
async def test_token_is_taken_with_any_spelling_of_bearer(hub: Hub, sender: Sender, scheme: str) -> None:
    answer = await hub.client(authorization=scheme + sender.token).get("/me")
    assert answer.json()["id"] == sender.id


@pytest.mark.parametrize("length", [1, 7, 8, 9, 42, 50, 52, 100, 1000, 10_000])
async def test_token_of_any_length_that_is_not_one_is_a_401(hub: Hub, length: int) -> None:
    text = ("glimpse_" + "a" * length)[:length]
    answer = await hub.client(authorization=f"Bearer {text}").get("/me")
    assert_problem(answer, 401)
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Basic dXNlcjpwYXNz", "Token x", "Bearer\tx", "Bearer a b", "\xe4\xff"]
)
async def test_authorization_that_is_no_token_is_a_401(hub: Hub, header: str) -> None:
    headers = [(b"authorization", header.encode("latin-1"))]
    assert_problem(await hub.http.get("/api/v1/me", headers=headers), 401)


async def test_token_with_another_case_or_one_letter_less_is_a_401(hub: Hub, sender: Sender) -> None:
    for wrong in (sender.token.upper(), sender.token[:-1], sender.token + "A", sender.token.removeprefix("glimpse_")):
        assert_problem(await hub.client(authorization=f"Bearer {wrong}").get("/me"), 401)


async def test_token_is_not_taken_from_the_address(hub: Hub, sender: Sender) -> None:
    for name in ("token", "access_token", "authorization"):
        answer = await hub.http.get("/api/v1/me", params={name: sender.token})
        assert_problem(answer, 401)


async def test_authorization_header_goes_before_the_cookie(sender: Sender) -> None:
    browser = await sender.log_in()
    assert_problem(await browser.get("/me", headers={"authorization": "Bearer wrong"}), 401)
    assert (await browser.get("/me")).status_code == 200


@pytest.mark.parametrize("proxys", ["Basic dXNlcjpwYXNz", "Digest username=x", "Negotiate YII=", ""])
async def test_cookie_counts_beside_what_the_browser_tells_a_proxy(hub: Hub, sender: Sender, proxys: str) -> None:
    browser = await sender.log_in(authorization=proxys)
    assert (await browser.get("/me")).status_code == 200
    assert_problem(await browser.post("/messages/mute-all", headers={"origin": "https://evil.example"}), 403)
    assert (await browser.post("/messages/mute-all", headers={"origin": hub.origin})).status_code == 200


async def test_cookie_with_a_foreign_origin_may_read_but_change_nothing(hub: Hub, sender: Sender) -> None:
    browser = await sender.log_in()
    foreign = {"origin": "https://evil.example"}
    assert (await browser.get("/me", headers=foreign)).status_code == 200
    body = {"realtime_notifications": False}
    assert_problem(await browser.patch("/settings", json=body, headers=foreign), 403)
    assert_problem(await browser.post("/messages/mute-all", headers=foreign), 403)
    assert_problem(await browser.delete("/session", headers=foreign), 403)
    assert (await browser.get("/me")).json()["settings"]["realtime_notifications"]
    assert (await browser.patch("/settings", json=body, headers={"origin": hub.origin})).status_code == 200


async def test_token_needs_no_origin(sender: Sender) -> None:
    answer = await sender.http.patch(
        "/settings", json={"realtime_notifications": False}, headers={"origin": "https://mail.example"}
    )
    assert answer.status_code == 200


async def test_token_that_is_revoked_while_a_body_comes_is_a_401(hub: Hub, sender: Sender) -> None:
    made = await sender.post("/tokens", {"name": "plugin"})

    async def body() -> AsyncIterator[bytes]:
        yield b'{"subject": "x", '
        assert (await sender.http.delete(f"/tokens/{made['id']}")).status_code == 204
        yield b'"recipients": [{"address": "a@example.com"}]}'

    plugin = hub.client(authorization=f"Bearer {made['token']}")
    assert_problem(await plugin.post("/messages", content=body()), 401)
    assert (await sender.get("/messages"))["items"] == []


async def test_token_says_when_it_was_used(sender: Sender) -> None:
    await sender.get("/me")
    [token] = (await sender.get("/tokens"))["items"]
    assert token["last_used_at"] is not None


async def test_later_use_of_a_token_is_noted_once_a_minute_is_over(embedded: Store) -> None:
    user, secret, clock = await embedded.sender(), new_secret(), ManualClock()
    auth = Auth(embedded.credentials, public_url=None, trusted_proxies=TrustedProxies(()), clock=clock)
    await embedded.credentials.add_token(user.id, "laptop", secret_hash(secret), T0)
    noted = []
    for later in (0, 59_000, 2_000):
        clock.forward(later)
        assert await auth.by_token(secret) is not None
        [token] = await embedded.credentials.tokens_of(user.id)
        noted.append(token.last_used_at)
    assert noted == [T0, T0, T0 + 61_000]


@pytest.mark.parametrize("cookie", ["glimpse=", "glimpse=x", "glimpse=" + "x" * 5000, "glimpse", "=;;=", "\xff=\xfe"])
async def test_cookie_that_is_no_session_is_a_401(hub: Hub, cookie: str) -> None:
    headers = [(b"cookie", cookie.encode("latin-1"))]
    assert_problem(await hub.http.get("/api/v1/me", headers=headers), 401)
