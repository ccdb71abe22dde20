"""Problems: all errors have one shape, the API's own and the router's."""

from __future__ import annotations

import json

import pytest

from hub.api.problems import FieldError, Problem, invalid_fields, on_database_away, on_exception
from hub.store.away import DatabaseAway, RowLocked
from tests.api import Hub, Sender, assert_problem


def test_problem_is_answered_as_rfc_9457_describes_it() -> None:
    response = Problem(429, "too-many", "Wait.", headers={"retry-after": "7"}).response()
    assert (response.status_code, response.media_type) == (429, "application/problem+json")
    assert response.headers["retry-after"] == "7"
    assert response.headers["cache-control"] == "no-store"
    assert json.loads(bytes(response.body)) == {
        "type": "urn:glimpse:problem:too-many",
        "title": "Too Many Requests",
        "status": 429,
        "detail": "Wait.",
    }


def test_problem_of_fields_names_every_one() -> None:
    problem = invalid_fields([FieldError("a", "is wrong"), FieldError("b[0]", "is missing")])
    body = json.loads(bytes(problem.response().body))
    assert body["status"] == 422
    assert body["errors"] == [{"field": "a", "detail": "is wrong"}, {"field": "b[0]", "detail": "is missing"}]


async def test_problem_of_a_defect_shows_nothing_of_the_inside() -> None:
    response = await on_exception(None, RuntimeError("reader@example.com"))  # type: ignore[arg-type]
    assert response.status_code == 500
    assert b"reader@example.com" not in bytes(response.body)
    assert json.loads(bytes(response.body))["type"] == "urn:glimpse:problem:internal"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (DatabaseAway("server db.internal is down"), "The database cannot be reached now; try again in a moment."),
        (RowLocked("of users"), "Another change holds up this one in the database; try again in a moment."),
    ],
)
async def test_problem_of_the_database_says_whether_it_is_away_or_busy_and_when_to_ask_again(
    error: DatabaseAway, said: str
) -> None:
    response = await on_database_away(None, error)  # type: ignore[arg-type]
    assert (response.status_code, response.headers["retry-after"]) == (503, "2")
    assert json.loads(bytes(response.body))["detail"] == said


@pytest.mark.parametrize(
    "path",
    ["/api/v1/nothing", "/api/v1", "/api/v1/", "/api/v2/me", "/nothing", "/static/nothing.js", "/o", "/api/v1/me/"],
)
async def test_unknown_address_is_a_404_problem(hub: Hub, path: str) -> None:
    assert_problem(await hub.http.get(path), 404)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/api/v1/me", {"GET", "HEAD", "PATCH"}),
        ("DELETE", "/api/v1/messages", {"GET", "HEAD", "POST"}),
        ("GET", "/api/v1/settings", {"PATCH"}),
        ("GET", "/api/v1/session", {"DELETE", "POST"}),
        ("GET", "/api/v1/seen", {"POST"}),
        ("POST", "/api/v1/stream", {"GET", "HEAD"}),
        ("POST", "/api/v1/openapi.json", {"GET", "HEAD"}),
        ("POST", "/o/x.gif", {"GET", "HEAD"}),
        ("DELETE", "/healthz", {"GET", "HEAD"}),
        ("POST", "/", {"GET", "HEAD"}),
        ("POST", "/docs", {"GET", "HEAD"}),
        ("OPTIONS", "/api/v1/me", {"GET", "HEAD", "PATCH"}),
    ],
)
async def test_other_method_is_a_405_problem_that_names_the_right_ones(
    hub: Hub, method: str, path: str, allowed: set[str]
) -> None:
    answer = await hub.http.request(method, path)
    assert_problem(answer, 405)
    assert set(answer.headers["allow"].split(", ")) == allowed


async def test_static_file_with_another_method_is_a_405_problem(hub: Hub) -> None:
    assert_problem(await hub.http.post("/static/client.js"), 405)


async def test_websocket_address_without_an_upgrade_is_a_problem(sender: Sender) -> None:
    answer = await sender.http.get("/ws")
    assert_problem(answer, 426)
    assert (answer.headers["connection"], answer.headers["upgrade"]) == ("upgrade", "websocket")
    assert answer.headers["sec-websocket-version"] == "13"


@pytest.mark.parametrize(
    ("method", "path", "content", "field"),
    [
        ("POST", "/messages", b"", "body"),
        ("POST", "/messages", b"{", "body"),
        ("POST", "/messages", b"\xff\xfe{}", "body"),
        ("POST", "/messages", b"[]", "body"),
        ("POST", "/messages", b"null", "body"),
        ("POST", "/messages", b'{"subject":"x"}', "recipients"),
        ("POST", "/messages", b'{"subject":7,"recipients":[]}', "subject"),
        ("POST", "/messages", b'{"subject":"x","recipients":[{"address":1}]}', "recipients[0].address"),
        ("POST", "/messages", b'{"subject":"x","recipients":[],"colour":1}', "colour"),
        ("POST", "/messages", b'{"subject":"\\ud800","recipients":[]}', "body"),
        ("POST", "/messages", b"[" * 200_000, "body"),
        ("PATCH", "/settings", b'{"realtime_notifications":"yes"}', "realtime_notifications"),
        ("PATCH", "/settings", b'{"realtime_notifications":null}', "realtime_notifications"),
        ("POST", "/seen", b'{"sequence":-1}', "sequence"),
        ("POST", "/seen", b'{"sequence":1e400}', "sequence"),
        ("POST", "/seen", b'{"sequence":1.5}', "sequence"),
        ("POST", "/seen", b'{"sequence":99999999999999999999999}', "sequence"),
        ("POST", "/tokens", b'{"name":""}', "name"),
        ("POST", "/tokens", b"{}", "name"),
        ("PATCH", "/me", b'{"password":{"current":"x"}}', "password.new"),
        ("PATCH", "/me", b'{"role":"admin"}', "role"),
    ],
)
async def test_wrong_body_is_a_422_problem_that_names_the_field(
    sender: Sender, method: str, path: str, content: bytes, field: str
) -> None:
    body = assert_problem(await sender.http.request(method, path, content=content), 422)
    assert [error["field"] for error in body["errors"]] == [field], body
    assert all(error["detail"] for error in body["errors"])


@pytest.mark.parametrize("path", ["/messages", "/session", "/settings", "/seen", "/tokens", "/me"])
async def test_body_over_256_kib_is_a_413_problem(sender: Sender, path: str) -> None:
    method = "PATCH" if path in ("/settings", "/me") else "POST"
    assert_problem(await sender.http.request(method, path, content=b" " * (256 * 1024 + 1)), 413)


@pytest.mark.parametrize(("method", "path"), [("POST", "/messages/mute-all"), ("DELETE", "/tokens/x"), ("GET", "/me")])
async def test_body_over_256_kib_is_a_413_also_where_none_is_read(sender: Sender, method: str, path: str) -> None:
    assert_problem(await sender.http.request(method, path, content=b" " * (256 * 1024 + 1)), 413)
