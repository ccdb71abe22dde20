"""The log: every user's events, gapless, in order, rendered from what they refer to as it is now."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from hub.model import DAY_MS, Event, Message, Recipient, Settings
from hub.recorder import Recorder
from tests.factories import T0, Store, a_recorder, a_visit, audit, seeded, together
from tests.samples import a_message, an_event, an_open


async def append(store: Store, *events: Event) -> None:
    async with store.database.write() as tx:
        await tx.change(store.events.added(events))


async def test_event_of_each_kind_is_read_back_as_it_was_added(store: Store) -> None:
    user = await store.sender()
    message = await store.message(user, recipients=("first@example.com", "it's@example.com"), shared=False)
    other = await store.message(user)
    open_ = an_open(user_id=user.id, message_id=message.id, position=2)
    async with store.database.write() as tx:
        await tx.change(store.opens.added([(open_, None)]))
    settings = Settings(False, T0, 4)
    about_open = {
        "open": open_,
        "message": await _bare(store, message),
        "recipient": Recipient("it's@example.com"),
    }
    events = [
        an_event(user_id=user.id, sequence=3, **about_open),
        an_event(user_id=user.id, sequence=4, notified=False, withheld="muted", **about_open),
        an_event(user_id=user.id, sequence=5, type="open.reclassified", was="proxy", at=T0 + 9, **about_open),
        Event(user.id, 6, "message.updated", T0, message=other),
        Event(user.id, 7, "settings.updated", T0, settings=settings),
        Event(user.id, 8, "messages.muted", T0, settings=settings),
        Event(user.id, 9, "notifications.seen", T0, seen=3),
    ]
    await append(store, *events)
    assert await store.events.after(user.id, 2, 100) == events


async def _bare(store: Store, message: Message) -> Message:
    bare: Message = replace(await store.reload(message), recipients=())
    return bare


async def test_event_tells_of_its_message_as_it_is_now(store: Store) -> None:
    user = await store.sender()
    message = await store.message(user)
    await store.actions.change_message(user.id, message.id, {"muted": True}, "https://hub.example.com")
    registered, updated = await store.log(user)
    assert registered.message == updated.message == await store.reload(message)


async def test_log_is_read_after_a_sequence_up_to_a_limit(store: Store) -> None:
    user, other = await store.sender(), await store.sender()
    for _ in range(5):
        await store.actions.set_realtime(user.id, True)
        await store.actions.set_realtime(other.id, True)
    assert [event.sequence for event in await store.events.after(user.id, 0, 3)] == [1, 2, 3]
    assert [event.sequence for event in await store.events.after(user.id, 3, 3)] == [4, 5]
    assert await store.events.after(user.id, 5, 3) == []
    assert await store.events.after("nobody", 0, 3) == []


async def test_sequence_cannot_be_taken_twice(store: Store) -> None:
    user = await store.sender()
    event = Event(user.id, 1, "notifications.seen", T0, seen=1)
    await append(store, event)
    with pytest.raises(Exception, match=r"(?i)unique"):
        await append(store, event)


async def test_unseen_are_notifications_of_opens_that_still_count(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = await store.sender()
    message, muted = await store.message(user), await store.message(user)
    await store.actions.change_message(user.id, muted.id, {"muted": True}, "https://hub.example.com")
    async with a_recorder(store, tmp_path) as recorder:
        for at, to in ((T0, message), (T0 + 60_000, message), (T0 + 120_000, message), (T0, muted)):
            await recorder.record(a_visit(to, at=at))
    assert await store.events.unseen(user.id, 0, 100) == 3
    first = next(event for event in await store.log(user) if event.type == "open.recorded")
    assert await store.events.unseen(user.id, 0, first.sequence) == 1, "what comes after the head is told later"
    assert await store.events.unseen(user.id, first.sequence, 100) == 2
    store.clock.at = T0 + 121_000
    await store.actions.view(user.id, message.id)
    assert await store.events.unseen(user.id, 0, 100) == 2
    assert await store.events.unseen("nobody", 0, 100) == 0
    monkeypatch.setattr("hub.store.events.UNSEEN_EVENTS", 100 - first.sequence)
    assert await store.events.unseen(user.id, 0, 100) == 1, "only the newest events are looked through"
    monkeypatch.undo()
    monkeypatch.setattr("hub.store.events.MOST_UNSEEN", 2)
    assert await store.events.unseen(user.id, 0, 100) == 1, "of the newest two, one was taken back; no more are counted"


async def test_log_of_a_message_that_is_gone_can_still_be_read(store: Store) -> None:
    """An event refers to things by id, and keeps its number whatever becomes of them."""
    user = await store.sender()
    await append(store, an_event(user_id=user.id, sequence=1, message=a_message(), open=an_open()))
    [event] = await store.log(user)
    assert (event.sequence, event.message, event.open) == (1, None, None)


@pytest.mark.parametrize("slices", [1, 3])
async def test_trim_takes_the_oldest_and_leaves_the_rest_gapless(
    store: Store, slices: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.store.events.TRIM_SLICE", 4)
    user, other = await store.sender(), await store.sender()
    ages = [T0 + n * 1000 for n in range(10)]
    for each in (user, other):
        await append(store, *(Event(each.id, n, "notifications.seen", at, seen=1) for n, at in enumerate(ages, 1)))
    for _ in range(slices):
        await store.events.trim(user.id, T0 + 6000, T0 + 10_000)
    kept = [event.sequence for event in await store.log(user)]
    assert kept == list(range(5 if slices == 1 else 7, 11))
    assert [event.sequence for event in await store.log(other)] == list(range(1, 11))
    assert await store.events.trim(user.id, T0, T0 + 10_000) == 0


async def test_trim_never_leaves_a_hole_though_a_late_event_is_older(store: Store) -> None:
    user = await store.sender()
    for sequence, at in ((1, T0), (2, T0 + 10_000), (3, T0), (4, T0)):
        await append(store, Event(user.id, sequence, "notifications.seen", at, seen=1))
    await store.events.trim(user.id, T0 + 5000, T0 + 10_000)
    assert [event.sequence for event in await store.log(user)] == [2, 3, 4]


YEAR_MS = 365 * DAY_MS


@pytest.mark.parametrize("ahead", [1, 3, 7])
async def test_trim_passes_over_events_dated_while_the_clock_was_ahead(
    store: Store, ahead: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise one event that is dated next year would keep all later ones until then."""
    monkeypatch.setattr("hub.store.events.TRIM_SLICE", 3)
    user = await store.sender()
    times = [T0, *[T0 + YEAR_MS] * ahead, T0 + 1, T0 + 2, T0 + 5000, T0 + 5001]
    await append(store, *(Event(user.id, n, "notifications.seen", at, seen=1) for n, at in enumerate(times, 1)))
    while await store.events.trim(user.id, T0 + 5000, T0 + 9000):
        pass
    kept = await store.log(user)
    assert [event.at for event in kept] == [T0 + 5000, T0 + 5001]
    assert [event.sequence for event in kept] == [len(times) - 1, len(times)]


