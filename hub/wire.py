"""The wire: the nouns in the shapes of the contract, and events as CloudEvents.

Promise: one place makes every message, open and event that leaves the hub, so that the REST answer, the
live frame and the replay of the same thing agree. `docs/protocol.md` says what each field means.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from hub import policy
from hub.model import (
    Confidence,
    Crm,
    Device,
    Event,
    EventType,
    Message,
    MessageState,
    Open,
    Place,
    Provider,
    Recipient,
    Settings,
    User,
    VerdictName,
    Withheld,
)
from hub.tracking.classify import explain_reason
from hub.tracking.snippet import image_tag, pixel_url
from hub.tracking.token import SHARED, Keys

_HOUR = r"([01]\d|2[0-3])"
_RFC3339 = re.compile(rf"\d{{4}}-\d\d-\d\d[Tt]{_HOUR}:\d\d:\d\d(\.\d+)?([Zz]|[+-]{_HOUR}:[0-5]\d)", re.ASCII)
"""Hours and the offset are checked here: Python takes an offset's minutes above 59 and, from 3.14 on (its
documentation of `fromisoformat`), the hour 24; of other hours above 23 it speaks in its own terms."""

encode: Callable[[object], bytes] = msgspec.json.Encoder().encode


def rfc3339(at: int) -> str:
    """A time in milliseconds since the epoch as RFC 3339 in UTC, with milliseconds."""
    seconds, milliseconds = divmod(at, 1000)
    return f"{_to_the_second(seconds)}.{milliseconds:03d}Z"


@lru_cache(maxsize=1024)
def _to_the_second(seconds: int) -> str:
    # Live events share their second; formatting it anew was a twentieth of all the work under load.
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"


def rfc3339_or_none(at: int | None) -> str | None:
    """As `rfc3339`; None stays None."""
    return None if at is None else rfc3339(at)


def from_rfc3339(text: str) -> int:
    """Milliseconds since the epoch. Raises ValueError if `text` is not RFC 3339 with an offset."""
    if not _RFC3339.fullmatch(text):
        raise ValueError("a time is RFC 3339 with an offset, like 2026-11-23T14:01:02.345Z")
    try:
        moment = datetime.fromisoformat(text.upper()).astimezone(UTC)
    except OverflowError:
        raise ValueError("the time is out of range") from None
    if moment.year < 1970:
        raise ValueError("the time is before 1970")
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


Time: TypeAlias = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
"""A time as `rfc3339` gives it."""


class SettingsView(Struct):
    realtime_notifications: bool
    muted_all_at: Time | None


class PersonView(Struct):
    address: str
    name: str | None


class RecipientView(Struct):
    address: str
    name: str | None
    opens: int | None
    first_opened_at: Time | None
    last_opened_at: Time | None


class PixelView(Struct):
    recipient: str | None
    url: str
    html: str


class MessageView(Struct):
    id: str
    created_at: Time
    subject: str
    recipients: list[RecipientView]
    template: str | None
    format: Literal["html", "plain"]
    sent_at: Time | None
    provider: Provider | None
    crm: Crm | None
    tracked: bool
    untracked_reason: Literal["plain_text"] | None
    muted: bool
    opens: int
    hits: int
    first_opened_at: Time | None
    last_opened_at: Time | None
    pixels: list[PixelView]


class OpenView(Struct):
    id: str
    message_id: str
    at: Time
    recipient: PersonView | None
    verdict: VerdictName
    confidence: Confidence
    reasons: list[str]
    counted: bool
    repeat: bool
    place: Place
    device: Device
    ruleset: str


class MessageSummary(Struct):
    id: str
    subject: str
    opens: int
    muted: bool
    recipients: int
    crm: Crm | None


class OpenData(Struct):
    notify: bool
    withheld: Withheld | None
    open: OpenView
    message: MessageSummary
    was: VerdictName | UnsetType = UNSET


class MessageData(Struct):
    message: MessageView


class MutedData(Struct):
    muted_all_at: Time


class SettingsData(Struct):
    settings: SettingsView


class SeenData(Struct):
    sequence: int


EventData: TypeAlias = OpenData | MessageData | MutedData | SettingsData | SeenData
EVENT_DATA: tuple[type[Struct], ...] = (OpenData, MessageData, MutedData, SettingsData, SeenData)


class EventView(Struct, kw_only=True):
    """A CloudEvents 1.0 object in JSON format, with the `sequence` extension."""

    specversion: Literal["1.0"]
    id: str
    source: str
    type: EventType
    subject: str | UnsetType = UNSET
    time: Time
    sequence: str
    sequencetype: Literal["Integer"]
    datacontenttype: Literal["application/json"]
    # One of `EVENT_DATA`; msgspec has no unions of untagged structs.
    data: Any


class MeView(Struct):
    id: str
    email: str
    name: str
    role: Literal["user", "admin"]
    settings: SettingsView
    sequence: int
    seen_sequence: int
    unseen: int


def settings_view(settings: Settings) -> SettingsView:
    """The settings as the API answers them."""
    return SettingsView(settings.realtime_notifications, rfc3339_or_none(settings.muted_all_at))


def me_view(user: User, unseen: int) -> MeView:
    """An account as the API shows it to its owner; `unseen` is how many notifications they have not read."""
    return MeView(
        id=user.id,
        email=user.email,
        name=user.name,
        role=user.role,
        settings=settings_view(user.settings),
        sequence=user.sequence,
        seen_sequence=user.seen_sequence,
        unseen=unseen,
    )


def message_view(message: Message, settings: Settings, keys: Keys, base_url: str) -> MessageView:
    """A message as the API answers it; its pixels' addresses begin with `base_url`."""
    return MessageView(
        id=message.id,
        created_at=rfc3339(message.created_at),
        subject=message.subject,
        recipients=[
            RecipientView(
                recipient.address,
                recipient.name,
                recipient.opens,
                rfc3339_or_none(recipient.first_opened_at),
                rfc3339_or_none(recipient.last_opened_at),
            )
            for recipient in message.recipients
        ],
        template=message.template,
        format=message.format,
        sent_at=rfc3339_or_none(message.sent_at),
        provider=message.provider,
        crm=message.crm,
        tracked=message.tracked,
        untracked_reason=None if message.tracked else "plain_text",
        muted=policy.is_muted(message, settings),
        opens=message.opens,
        hits=message.hits,
        first_opened_at=rfc3339_or_none(message.first_opened_at),
        last_opened_at=rfc3339_or_none(message.last_opened_at),
        pixels=_pixels(message, keys, base_url),
    )


