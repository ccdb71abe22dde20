"""Nouns for the tests: each complete, with the fields that a test does not care about filled in."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from hub.model import Device, Event, Message, Open, Place, Verdict

MESSAGE = Message(
    id="06d80000000000000000000000",
    user_id="06d80000000000000000000004",
    created_at=1_795_442_462_345,
    registered_sequence=5,
    subject="Proposal",
    template=None,
    format="html",
    shared=False,
    sent_at=1_795_442_462_345,
    provider=None,
    crm=None,
    muted=None,
    muted_set_sequence=0,
    opens=0,
    hits=0,
    first_opened_at=None,
    last_opened_at=None,
    recipient_count=1,
    viewed_at=None,
)
OPEN = Open(
    id="06d80000000000000000000008",
    user_id=MESSAGE.user_id,
    message_id=MESSAGE.id,
    position=1,
    at=1_795_442_522_345,
    verdict=Verdict("human", "high", (), "test"),
    counted=True,
    told=True,
    repeat=False,
    place=Place(),
    device=Device(),
)
RECORDED = Event(MESSAGE.user_id, 6, "open.recorded", OPEN.at, open=OPEN, message=MESSAGE)


def a_message(**changes: Any) -> Message:
    """A message of one recipient, registered as the user's fifth event, with `changes`."""
    return replace(MESSAGE, **changes)


def an_open(**changes: Any) -> Open:
    """A counted open of `a_message()`, with `changes`."""
    return replace(OPEN, **changes)


def an_event(**changes: Any) -> Event:
    """The `open.recorded` of `an_open()`, the user's sixth event, with `changes`."""
    return replace(RECORDED, **changes)
