"""The nouns: what the hub knows about, as plain values.

Promise: nothing here does I/O and nothing here decides; a noun is the same thing under the same name
in the recorder, the store and the API. Times are milliseconds since the Unix epoch, in UTC; ids are
opaque strings that sort by the time they were made. The shapes the contract shows are in `wire`.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated, Literal, TypeAlias

import uuid_utils
from msgspec import Meta, Struct

Network: TypeAlias = IPv4Network | IPv6Network
Clock: TypeAlias = Callable[[], int]
"""Tells the time, as `now` does."""

DAY_MS = 86_400_000
MOST_NUMBER = 2**53
"""JavaScript tells whole numbers apart up to here: a client may name no larger sequence."""
SequenceNumber: TypeAlias = Annotated[int, Meta(ge=0, le=MOST_NUMBER)]
"""A sequence that a client names; it may be beyond the log."""

VerdictName = Literal["human", "proxy", "prefetch", "scanner", "bot", "self"]
Confidence = Literal["high", "medium", "low"]
DeviceType = Literal["desktop", "mobile", "tablet", "unknown"]
Stream = Literal["notifications", "history"]
Withheld = Literal["not_counted", "realtime_off", "muted"]
EventType = Literal[
    "open.recorded",
    "open.reclassified",
    "message.registered",
    "message.updated",
    "messages.muted",
    "settings.updated",
    "notifications.seen",
]

COUNTABLE: frozenset[str] = frozenset({"human", "proxy"})
"""The verdicts that stand for a person: only these are counted, and only these notify."""

PixelKey: TypeAlias = tuple[str, int]
"""A message's id and the position of a pixel in it."""

ClientKey: TypeAlias = tuple[str, int, str]
"""A pixel, and the keyed hash of a client."""

ID_CHARACTERS = 26

_DIGITS = "0123456789abcdefghijklmnopqrstuv"
_PAIRS = tuple(first + second for first in _DIGITS for second in _DIGITS)
"""Two digits, for ten bits at once. `base64.b32hexencode` is a loop in Python: five times the cost, twice a hit."""


def now() -> int:
    """The time in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def new_id() -> str:
    """A new id: a UUIDv7 (RFC 9562) in lower-case base32hex, which keeps its order in time."""
    return id_text(uuid_utils.uuid7().bytes)


def id_bytes(text: str) -> bytes:
    """The 16 bytes behind an id. Raises ValueError if `text` is not one of ours."""
    if len(text) != ID_CHARACTERS or text != text.lower():
        raise ValueError("not an id")
    raw = base64.b32hexdecode(text.upper() + "======")
    if id_text(raw) != text:
        raise ValueError("not an id")
    return raw


def id_text(raw: bytes) -> str:
    """The id whose 16 bytes are `raw`."""
    bits, pairs = int.from_bytes(raw, "big") << 2, _PAIRS
    return (
        f"{pairs[bits >> 120]}{pairs[bits >> 110 & 1023]}{pairs[bits >> 100 & 1023]}{pairs[bits >> 90 & 1023]}"
        f"{pairs[bits >> 80 & 1023]}{pairs[bits >> 70 & 1023]}{pairs[bits >> 60 & 1023]}{pairs[bits >> 50 & 1023]}"
        f"{pairs[bits >> 40 & 1023]}{pairs[bits >> 30 & 1023]}{pairs[bits >> 20 & 1023]}{pairs[bits >> 10 & 1023]}"
        f"{pairs[bits & 1023]}"
    )


def is_id(text: str) -> bool:
    """Whether `text` has the form of an id (it may still name nothing)."""
    try:
        id_bytes(text)
    except ValueError:
        return False
    return True


class Visit(Struct, frozen=True):
    """What we know of a hit while its request is open: the only noun that holds an IP address.

    `user_agent` is capped at 512 bytes. `position` is the recipient's place in the message from 1,
    or 0 where several share the pixel.
    """

    message_id: str
    position: int
    at: int
    address: str
    user_agent: str
    prefetch: bool = False


class Place(Struct, frozen=True):
    """Where a hit came from, as far as it can be known; `hidden_by` names the proxy that hides it."""

    city: str | None = None
    region: str | None = None
    country: str | None = None
    country_code: str | None = None
    hidden_by: str | None = None


class Device(Struct, frozen=True):
    """What a hit was made with; `client` is the mail program or browser."""

    type: DeviceType = "unknown"
    os: str | None = None
    client: str | None = None


class Verdict(Struct, frozen=True):
    """What a hit was. `reasons` are codes; `classify.explain_reason` puts them in words."""

    verdict: VerdictName
    confidence: Confidence
    reasons: tuple[str, ...]
    ruleset: str


class Evidence(Struct, frozen=True):
    """What a visit shows by itself, with neither the address nor the User-Agent in it.

    `agent` is the kind of program that its User-Agent names, a word of `rules_agents`. `network` is the owner of its
    address where that is known to matter, a word of `rules_networks`. Evidence may be written to the spool.
    """

    agent: str
    network: str | None = None
    prefetch: bool = False
    place: Place = Place()
    device: Device = Device()
    notes: tuple[str, ...] = ()


class Hit(Struct, frozen=True):
    """A visit made ready for the record: its evidence, and a keyed hash of who it came from.

    `clients` are hashes of the one client. The first uses the key of the hit's own day (UTC), and the client is
    remembered by it. Close to midnight there is another, with the key of the nearest other day: the client may be known
    by that already.
    """

    id: str
    message_id: str
    position: int
    at: int
    clients: tuple[str, ...]
    evidence: Evidence


class Open(Struct, frozen=True):
    """A hit once recorded.

    `counted` follows from the verdict and `repeat`, and changes when the verdict is corrected. `told` says whether the
    sender was notified when the open was recorded, and never changes.
    """

    id: str
    user_id: str
    message_id: str
    position: int
    at: int
    verdict: Verdict
    counted: bool
    repeat: bool
    told: bool
    place: Place
    device: Device


class Count(Struct):
    """What a batch adds to a message, or to one of its recipients (`position` from 1; 0 is the message)."""

    message_id: str
    position: int
    opens: int = 0
    hits: int = 0
    first: int | None = None
    last: int | None = None


class Settings(Struct, frozen=True):
    """What a user decided about being notified. `muted_all_sequence` orders a mute-all in the user's log."""

    realtime_notifications: bool = True
    muted_all_at: int | None = None
    muted_all_sequence: int = 0