def _pixels(message: Message, keys: Keys, base_url: str) -> list[PixelView]:
    if not message.tracked:
        return []
    if message.shared:
        places: list[tuple[int, str | None]] = [(SHARED, None)]
    else:
        places = [(position, recipient.address) for position, recipient in enumerate(message.recipients, 1)]
    urls = [(address, pixel_url(base_url, keys.sign(message.id, position))) for position, address in places]
    return [PixelView(address, url, image_tag(url)) for address, url in urls]


def open_view(open_: Open, recipient: Recipient | None) -> OpenView:
    """An open as the API answers it; `recipient` is None where it was someone of several."""
    return OpenView(
        id=open_.id,
        message_id=open_.message_id,
        at=rfc3339(open_.at),
        recipient=PersonView(recipient.address, recipient.name) if recipient else None,
        verdict=open_.verdict.verdict,
        confidence=open_.verdict.confidence,
        reasons=[explain_reason(code) for code in open_.verdict.reasons],
        counted=open_.counted,
        repeat=open_.repeat,
        place=open_.place,
        device=open_.device,
        ruleset=open_.verdict.ruleset,
    )


NOTHING_LEFT = SeenData(0)
"""What the events of a message show once it was deleted from the database by hand: they keep their place in the log."""


class Renderer:
    """Makes the JSON of events.

    `source` names this hub in each event. Pixel addresses in events about messages begin with `base_url`, which is
    `source` unless a request knows better.
    """

    def __init__(self, keys: Keys, source: str) -> None:
        self._keys = keys
        self.source = source

    def event(self, event: Event, settings: Settings, base_url: str | None = None) -> bytes:
        """The event's JSON. `settings` are its user's, as of the event."""
        return encode(self.view(event, settings, base_url))

    def view(self, event: Event, settings: Settings, base_url: str | None = None) -> EventView:
        """The event in the contract's shape."""
        data = self._data(event, settings, base_url or self.source)
        return EventView(
            specversion="1.0",
            id=f"{event.user_id}-{event.sequence}",
            source=self.source,
            type=event.type if data is not NOTHING_LEFT else "notifications.seen",
            subject=event.message.id if event.message else UNSET,
            time=rfc3339(event.at),
            sequence=str(event.sequence),
            sequencetype="Integer",
            datacontenttype="application/json",
            data=data,
        )

    def _data(self, event: Event, settings: Settings, base_url: str) -> EventData:
        match event:
            case Event(
                type="open.recorded" | "open.reclassified", open=Open() as open_, message=MessageState() as message
            ):
                return OpenData(
                    notify=event.withheld is None,
                    withheld=event.withheld,
                    open=open_view(open_, event.recipient),
                    message=MessageSummary(
                        id=message.id,
                        subject=message.subject,
                        opens=message.opens,
                        muted=policy.is_muted(message, settings),
                        recipients=message.recipient_count,
                        crm=message.crm,
                    ),
                    was=event.was or UNSET,
                )
            case Event(type="message.registered" | "message.updated", message=Message() as message):
                return MessageData(message_view(message, settings, self._keys, base_url))
            case Event(type="messages.muted", settings=Settings(muted_all_at=int() as at)):
                return MutedData(rfc3339(at))
            case Event(type="settings.updated", settings=Settings() as changed):
                return SettingsData(settings_view(changed))
            case Event(type="notifications.seen", seen=int() as seen):
                return SeenData(seen)
        return NOTHING_LEFT
