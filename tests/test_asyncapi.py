"""The AsyncAPI document is complete and has every frame; `tests.documents` compares it with the frames really sent."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, get_args

import jsonschema_rs
import msgspec
import pytest

from hub.api.asyncapi import document
from hub.api.documents import EVENTS
from hub.live import frames
from hub.live.close_codes import CloseCode
from hub.model import EventType
from tests.api import MACHINE, Hub, Sender
from tests.documents import assert_sayable, assert_told
from tests.test_openapi import references

DOCUMENT = document()
MESSAGES = DOCUMENT["components"]["messages"]


def found(reference: str) -> Any:
    """What a reference in the document leads to."""
    node: Any = DOCUMENT
    for step in reference.removeprefix("#/").split("/"):
        node = node[step]
    return node


async def test_document_is_served_to_anybody(hub: Hub) -> None:
    answer = await hub.http.get("/api/v1/asyncapi.json")
    assert answer.status_code == 200
    assert answer.json() == json.loads(json.dumps(DOCUMENT))


def test_references_lead_somewhere_and_nothing_is_left_over() -> None:
    used = set(references(DOCUMENT))
    assert all(found(reference) for reference in used)
    for kind in ("messages", "schemas", "securitySchemes"):
        assert {f"#/components/{kind}/{name}" for name in DOCUMENT["components"][kind]} <= used


def test_each_schema_of_a_frame_is_valid() -> None:
    for schema in DOCUMENT["components"]["schemas"].values():
        jsonschema_rs.meta.validate(schema)


def test_every_object_in_a_frame_names_its_fields() -> None:
    """A client generated from the document could not get at fields without a name."""

    def objects(node: Any) -> Iterator[dict[str, Any]]:
        if isinstance(node, dict):
            if node.get("type") == "object":
                yield node
            for each in node.values():
                yield from objects(each)

    assert all("properties" in each for each in objects(DOCUMENT["components"]["schemas"]))


def test_every_frame_is_documented_in_its_direction() -> None:
    tags = {
        type_.__struct_config__.tag
        for type_ in vars(frames).values()
        if isinstance(type_, type) and issubclass(type_, msgspec.Struct) and type_.__struct_config__.tag
    }
    by_operation = {
        name: {found(each["$ref"])["$ref"].rpartition("/")[2] for each in operation["messages"]}
        for name, operation in DOCUMENT["operations"].items()
    }
    assert by_operation["hear"] == {type_.__struct_config__.tag for type_ in get_args(frames.Said)}
    assert by_operation["hear"] | by_operation["tell"] == tags | {"event"} == MESSAGES.keys()
    assert {name: each["action"] for name, each in DOCUMENT["operations"].items()} == {
        "hear": "receive",
        "tell": "send",
    }


def test_every_type_of_event_and_every_close_code_is_documented() -> None:
    told = [each for _, types in EVENTS.values() for each in types]
    assert sorted(told) == sorted(get_args(EventType))
    described = DOCUMENT["channels"]["socket"]["description"]
    assert {int(code) for code in re.findall(r"\b[14]\d{3}\b", described)} == set(CloseCode)


@pytest.mark.parametrize("type_", get_args(EventType))
def test_event_type_says_what_is_in_its_data(type_: str) -> None:
    """A client generated from the document tells the kinds of events apart by their type alone."""
    event = {"specversion": "1.0", "id": "x-1", "source": "https://hub.example.com", "type": type_}
    event |= {"time": "2026-11-23T14:01:02.345Z", "sequence": "1", "sequencetype": "Integer"}
    event |= {"datacontenttype": "application/json"}
    for data, right in (({"sequence": 1}, "notifications.seen"), ({"muted_all_at": event["time"]}, "messages.muted")):
        frame = {"type": "event", "event": {**event, "data": data}}
        if type_ == right:
            assert_told(frame)
        else:
            with pytest.raises(jsonschema_rs.ValidationError):
                assert_told(frame)


async def test_every_event_that_is_told_is_as_documented(sender: Sender) -> None:
    """`Socket.hear` checks each event against the document; this test sees to it that all types are heard."""
    async with sender.socket(stream="history") as (socket, _):
        message = await sender.register()
        await sender.hit(message)
        await sender.hit(message, user_agent=MACHINE)
        await sender.patch(f"/messages/{message['id']}", muted=True)
        await sender.post("/messages/mute-all")
        await sender.patch("/settings", realtime_notifications=False)
        await sender.post("/seen", {"sequence": 1})
        await sender.post(f"/messages/{message['id']}/viewing")
        heard: set[str] = set()
        while heard != set(get_args(EventType)):
            heard.add((await socket.event())["type"])


RIGHT: list[dict[str, Any]] = [
    {"type": "connect"},
    {"type": "connect", "token": "t", "stream": "history", "after": 0},
    {"type": "connect", "token": None, "after": None},
    {"type": "viewing", "message_id": "x"},
    {"type": "seen", "sequence": 3},
]
WRONG: list[dict[str, Any]] = [
    {"type": "connect", "stream": "all"},
    {"type": "connect", "after": -1},
    {"type": "connect", "after": 2**53 + 1},
    {"type": "connect", "more": 1},
    {"type": "viewing"},
    {"type": "seen", "sequence": "3"},
]


@pytest.mark.parametrize("frame", RIGHT)
def test_frame_that_the_document_allows_is_taken(frame: dict[str, Any]) -> None:
    assert_sayable(frame)
    frames.decode(json.dumps(frame))


@pytest.mark.parametrize("frame", WRONG)
def test_frame_that_the_document_forbids_is_refused(frame: dict[str, Any]) -> None:
    with pytest.raises(jsonschema_rs.ValidationError):
        assert_sayable(frame)
    with pytest.raises(msgspec.ValidationError):
        frames.decode(json.dumps(frame))


def test_frame_with_a_field_or_type_that_is_not_documented_is_noticed() -> None:
    with pytest.raises(jsonschema_rs.ValidationError):
        assert_told({"type": "heartbeat", "sequence": 1, "more": 1})
    with pytest.raises(AssertionError, match="no frame"):
        assert_told({"type": "hello"})