@pytest.mark.parametrize(
    ("after", "kept"),
    [((), [2, 3]), ((T0 + 8000,), [2, 3, 4]), ((T0 + 8000, T0 + 1), [2, 3, 4, 5])],
    ids=["nothing-after", "fresh-after", "fresh-and-late-after"],
)
async def test_trim_keeps_events_dated_by_a_clock_ahead_that_may_be_fresh(
    store: Store, after: tuple[int, ...], kept: list[int]
) -> None:
    user = await store.sender()
    times = (T0, T0 + YEAR_MS, T0 + YEAR_MS + 1, *after)
    await append(store, *(Event(user.id, n, "notifications.seen", at, seen=1) for n, at in enumerate(times, 1)))
    for _ in range(2):
        await store.events.trim(user.id, T0 + 5000, T0 + 9000)
    assert [event.sequence for event in await store.log(user)] == kept


async def test_trim_keeps_an_event_dated_a_little_ahead_by_another_clock(store: Store) -> None:
    """It stays although an older event, of a hit that waited in a spool for as long as the log is kept, follows it."""
    user = await store.sender()
    for sequence, at in ((1, T0), (2, T0 + 9500), (3, T0)):
        await append(store, Event(user.id, sequence, "notifications.seen", at, seen=1))
    await store.events.trim(user.id, T0 + 5000, T0 + 9000)
    assert [event.sequence for event in await store.log(user)] == [2, 3]


async def test_log_is_empty_after_everything_was_trimmed(store: Store) -> None:
    user = await store.sender()
    await store.actions.set_realtime(user.id, True)
    assert await store.events.trim(user.id, T0 + 1, T0 + 1) == 1
    assert (await store.user(user.id)).sequence == 1


async def test_logs_are_gapless_under_batches_and_actions_at_once(store: Store, tmp_path: Path) -> None:
    chance = seeded()
    users = [await store.sender() for _ in range(3)]
    messages = [await store.message(user) for user in users for _ in range(2)]

    async def hits(recorder: Recorder) -> None:
        for _ in range(25):
            await recorder.record(a_visit(chance.choice(messages)))

    async def verbs() -> None:
        for _ in range(8):
            message = chance.choice(messages)
            await store.actions.change_message(message.user_id, message.id, {"muted": chance.random() < 0.5}, "")
            await store.actions.view(message.user_id, message.id)
            await store.actions.mute_all(message.user_id)
            await store.actions.mark_seen(message.user_id, 1)
            await store.message(chance.choice(users))

    async with a_recorder(store, tmp_path) as recorder:
        await together(*(hits(recorder) for _ in range(8)), *(verbs() for _ in range(4)))
    await audit(store.database)
