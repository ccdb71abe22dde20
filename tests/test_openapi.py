"""The OpenAPI document: valid, complete, and true of real answers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import jsonschema_rs
import pytest
import schemathesis
from starlette.routing import Mount, Route, WebSocketRoute
from websockets.exceptions import InvalidStatus

from hub.api.asyncapi import document as asyncapi_document
from hub.api.openapi import document
from tests.api import PASSWORD, Hub, Sender

DOCUMENT, ASYNCAPI = document(), asyncapi_document()
STREAMS = ("/stream", "/ws")
OPERATIONS = [(method, path) for path, item in DOCUMENT["paths"].items() for method in item]


def schema_of(reference: dict[str, Any]) -> jsonschema_rs.Validator:
    """A validator of a schema in the document, with its references resolved there."""
    return jsonschema_rs.Draft202012Validator({**reference, "components": DOCUMENT["components"]})


def assert_documented(answer: httpx.Response, method: str, path: str) -> None:
    """Check that the document describes the answer."""
    responses = DOCUMENT["paths"][path][method]["responses"]
    assert str(answer.status_code) in responses, f"{method} {path} answered {answer.status_code}"
    content = responses[str(answer.status_code)].get("content")
    if content is None:
        assert answer.content == b""
        return
    kind = answer.headers["content-type"].partition(";")[0]
    assert kind in content
    if kind != "text/event-stream":
        schema_of(content[kind]["schema"]).validate(answer.json())


async def test_document_is_served_as_it_is_made(hub: Hub) -> None:
    answer = await hub.http.get("/api/v1/openapi.json")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json() == DOCUMENT == json.loads(json.dumps(DOCUMENT))


def test_document_is_valid_openapi_3_1() -> None:
    assert DOCUMENT["openapi"].startswith("3.1.")
    schemathesis.openapi.from_dict(DOCUMENT).validate()
    for schema in DOCUMENT["components"]["schemas"].values():
        jsonschema_rs.meta.validate(schema)


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref":
                yield value
            else:
                yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def test_references_of_the_document_lead_somewhere_and_nothing_is_left_over() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    used = {reference.rpartition("/")[2] for reference in references(DOCUMENT)}
    assert used == schemas.keys()


@pytest.mark.parametrize("made", [DOCUMENT, ASYNCAPI], ids=["openapi", "asyncapi"])
def test_schemas_suit_the_generators_of_clients(made: dict[str, Any]) -> None:
    """oapi-codegen types an enum by its `type` alone, openapi-typescript takes a field with a default for one that is
    always there, and ogen and openapi-generator fail at a default that is null."""

    def nodes(node: Any) -> Iterator[dict[str, Any]]:
        if isinstance(node, dict):
            yield node
        for each in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
            yield from nodes(each)

    schemas = made["components"]["schemas"]
    for node in nodes(schemas):
        assert "default" not in node
        assert node.get("type") == "string" or "enum" not in node
        assert node.get("type") != "integer" or node["format"] == "int64"
    for name in ("Place", "Device"):
        assert set(schemas[name]["required"]) == schemas[name]["properties"].keys()


def test_defaults_of_a_body_are_told_in_words() -> None:
    body = DOCUMENT["components"]["schemas"]["MessageBody"]
    assert body["required"] == ["subject", "recipients"]
    told = {name: field.get("description") for name, field in body["properties"].items()}
    assert told["format"] == '"html" unless told otherwise'
    assert told["template"] is None


def test_every_time_has_the_format_of_one() -> None:
    for name, schema in DOCUMENT["components"]["schemas"].items():
        for field, described in schema.get("properties", {}).items():
            if field == "at" or field.endswith("_at"):
                formats = {kind.get("format") for kind in described.get("anyOf", [described])}
                assert "date-time" in formats, f"{name}.{field}"


def test_operation_ids_are_unique() -> None:
    ids = [DOCUMENT["paths"][path][method]["operationId"] for method, path in OPERATIONS]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z][A-Za-z]*", each) for each in ids)


async def test_document_has_every_route_and_no_other(hub: Hub) -> None:
    [api] = [route for route in hub.app.routes if isinstance(route, Mount) and route.path == "/api/v1"]
    routed = {
        (method.lower(), route.path)
        for route in api.routes
        if isinstance(route, Route)
        for method in route.methods or ()
        if method != "HEAD"
    } | {("get", route.path) for route in api.routes if isinstance(route, WebSocketRoute)}
    assert routed == set(OPERATIONS)


@pytest.mark.parametrize("path", [path for method, path in OPERATIONS if method == "get" and path not in STREAMS])
async def test_parameters_that_are_documented_are_taken_and_others_are_not(sender: Sender, path: str) -> None:
    message = await sender.register()
    address = path.replace("{id}", message["id"])
    examples = {"limit": 5, "cursor": message["id"], "opened": "true", "all": "true", "after": 0}
    documented = [each["name"] for each in DOCUMENT["paths"][path]["get"]["parameters"] if each["in"] == "query"]
    for name in documented:
        answer = await sender.http.get(address, params={name: examples.get(name, "x")})
        assert answer.status_code == 200, (name, answer.text)
    assert (await sender.http.get(address, params={"undocumented": "1"})).status_code == 422


async def test_real_answers_are_as_documented(hub: Hub, sender: Sender) -> None:
    seen: set[tuple[str, str]] = set()

    async def ask(
        method: str, path: str, body: Any = None, client: httpx.AsyncClient | None = None, **names: str
    ) -> Any:
        seen.add((method, path))
        content = None if body is None else json.dumps(body)
        request = (client or sender.http).request(method.upper(), path.format(**names), content=content)
        answer = await request
        assert answer.is_success, answer.text
        assert_documented(answer, method, path)
        if answer.request.content:
            described = DOCUMENT["paths"][path][method]["requestBody"]["content"]["application/json"]["schema"]
            schema_of(described).validate(json.loads(answer.request.content))
        return answer.json() if answer.content else None

    message = await ask(
        "post",
        "/messages",
        {
            "subject": "Proposal",
            "recipients": [{"address": "a@example.com", "name": "A"}, {"address": "b@example.com"}],
            "pixels": "per_recipient",
            "template": "welcome",
            "sent_at": None,
            "provider": {"name": "gmail", "message_id": "m", "thread_id": "t"},
            "crm": {"system": "s", "record_id": "r", "url": "https://crm.example.com/r"},
        },
    )
    await ask("post", "/messages", {"subject": "", "recipients": [{"address": "a@example.com"}], "format": "plain"})
    own = {"id": message["id"]}
    await ask("patch", "/messages/{id}", {"sent_at": "2024-05-01T12:00:00Z", "muted": False, "crm": None}, **own)
    for pixel in (0, 1):
        await sender.hit(message, pixel)
    await ask("post", "/messages/{id}/viewing", **own)
    await ask("post", "/messages/mute-all")
    await ask("patch", "/settings", {"realtime_notifications": False})
    await ask("post", "/seen", {"sequence": 2})
    await ask("get", "/me")
    await ask("patch", "/me", {"name": "Another"})
    for path in ("/messages", "/messages/{id}", "/messages/{id}/opens", "/opens", "/tokens", "/sessions"):
        await ask("get", path, **own)
    events = (await ask("get", "/events"))["items"]
    assert {event["type"] for event in events} == set(
        DOCUMENT["components"]["schemas"]["EventView"]["discriminator"]["mapping"]
    )
    browser = hub.client()
    await ask("post", "/session", {"email": sender.email, "password": PASSWORD}, browser)
    await ask("get", "/sessions", None, browser)
    await ask("delete", "/session", None, browser)
    await sender.log_in()
    [session] = (await ask("get", "/sessions"))["items"]
    await ask("delete", "/sessions/{id}", id=session["id"])
    token = await ask("post", "/tokens", {"name": "plugin"})
    await ask("delete", "/tokens/{id}", id=token["id"])
    for path in ("/openapi.json", "/asyncapi.json"):
        await ask("get", path)
    seen.add(("get", "/stream"))
    assert_documented(await sender.http.head("/stream"), "get", "/stream")
    seen.add(("get", "/ws"))
    assert seen == set(OPERATIONS)


async def test_socket_is_opened_and_refused_as_documented(hub: Hub, sender: Sender) -> None:
    described = DOCUMENT["paths"]["/ws"]["get"]
    [offered] = described["parameters"]
    async with hub.socket(subprotocols=[offered["schema"]["const"]]) as socket:
        answer = socket.connection.response
        assert answer is not None
        assert str(answer.status_code) in described["responses"]
        [named] = described["responses"][str(answer.status_code)]["headers"]
        schema_of(offered["schema"]).validate(answer.headers[named])
    browser = await sender.log_in()
    foreign = {"origin": "https://evil.example", "cookie": f"glimpse={browser.cookies['glimpse']}"}
    with pytest.raises(InvalidStatus) as refused:
        async with hub.socket(additional_headers=foreign):
            pass
    said = refused.value.response
    content = described["responses"][str(said.status_code)]["content"]
    schema_of(content[said.headers["content-type"]]["schema"]).validate(json.loads(said.body))
    assert_documented(await sender.http.get("/ws"), "get", "/ws")


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
async def test_real_errors_are_as_documented(hub: Hub, sender: Sender, method: str, path: str) -> None:
    address = path.replace("{id}", "06d80000000000000000000000")
    whole_body = {} if "requestBody" not in DOCUMENT["paths"][path][method] else {"content": b" " * 300_000}
    wrong: list[tuple[httpx.AsyncClient, str, dict[str, bytes]]] = [
        (hub.client(), address, {"content": b"{}"}),
        (sender.http, f"{address}?nonsense=1", {"content": b'{"nonsense":1}'}),
        (sender.http, f"{address}?nonsense=1", whole_body),
    ]
    for client, asked, options in wrong:
        answer = await client.request(method.upper(), asked, **options)  # type: ignore[arg-type]
        if not answer.is_success:
            assert_documented(answer, method, path)
