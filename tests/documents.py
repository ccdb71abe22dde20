"""The hub's OpenAPI and AsyncAPI documents, compared with its actual answers and frames.

Promise: the clients of `tests.api` and `tests.plugins` pass every answer and every frame to this module, so each test
that talks to a hub also tests its documents. The check is stricter than the documents: a field that they do not name
is an error.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

import httpx
import jsonschema_rs

from hub.api.asyncapi import document as asyncapi_document
from hub.api.openapi import document as openapi_document

BASE_PATH = "/api/v1"
OPENAPI = openapi_document()
ASYNCAPI = asyncapi_document()
NOT_OF_AN_OPERATION = {404, 405}
"""The statuses for a path that does not exist, and for a method that a path does not take."""


def strict(document: Mapping[str, Any]) -> dict[str, Any]:
    """The components of a document, changed so that an object may have only the fields that are named there."""
    components = copy.deepcopy(document["components"])
    for schema in components["schemas"].values():
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
    return {"components": components}


OPENAPI_PARTS, ASYNCAPI_PARTS = strict(OPENAPI), strict(ASYNCAPI)
PATHS = {
    re.compile(re.sub(r"\{\w+\}", "[^/]+", path)): path
    for path in sorted(OPENAPI["paths"], key=lambda path: path.count("{"))
}
"""The documented paths by the pattern of the addresses they match; those without parameters come first."""


def assert_documented(answer: httpx.Response) -> None:
    """Check that the document has this answer under `/api/v1` for its operation: the status, the type and the body."""
    request = answer.request
    asked = request.url.path.removeprefix(BASE_PATH)
    path = next((PATHS[pattern] for pattern in PATHS if pattern.fullmatch(asked)), "")
    method = "get" if request.method == "HEAD" else request.method.lower()
    operation = OPENAPI["paths"].get(path, {}).get(method)
    if operation is None:
        known = asked in ("/openapi.json", "/asyncapi.json") or answer.status_code in NOT_OF_AN_OPERATION
        assert known, f"{request.method} {asked} is not documented, and was answered with {answer.status_code}"
        return
    status = str(answer.status_code)
    assert status in operation["responses"], f"{request.method} {path} answered {status}: {answer.text[:200]}"
    content = operation["responses"][status].get("content")
    if content is None or request.method == "HEAD":
        assert not answer.content, f"{request.method} {path} answered {status} with a body"
        return
    kind = answer.headers["content-type"].partition(";")[0]
    assert kind in content, f"{request.method} {path} answered with {kind}"
    if kind != "text/event-stream":
        _answer_validator(path, method, status, kind).validate(answer.json())


async def check_answer(answer: httpx.Response) -> None:
    """`assert_documented` as a hook of a client. The body of a stream is left to its reader."""
    # The preflight that a browser sends before a call is no operation of the API.
    is_preflight = "access-control-request-method" in answer.request.headers
    if answer.request.url.path.startswith(BASE_PATH) and not is_preflight:
        if answer.request.method == "HEAD" or "text/event-stream" not in answer.headers.get("content-type", ""):
            await answer.aread()
        assert_documented(answer)


def assert_told(frame: Mapping[str, Any]) -> None:
    """Check that the document has this frame among those that a hub sends."""
    _frame_validator("tell", str(frame.get("type"))).validate(frame)


def assert_streamed(block: Mapping[str, str]) -> None:
    """Check a block of server-sent events, for which OpenAPI has no schema: sockets are told of the same events."""
    if "event" not in block:
        assert block.keys() <= {"", "id", "retry"}, block
        return
    data = json.loads(block["data"])
    if block["event"] == "reset":
        assert data == {"sequence": int(block["id"])}
    else:
        assert_told({"type": "event", "event": data})
        assert (block["id"], block["event"]) == (data["sequence"], data["type"])


def assert_sayable(frame: Mapping[str, Any]) -> None:
    """Check that the document has this frame among those that a client may send."""
    _frame_validator("hear", str(frame.get("type"))).validate(frame)


@cache
def _answer_validator(path: str, method: str, status: str, kind: str) -> jsonschema_rs.Validator:
    schema = OPENAPI["paths"][path][method]["responses"][status]["content"][kind]["schema"]
    return jsonschema_rs.Draft202012Validator({**schema, **OPENAPI_PARTS})


@cache
def _frame_validator(operation: str, name: str) -> jsonschema_rs.Validator:
    reference = {"$ref": f"#/channels/socket/messages/{name}"}
    assert reference in ASYNCAPI["operations"][operation]["messages"], f"no frame {name!r} is documented"
    return jsonschema_rs.Draft7Validator({**ASYNCAPI["components"]["messages"][name]["payload"], **ASYNCAPI_PARTS})
