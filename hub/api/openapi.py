"""The OpenAPI 3.1 document of the REST API, made from the same types that read and write it.

Promise: a body or answer here is the type the code uses, so the document cannot say what the code does not.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from msgspec import Struct

from hub.api.asked import MOST_PAGE_ITEMS, MOST_TEXT, PAGE_ITEMS
from hub.api.auth import HTTPS_COOKIE
from hub.api.documents import EVENTS, VERSION, References, schemas, tell_events_apart
from hub.api.messages import MOST_KEY, MessageBody, MessagePage, MessagePatch
from hub.api.opens import EVENTS_LIMIT, EventPage, OpenPage
from hub.api.problems import MEDIA_TYPE, ProblemView
from hub.api.session import LoginBody
from hub.api.settings import (
    MePatch,
    SeenBody,
    SessionPage,
    SettingsPatch,
    TokenBody,
    TokenPage,
    TokenView,
)
from hub.live.websocket import SUBPROTOCOL
from hub.model import ID_CHARACTERS, MOST_NUMBER
from hub.wire import EVENT_DATA, MessageView, MeView, MutedData, SettingsView

LISTED = ("limit", "cursor")


class Operation(NamedTuple):
    """One call, what it is for, the type and the status of its answer, the type of its body, and its query.

    `limit` is how many items a page has unless another number is asked for.
    """

    method: str
    path: str
    summary: str
    reply: type[Struct] | None = None
    status: int = 200
    body: type[Struct] | None = None
    query: tuple[str, ...] = ()
    limit: int = PAGE_ITEMS


OPERATIONS = (
    Operation("get", "/me", "Who is asking", MeView),
    Operation("patch", "/me", "Change the name or the password", MeView, body=MePatch),
    Operation("patch", "/settings", "Turn real-time notifications on or off", SettingsView, body=SettingsPatch),
    Operation("post", "/session", "Log in", MeView, body=LoginBody),
    Operation("delete", "/session", "Log out", status=204),
    Operation("post", "/messages", "Register a message", MessageView, 201, MessageBody),
    Operation(
        "get",
        "/messages",
        "Messages, newest first",
        MessagePage,
        query=(*LISTED, "q", "opened", "template"),
    ),
    Operation("get", "/messages/{id}", "One message", MessageView),
    Operation(
        "patch",
        "/messages/{id}",
        "Mute a message, or set what is learned later",
        MessageView,
        body=MessagePatch,
    ),
    Operation("post", "/messages/mute-all", "Silence everything registered so far", MutedData),
    Operation("post", "/messages/{id}/viewing", "The sender is looking at this message", status=204),
    Operation(
        "get",
        "/messages/{id}/opens",
        "The opens of a message, newest first",
        OpenPage,
        query=(*LISTED, "all"),
    ),
    Operation("get", "/opens", "The opens of all messages, newest first", OpenPage, query=(*LISTED, "all")),
    Operation(
        "get",
        "/events",
        "The log after a sequence",
        EventPage,
        query=("after", "limit"),
        limit=EVENTS_LIMIT,
    ),
    Operation("post", "/seen", "Mark notifications as read", status=204, body=SeenBody),
    Operation("get", "/tokens", "API tokens", TokenPage),
    Operation("post", "/tokens", "Make an API token, shown this once", TokenView, 201, TokenBody),
    Operation("delete", "/tokens/{id}", "Revoke an API token", status=204),
    Operation("get", "/sessions", "Where one is logged in", SessionPage),
    Operation("delete", "/sessions/{id}", "End a session", status=204),
)

PARAMETERS: dict[str, dict[str, Any]] = {
    "limit": {"type": "integer", "minimum": 1, "maximum": MOST_PAGE_ITEMS},
    "cursor": {"type": "string", "minLength": ID_CHARACTERS, "maxLength": ID_CHARACTERS},
    "q": {"type": "string", "maxLength": MOST_TEXT},
    "template": {"type": "string", "maxLength": MOST_TEXT},
    "opened": {"type": "boolean"},
    "all": {"type": "boolean", "default": False},
    "after": {"type": "integer", "format": "int64", "minimum": 0, "maximum": MOST_NUMBER, "default": 0},
    "stream": {"type": "string", "enum": ["notifications", "history"], "default": "notifications"},
    "last_event_id": {"type": "integer", "format": "int64", "minimum": 0, "maximum": MOST_NUMBER},
}
DOCUMENTS = {
    "openapi": "This document",
    "asyncapi": "What is said on the WebSocket, in AsyncAPI 3",
}
PROBLEMS = {
    400: "A body that ended early",
    401: "No credentials, or none that are valid",
    403: "A cookie from a page that is not the hub's own",
    404: "No such thing, or somebody else's",
    408: "A body that took too long",
    413: "A body over 256 KiB",
    422: "A body or query that is wrong; `errors` names the fields",
    429: "Too many; `Retry-After` says when to try again",
    503: "The database is away; try again",
}


def document() -> dict[str, Any]:
    """The OpenAPI document."""
    types: list[type[Struct]] = []
    for each in OPERATIONS:
        types += [type_ for type_ in (each.body, each.reply) if type_ is not None and type_ not in types]
    extra: tuple[type[Struct], ...] = (ProblemView, *EVENT_DATA)
    types += [type_ for type_ in extra if type_ not in types]
    refs, components = schemas(types)
    tell_events_apart(components, refs)
    components["EventView"]["discriminator"] = {
        "propertyName": "type",
        "mapping": {each: f"#/components/schemas/{name}" for name, (_, told) in EVENTS.items() for each in told},
    }
    paths: dict[str, dict[str, Any]] = {}
    for each in OPERATIONS:
        paths.setdefault(each.path, {})[each.method] = _operation(each, refs)
    paths["/stream"] = {"get": _stream(refs)}
    paths["/ws"] = {"get": _socket(refs)}
    for name, summary in DOCUMENTS.items():
        paths[f"/{name}.json"] = {"get": _document(name, summary, refs)}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Glimpse",
            "version": VERSION,
            "description": "Tells a sender, at once, that a mail was opened. What is said on the WebSocket is in "
            "/api/v1/asyncapi.json.",
        },
        "servers": [{"url": "/api/v1"}],
        "security": [{"token": []}, {"session": []}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": HTTPS_COOKIE},
            },
        },
    }


def _operation(asked: Operation, refs: References) -> dict[str, Any]:
    known = PARAMETERS | {"limit": {**PARAMETERS["limit"], "default": asked.limit}}
    parameters: list[dict[str, Any]] = [{"name": name, "in": "query", "schema": known[name]} for name in asked.query]
    if "{id}" in asked.path:
        own: dict[str, Any] = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
        parameters.insert(0, own)
    if (asked.method, asked.path) == ("post", "/messages"):
        schema = {"type": "string", "minLength": 1, "maxLength": MOST_KEY}
        parameters.append({"name": "Idempotency-Key", "in": "header", "schema": schema})
    success: dict[str, Any] = {"description": asked.summary}
    if asked.reply is not None:
        success["content"] = {"application/json": {"schema": refs[asked.reply]}}
    words = (part.strip("{}").title() for part in asked.path.replace("-", "/").split("/"))
    operation: dict[str, Any] = {
        "operationId": asked.method + "".join(words),
        "summary": asked.summary,
        "parameters": parameters,
        "responses": {str(asked.status): success, **_problems(refs)},
    }
    if asked.body is not None:
        content = {"application/json": {"schema": refs[asked.body]}}
        operation["requestBody"] = {"required": True, "content": content}
    if (asked.method, asked.path) == ("post", "/session"):
        operation["security"] = []
    return operation


def _stream(refs: References) -> dict[str, Any]:
    return {
        "operationId": "getStream",
        "summary": "Events as they happen, as server-sent events",
        "parameters": [
            *({"name": name, "in": "query", "schema": PARAMETERS[name]} for name in ("stream", "last_event_id")),
            {"name": "Last-Event-ID", "in": "header", "schema": PARAMETERS["last_event_id"]},
        ],
        "responses": {
            "200": {
                "description": "A stream that ends after about ten minutes; come back with Last-Event-ID",
                "content": {"text/event-stream": {"schema": {"type": "string"}}},
            },
            **_problems(refs),
        },
    }


def _socket(refs: References) -> dict[str, Any]:
    """The WebSocket as far as HTTP goes, which is all that OpenAPI can describe."""
    header: dict[str, Any] = {
        "name": "Sec-WebSocket-Protocol",
        "in": "header",
        "schema": {"type": "string", "const": SUBPROTOCOL},
    }
    problems = _problems(refs)
    return {
        "operationId": "getWs",
        "summary": "Events as they happen, as a WebSocket",
        "description": "An upgrade to a WebSocket with the subprotocol glimpse.v1. What is said on it, and the codes "
        "it is closed with, are in /api/v1/asyncapi.json. Without an Authorization header or the session's cookie, the "
        "first frame carries an API token; a token that is not valid is told by the close code 4401.",
        # The empty one is for a client that shows its token in the first frame.
        "security": [{"token": []}, {"session": []}, {}],
        "parameters": [header],
        "responses": {
            "101": {
                "description": "The WebSocket is open; the client's connect frame is due within 10 s",
                "headers": {"Sec-WebSocket-Protocol": {"schema": header["schema"]}},
            },
            "403": problems["403"],
            "426": {**problems["400"], "description": "A request that asks for no WebSocket"},
            "503": {**problems["503"], "description": "The database is away or the server is going down; try again"},
        },
    }


def _document(name: str, summary: str, refs: References) -> dict[str, Any]:
    content = {"application/json": {"schema": {"type": "object"}}}
    return {
        "operationId": f"get{name.title()}",
        "summary": summary,
        "parameters": [],
        "security": [],
        "responses": {"200": {"description": summary, "content": content}, **_problems(refs)},
    }


def _problems(refs: References) -> dict[str, Any]:
    content = {MEDIA_TYPE: {"schema": refs[ProblemView]}}
    return {str(status): {"description": text, "content": content} for status, text in PROBLEMS.items()}
