"""The frames of `glimpse.v1`, as types: what a client may say and what a server says besides events."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta, Struct

from hub.model import Stream
from hub.wire import SettingsView

TRANSPORT_EXTENSION = "glimpse.transport"
"""In every `scope["extensions"]` under our own server: `{"transport": asyncio.Transport}`, to measure and to abort.

For a WebSocket also `"frame"`: called with a frame as it goes over the wire it writes it at once and returns True, or
it returns False, and the application has to send as ever. One that is encoded once for a thousand sockets
costs each of them a write; uvicorn's way decodes it and encodes it again for each.
"""

Sequence = Annotated[int, Meta(ge=0, le=2**53)]


class Connect(Struct, tag_field="type", tag="connect", forbid_unknown_fields=True):
    """The first frame."""

    token: str | None = None
    stream: Stream = "notifications"
    after: Sequence | None = None


class Viewing(Struct, tag_field="type", tag="viewing", forbid_unknown_fields=True):
    """The sender is looking at this message now."""

    message_id: str


class Seen(Struct, tag_field="type", tag="seen", forbid_unknown_fields=True):
    """The notifications up to this sequence are read."""

    sequence: Sequence


class Connected(Struct, tag_field="type", tag="connected"):
    """The answer to `Connect`."""

    user: dict[str, str]
    settings: SettingsView
    sequence: int
    seen_sequence: int
    recovered: bool
    heartbeat: float


class Heartbeat(Struct, tag_field="type", tag="heartbeat"):
    """Nothing happened for a while; `sequence` is where the log stands."""

    sequence: int


class Error(Struct, tag_field="type", tag="error"):
    """A frame that could not be used."""

    code: Literal["bad_frame", "not_found", "beyond_the_log", "unavailable"]
    detail: str


Said: TypeAlias = Connect | Viewing | Seen

decode: Callable[[str], Said] = msgspec.json.Decoder(Said).decode


def extension(scope: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the server has put under `TRANSPORT_EXTENSION`; empty under a server that is not ours."""
    found: Mapping[str, Any] = scope.get("extensions", {}).get(TRANSPORT_EXTENSION, {})
    return found