class User(Struct, frozen=True):
    """A sender with an account. `views` counts how often they looked at a message of theirs."""

    id: str
    email: str
    name: str
    role: Literal["user", "admin"]
    settings: Settings
    sequence: int
    seen_sequence: int
    views: int = 0


class Recipient(Struct, frozen=True):
    """Somebody a message went to. The figures are None where the pixel is not theirs alone."""

    address: str
    name: str | None = None
    opens: int | None = None
    first_opened_at: int | None = None
    last_opened_at: int | None = None


MOST_GIVEN = 1000
Given: TypeAlias = Annotated[str, Meta(extra_json_schema={"minLength": 1, "maxLength": MOST_GIVEN})]
"""A name that another system gave something. The API checks its length, so as to report all wrong fields at once."""


class Provider(Struct, frozen=True, forbid_unknown_fields=True):
    """The mail provider's own names for a message."""

    name: Given
    message_id: Given
    thread_id: Given | None = None


class Crm(Struct, frozen=True, forbid_unknown_fields=True):
    """The record a message belongs to in a customer database."""

    system: Given
    record_id: Given
    url: Given | None = None


class MessageState(Struct, frozen=True):
    """The part of a message that a hit on it is judged by, and that the hit's event tells.

    `sent_at` is None while the message is being written. `registered_sequence` is its place in the user's log.
    `muted` is the sender's explicit choice with the speaker, made at `muted_set_sequence`, or None.
    """

    id: str
    user_id: str
    subject: str
    crm: Crm | None
    sent_at: int | None
    registered_sequence: int
    muted: bool | None
    muted_set_sequence: int
    opens: int
    recipient_count: int
    viewed_at: int | None


class Message(MessageState, frozen=True, kw_only=True):
    """A message a sender registered."""

    created_at: int
    template: str | None
    format: Literal["html", "plain"]
    shared: bool
    provider: Provider | None
    hits: int
    first_opened_at: int | None
    last_opened_at: int | None
    recipients: tuple[Recipient, ...] = ()

    @property
    def tracked(self) -> bool:
        """Whether the message can carry a pixel at all: plain text cannot."""
        return self.format == "html"


class Event(Struct, frozen=True):
    """An entry in a user's log, with what it refers to.

    `notified` says whether the `notifications` stream carries it; `was` is the verdict an
    `open.reclassified` replaced. `message` is a whole `Message` where the event is about the message itself.
    """

    user_id: str
    sequence: int
    type: EventType
    at: int
    notified: bool = True
    withheld: Withheld | None = None
    open: Open | None = None
    message: MessageState | None = None
    recipient: Recipient | None = None
    was: VerdictName | None = None
    settings: Settings | None = None
    seen: int | None = None
