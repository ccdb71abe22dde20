"""The wire: times to the millisecond, and events of one shape wherever they come from."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.model import Crm, Event, EventType, Recipient, Settings, User
from hub.wire import (
    EVENT_DATA,
    EventView,
    MessageData,
    MutedData,
    OpenData,
    Renderer,
    SeenData,
    SettingsData,
    from_rfc3339,
    message_view,
    open_view,
    rfc3339,
    rfc3339_or_none,
    settings_view,
)
from tests.factories import BASE_URL, KEYS, T0, Store, a_recorder, a_visit
from tests.processes import eventually
from tests.samples import a_message, an_event, an_open

END_OF_TIME = int(datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp() * 1000)
TIMES = st.integers(0, END_OF_TIME)


@given(TIMES)
def test_time_comes_back_to_the_millisecond(at: int) -> None:
    text = rfc3339(at)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", text)
    assert from_rfc3339(text) == at


@given(TIMES, TIMES)
def test_times_sort_as_their_texts(one: int, other: int) -> None:
    assert (one < other) == (rfc3339(one) < rfc3339(other))


@given(st.integers(T0 - 10**12, T0 + 10**12), st.integers(-23 * 60, 23 * 60))
def test_time_with_any_offset_is_the_same_moment(at: int, minutes: int) -> None:
    zone = timezone(timedelta(minutes=minutes))
    local = datetime.fromtimestamp(at // 1000, zone).replace(microsecond=at % 1000 * 1000)
    assert from_rfc3339(local.isoformat(timespec="milliseconds")) == at


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2026-11-23T14:01:02.345Z", T0),
        ("2026-11-23t14:01:02.345z", T0),
        ("2026-11-23T14:01:02.3459999Z", T0),
        ("2026-11-23T14:01:02.3Z", T0 - 45),
        ("2026-11-23T16:01:02.345+02:00", T0),
        ("2026-11-23T09:31:02.345-04:30", T0),
        ("2026-11-23T14:01:02.345-00:00", T0),
        ("9999-12-31T23:59:59Z", END_OF_TIME),
    ],
)
def test_time_is_read(text: str, at: int) -> None:
    assert T0 == 1_795_442_462_345
    assert from_rfc3339(text) == at


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "1795442462345",
        "2026-11-23",
        "2026-11-23T14:01:02",
        "2026-11-23 14:01:02Z",
        "2026-11-23T14:01Z",
        "2026-11-23T14:01:02.Z",
        "2026-11-23T14:01:02+0200",
        "2026-11-23T14:01:02+02",
        "2026-11-23T24:00:00Z",
        "2026-11-23T14:60:00Z",
        "2026-11-23T14:01:60Z",
        "2026-13-01T00:00:00Z",
        "2026-02-30T00:00:00Z",
        "20261123T140102Z",
        "2026-W48-1T14:01:02Z",
        "1969-12-31T23:59:59.999Z",
        "1970-01-01T00:00:00+00:01",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
        "10000-01-01T00:00:00Z",
        "2026-11-23T14:01:02Z\n",
        " 2026-11-23T14:01:02Z",
        "２０２６-11-23T14:01:02Z",
        "2026-11-23T14:01:02+24:00",
        "2026-11-23T14:01:02-05:60",
    ],
)
def test_text_that_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^(?:a|the) time |^(?:hour|minute|second|month|day) "):
        from_rfc3339(text)


ALMOST = r"[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9](\.[0-9]{1,12})?(z|[+-][0-2][0-9]:[0-6][0-9])"
"""The look of a time, which may be one. No text at random ever has it."""


@given(st.text(max_size=40) | st.from_regex(ALMOST, fullmatch=True))
def test_any_text_is_a_time_or_a_value_error(text: str) -> None:
    with suppress(ValueError):
        assert 0 <= from_rfc3339(text) <= END_OF_TIME + 999


def test_no_time_stays_none() -> None:
    assert rfc3339_or_none(None) is None
    assert rfc3339_or_none(0) == "1970-01-01T00:00:00.000Z"


# Events

RENDERER = Renderer(KEYS, BASE_URL)
MESSAGE = a_message(crm=Crm("hubspot", "7"), recipients=(Recipient("reader@example.com", "A Reader", 0),))
MUTED = Settings(False, T0, 4)
ABOUT_OPEN = {"open": an_open(), "message": MESSAGE, "recipient": MESSAGE.recipients[0]}
EVENTS: list[tuple[Event, type[msgspec.Struct], str | None]] = [
    (an_event(**ABOUT_OPEN), OpenData, MESSAGE.id),
    (an_event(**ABOUT_OPEN, notified=False, withheld="muted"), OpenData, MESSAGE.id),
    (an_event(**ABOUT_OPEN, type="open.reclassified", was="human"), OpenData, MESSAGE.id),
    (Event("user", 7, "message.registered", T0, message=MESSAGE), MessageData, MESSAGE.id),
    (Event("user", 7, "message.updated", T0, message=MESSAGE), MessageData, MESSAGE.id),
    (Event("user", 7, "messages.muted", T0, settings=MUTED), MutedData, None),
    (Event("user", 7, "settings.updated", T0, settings=MUTED), SettingsData, None),
    (Event("user", 7, "notifications.seen", T0, seen=5), SeenData, None),
]


@pytest.mark.parametrize(("event", "data", "subject"), EVENTS, ids=lambda each: getattr(each, "type", ""))
def test_event_is_a_cloud_event_with_its_own_kind_of_data(
    event: Event, data: type[msgspec.Struct], subject: str | None
) -> None:
    """CloudEvents 1.0, JSON format: required attributes are non-empty texts, names are [a-z0-9]."""
    seen = msgspec.json.decode(RENDERER.event(event, Settings()))
    assert seen.pop("data") == msgspec.to_builtins(RENDERER.view(event, Settings()).data)
    assert seen.pop("subject", None) == subject
    assert seen == {
        "specversion": "1.0",
        "id": f"{event.user_id}-{event.sequence}",
        "source": BASE_URL,
        "type": event.type,
        "time": rfc3339(event.at),
        "sequence": str(event.sequence),
        "sequencetype": "Integer",
        "datacontenttype": "application/json",
    }
    assert type(RENDERER.view(event, Settings()).data) is data
    assert data in EVENT_DATA
    assert all(re.fullmatch("[a-z0-9]+", name) for name in seen)


def test_source_of_an_event_is_the_hubs_own_address_whatever_its_asker_calls_it() -> None:
    event = Event("user", 7, "message.registered", T0, message=MESSAGE)
    view = RENDERER.view(event, Settings(True, None, 0), "http://10.0.0.7:8000")
    assert view.source == BASE_URL
    assert all(pixel.url.startswith("http://10.0.0.7:8000/o/") for pixel in view.data.message.pixels)
    assert view.data.message.pixels


@pytest.mark.parametrize("type_", ["open.recorded", "open.reclassified", "message.registered", "message.updated"])
def test_event_whose_open_or_message_is_gone_becomes_one_that_says_nothing(type_: EventType) -> None:
    seen = RENDERER.view(Event("user", 7, type_, T0), Settings())
    assert (seen.type, seen.data, seen.sequence) == ("notifications.seen", SeenData(0), "7")


def test_open_event_says_what_the_contract_says() -> None:
    data = msgspec.to_builtins(RENDERER.view(EVENTS[2][0], Settings()).data)
    assert {**data, "open": ...} == {
        "notify": True,
        "withheld": None,
        "was": "human",
        "open": ...,
        "message": {
            "id": MESSAGE.id,
            "subject": "Proposal",
            "opens": 0,
            "muted": False,
            "recipients": 1,
            "crm": {"system": "hubspot", "record_id": "7", "url": None},
        },
    }
    assert "was" not in msgspec.to_builtins(RENDERER.view(EVENTS[0][0], Settings()).data)
    assert data["open"]["recipient"] == {"address": "reader@example.com", "name": "A Reader"}


def test_open_of_a_shared_pixel_has_no_recipient() -> None:
    assert open_view(an_open(position=0), None).recipient is None


def test_reasons_are_words_and_not_codes() -> None:
    reasons = ("browser", "named:curl", "not-a-code")
    verdict = msgspec.structs.replace(an_open().verdict, reasons=reasons)
    shown = open_view(an_open(verdict=verdict), None).reasons
    assert shown == ["A browser on the reader's own device fetched it", "It names itself curl", "not-a-code"]


@pytest.mark.parametrize(
    ("changes", "pixels"),
    [
        ({"shared": True}, [None]),
        ({"shared": False}, ["a@example.com", "b@example.com"]),
        ({"shared": False, "format": "plain"}, []),
    ],
)
def test_message_has_a_pixel_for_each_copy_that_can_carry_one(
    changes: dict[str, Any], pixels: list[str | None]
) -> None:
    recipients = (Recipient("a@example.com"), Recipient("b@example.com"))
    message = a_message(recipients=recipients, recipient_count=2, **changes)
    view = message_view(message, Settings(), KEYS, "https://own.example.com")
    assert [pixel.recipient for pixel in view.pixels] == pixels
    assert view.tracked == bool(pixels)
    assert view.untracked_reason == (None if pixels else "plain_text")
    for position, pixel in enumerate(view.pixels, 0 if message.shared else 1):
        token = pixel.url.removeprefix("https://own.example.com/o/").removesuffix(".gif")
        assert KEYS.verify(token) == (message.id, position)
        assert pixel.url in pixel.html
        assert "example.com" not in token


def test_message_shows_the_mute_in_force_and_not_the_speakers_last_word() -> None:
    message = a_message(muted=False, muted_set_sequence=6)
    for sequence, muted in ((0, False), (5, False), (9, True)):
        assert message_view(message, Settings(True, T0, sequence), KEYS, BASE_URL).muted is muted


def test_events_pixels_are_where_the_asker_sees_the_hub() -> None:
    event = EVENTS[3][0]
    here = RENDERER.view(event, Settings()).data.message.pixels[0].url
    there = RENDERER.view(event, Settings(), "http://localhost:9").data.message.pixels[0].url
    assert here.startswith(f"{BASE_URL}/o/")
    assert there.startswith("http://localhost:9/o/")


# Live, replayed and over REST


def decoded(event: bytes) -> Any:
    """An event without the number of its message's opens: live that is the number then, replayed the number now."""
    view = msgspec.json.decode(event)
    view["data"].get("message", {}).pop("opens", None)
    return view


