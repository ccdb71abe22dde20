"""The documents that describe the API to programs, as they are served."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from hub.api.asked import Query
from hub.model import EventType
from hub.wire import MessageData, MutedData, OpenData, SeenData, SettingsData

VERSION = "1.0.0"
"""The contract's version, in each of its documents."""

Schema: TypeAlias = dict[str, Any]
References: TypeAlias = dict[type[Struct], Schema]
"""For each type a reference to its schema."""


def schemas(types: Sequence[type[Struct]]) -> tuple[References, dict[str, Schema]]:
    """References to the schemas of these types, and all schemas by their names, so that client generators understand
    them.

    Tried 2026-11: oapi-codegen takes an enum without a type for anything; openapi-typescript takes a field with a
    default for one that is always sent, and ogen and openapi-generator stop at a default of null; all of them take what
    is not required in an answer for something that may be missing, and in Java and Rust an integer without a format has
    32 bits.
    """
    references, made = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    components = copy.deepcopy(made)
    for schema in components.values():
        is_asked = schema.get("additionalProperties") is False
        for name, field in schema.get("properties", {}).items():
            for choice in (field, *field.get("anyOf", ())):
                if "enum" in choice:
                    choice.setdefault("type", "string")
                if choice.get("type") == "integer":
                    choice["format"] = "int64"
            if "default" in field:
                default = field.pop("default")
                if not is_asked:
                    schema["required"].append(name)
                elif default is not None:
                    field["description"] = f"{json.dumps(default)} unless told otherwise"
    return dict(zip(types, references, strict=True)), components


EVENTS: dict[str, tuple[type[Struct], tuple[EventType, ...]]] = {
    "OpenEvent": (OpenData, ("open.recorded", "open.reclassified")),
    "MessageEvent": (MessageData, ("message.registered", "message.updated")),
    "MutedEvent": (MutedData, ("messages.muted",)),
    "SettingsEvent": (SettingsData, ("settings.updated",)),
    "SeenEvent": (SeenData, ("notifications.seen",)),
}
"""The kinds of events, each with what is in its `data` and the types that are of it."""


def tell_events_apart(components: dict[str, Schema], references: References) -> None:
    """Make of the schema of an event one for each kind, so that by its `type` a client knows what is in its `data`."""
    whole = components["EventView"]
    for name, (data, types) in EVENTS.items():
        own = {"type": {"type": "string", "enum": list(types)}, "data": references[data]}
        components[name] = {**whole, "title": name, "properties": {**whole["properties"], **own}}
    kinds = [{"$ref": f"#/components/schemas/{name}"} for name in EVENTS]
    components["EventView"] = {"title": whole["title"], "description": whole["description"], "oneOf": kinds}


class Document:
    """A document, encoded once."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._encoded = msgspec.json.encode(document)

    async def get(self, request: Request) -> Response:
        """A GET of the document. Raises a 422 `Problem` for a parameter."""
        Query(request)
        return Response(self._encoded, media_type="application/json", headers={"cache-control": "no-cache"})
