"""The frames of `glimpse.v1`, as types: what a client may say and what a server says besides events."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import msgspec
from msgspec import Struct

from hub.model import SequenceNumber, Stream
from hub.wire import SettingsView


class Connect(Struct, tag_field="type", tag="connect", forbid_unknown_fields=True):
    """The first frame."""

    token: str | None = None
    stream: Stream = "notifications"
    after: SequenceNumber | None = None


class Viewing(Struct, tag_field="type", tag="viewing", forbid_unknown_fields=True):
    """The sender is looking at this message now."""

    message_id: str


class Seen(Struct, tag_field="type", tag="seen", forbid_unknown_fields=True):
    """The notifications up to this sequence are read."""

    sequence: SequenceNumber


class ConnectedUser(Struct):
    """Whose credential it was."""

    id: str
    email: str
    name: str


class Connected(Struct, tag_field="type", tag="connected"):
    """The answer to `Connect`."""

    user: ConnectedUser
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