async def agree(store: Store, user: User, after: int) -> int:
    """Check that the live events after a sequence are those of the log and of the REST answers; returns the last."""
    settings = (await store.user(user.id)).settings
    live = [notice.event for notice in store.bus.notices[after:]]
    assert live
    replayed = [store.renderer.event(event, settings) for event in await store.log(user, after)]
    assert list(map(decoded, live[:-1])) == list(map(decoded, replayed[:-1]))
    assert msgspec.json.decode(live[-1]) == msgspec.json.decode(replayed[-1])
    for view in (msgspec.json.decode(each, type=EventView) for each in live):
        if view.type.startswith("open."):
            page = await store.opens.page(user.id, limit=100, message_id=None, before=None, uncounted=True)
            [shown] = [open_view(open_, whose) for open_, whose in page if open_.id == view.data["open"]["id"]]
            assert view.data["open"] == msgspec.to_builtins(shown)
        elif view.type.startswith("message."):
            message = await store.messages.get(user.id, view.data["message"]["id"])
            assert message is not None
            assert view.data["message"] == msgspec.to_builtins(message_view(message, settings, KEYS, BASE_URL))
        elif view.type == "settings.updated":
            assert view.data["settings"] == msgspec.to_builtins(settings_view(settings))
    return after + len(live)


