"""The AsyncAPI 3.0 document of the WebSocket, made from the same types that read and write its frames.

Promise: a frame here is the type the code uses, so the document cannot say what the code does not.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from hub.api.auth import HTTPS_COOKIE
from hub.api.documents import VERSION, schemas, tell_events_apart
from hub.live.close_codes import CloseCode
from hub.live.frames import Connect, Connected, Error, Heartbeat, Seen, Viewing
from hub.live.websocket import SOCKET_PATH, SUBPROTOCOL
from hub.wire import EVENT_DATA, EventView


class Happened(Struct, tag_field="type", tag="event"):
    """Something that happened, in order of sequence, each once on a connection."""

    event: EventView


SAID: tuple[type[Struct], ...] = (Connect, Viewing, Seen)
"""What a client says; `TOLD` is what the hub says."""
TOLD: tuple[type[Struct], ...] = (Connected, Happened, Heartbeat, Error)


def document() -> dict[str, Any]:
    """The AsyncAPI document."""
    types = [*SAID, *TOLD, *EVENT_DATA]
    refs, components = schemas(types)
    tell_events_apart(components, refs)
    names = {type_: str(type_.__struct_config__.tag) for type_ in (*SAID, *TOLD)}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Glimpse",
            "version": VERSION,
            "description": "What is said on the WebSocket. Everything else is in /api/v1/openapi.json.",
        },
        "defaultContentType": "application/json",
        "servers": {
            "hub": {
                "host": "{host}",
                "protocol": "wss",
                "description": "The hub; over plain http its protocol is ws",
                "variables": {"host": {"default": "localhost:8000", "description": "Where the hub is"}},
                "security": [{"$ref": f"#/components/securitySchemes/{name}"} for name in ("token", "session")],
            }
        },
        "channels": {
            "socket": {
                "address": SOCKET_PATH,
                "title": "The socket",
                "description": "Text frames of the subprotocol glimpse.v1, one JSON object each. Credentials are the "
                "session's cookie with the hub's own Origin, an Authorization header, or the token in the first "
                "frame. Close codes, of which those from 4400 on say not to come back without a change: "
                + "; ".join(f"{code} {code.meaning}" for code in CloseCode)
                + ".",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names.values()},
                "bindings": {"ws": {"method": "GET", "headers": _headers(), "bindingVersion": "0.1.0"}},
            }
        },
        "operations": {
            "hear": _operation("receive", "What a client says: connect first, and once", SAID, names),
            "tell": _operation(
                "send", "What the hub says: connected first, then what was missed, then live", TOLD, names
            ),
        },
        "components": {
            "messages": {
                name: {"name": name, "summary": (type_.__doc__ or "").strip(), "payload": refs[type_]}
                for type_, name in names.items()
            },
            "schemas": components,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "session": {"type": "httpApiKey", "in": "cookie", "name": HTTPS_COOKIE},
            },
        },
    }


def _headers() -> dict[str, Any]:
    return {"type": "object", "properties": {"Sec-WebSocket-Protocol": {"type": "string", "const": SUBPROTOCOL}}}


def _operation(
    action: str, summary: str, types: tuple[type[Struct], ...], names: dict[type[Struct], str]
) -> dict[str, Any]:
    messages = [{"$ref": f"#/channels/socket/messages/{names[type_]}"} for type_ in types]
    return {"action": action, "channel": {"$ref": "#/channels/socket"}, "summary": summary, "messages": messages}
