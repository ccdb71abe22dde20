"""What is to be told to a user's sockets and streams: events, and the end of a credential.

Promise: the bytes written for an event are made once, however many sockets and streams they are written to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import TypeAlias

from msgspec import Struct

from hub.model import Event, Stream
from hub.policy import streamed

RUN = 32
"""The most events written to a socket at once, about 32 KB. What a slow client does not take is queued, and bounded."""


class Notice(Struct, frozen=True, tag_field="kind", tag="n", array_like=True, dict=True):
    """An event on its way to its user's sockets: `event` is its JSON, encoded once for all of them.

    `notified` says whether the `notifications` stream carries it; `committed_at` is when its transaction
    had committed, in milliseconds since the epoch, or 0 for one that was read from the log. `decides` says that earlier
    events are told otherwise from now on: the sender muted something, or gave it its voice back.
    """

    user_id: str
    sequence: int
    type: str
    notified: bool
    event: bytes
    committed_at: int = 0
    decides: bool = False

    @classmethod
    def of(cls, event: Event, rendered: bytes, committed_at: int = 0, *, decides: bool = False) -> Notice:
        """The notice of an event, whose JSON is `rendered`."""
        return cls(event.user_id, event.sequence, event.type, event.notified, rendered, committed_at, decides)

    @cached_property
    def payload(self) -> bytes:
        """The event as a WebSocket text frame's payload."""
        return b'{"type":"event","event":' + self.event + b"}"

    @cached_property
    def frame(self) -> bytes:
        """The whole WebSocket frame, header and all, for a transport that takes it as it is."""
        return text_frame(self.payload)

    @cached_property
    def sse(self) -> bytes:
        """The event as one server-sent event."""
        return b"id: %d\nevent: %s\ndata: %s\n\n" % (self.sequence, self.type.encode(), self.event)


class Run:
    """Consecutive events of one user that came together: what is written for all of them is made once."""

    __slots__ = ("_frames", "notices")

    def __init__(self, notices: list[Notice]) -> None:
        self.notices = notices
        self._frames: dict[Stream, bytes] = {}

    def frames(self, stream: Stream) -> bytes:
        """The WebSocket frames of those that a stream carries, one after the other."""
        if stream not in self._frames:
            carried = (each.frame for each in self.notices if streamed(each.notified, stream))
            self._frames[stream] = b"".join(carried)
        return self._frames[stream]


def runs(items: Iterable[Item]) -> Iterator[Run]:
    """The events among `items` as runs, each user's in order; no run is so long that it floods a socket."""
    growing: dict[str, list[Notice]] = {}
    for item in items:
        if isinstance(item, Notice):
            notices = growing.get(item.user_id)
            if notices and item.sequence == notices[-1].sequence + 1 and len(notices) < RUN:
                notices.append(item)
                continue
            if notices:
                yield Run(notices)
            growing[item.user_id] = [item]
    for notices in growing.values():
        yield Run(notices)


def text_frame(payload: bytes) -> bytes:
    """`payload`, text in UTF-8, as one unmasked WebSocket frame (RFC 6455, 5.2)."""
    length = len(payload)
    if length < 126:
        return b"\x81%c%b" % (length, payload)
    if length < 65_536:
        return b"\x81\x7e" + length.to_bytes(2, "big") + payload
    return b"\x81\x7f" + length.to_bytes(8, "big") + payload


class Revoked(Struct, frozen=True, tag_field="kind", tag="r", array_like=True):
    """The end of a credential ("token:ID", "session:ID"): sockets opened with it are to be closed."""

    credential: str


Item: TypeAlias = Notice | Revoked