async def test_live_replay_and_rest_say_the_same_of_everything(store: Store, tmp_path: Path) -> None:
    """Each event is compared as soon as it is told: a later replay has its message as that is by then."""
    user = await store.sender()
    readers = ("a@example.com", "b@example.com")
    shared = await store.message(user, recipients=readers, crm=Crm("hubspot", "7"))
    at = await agree(store, user, 0)
    own = await store.message(user, recipients=readers, shared=False, sent_at=T0)
    at = await agree(store, user, at)
    actions = store.actions
    async with a_recorder(store, tmp_path) as recorder:
        for act in (
            lambda: recorder.record(a_visit(shared, 0)),
            lambda: recorder.record(a_visit(own, 2)),
            lambda: actions.change_message(user.id, own.id, {"muted": True}, BASE_URL),
            lambda: recorder.record(a_visit(own, 2, at=T0 + 1)),
            lambda: recorder.record(a_visit(own, 2, at=T0 + 2)),
            lambda: actions.mute_all(user.id),
            lambda: actions.change_message(user.id, shared.id, {"muted": False}, BASE_URL),
            lambda: actions.view(user.id, shared.id),
            lambda: actions.set_realtime(user.id, False),
            lambda: recorder.record(a_visit(shared, 0, user_agent="curl/8", at=T0 + 60_000)),
            lambda: actions.mark_seen(user.id, 3),
        ):
            before = len(store.bus.notices)
            await act()
            await eventually(lambda before=before: len(store.bus.notices) > before)  # type: ignore[misc]
            at = await agree(store, user, at)
    types = {notice.type for notice in store.bus.notices}
    assert types == set(get_args(EventType)), "every kind was compared"
