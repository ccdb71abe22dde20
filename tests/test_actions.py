"""The actions: each makes a change and its event in one transaction, and publishes the event once, after the commit."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hub import policy
from hub.actions import Actions, BeyondTheLog, Claim, NotFound
from hub.live.notices import Revoked
from hub.model import Crm, Message, Provider, Settings
from hub.store.events import Events
from hub.store.idempotency import KeyReused
from hub.store.users import Users
from tests.factories import (
    BASE_URL,
    T0,
    Store,
    a_draft,
    a_recorder,
    a_visit,
    audit,
    open_store,
    together,
)

Verb = Callable[[Actions, Message], Awaitable[Any]]

VERBS: dict[str, tuple[Verb, str]] = {
    "register": (lambda actions, m: actions.register(m.user_id, a_draft(), BASE_URL), "message.registered"),
    "mute": (lambda actions, m: actions.change_message(m.user_id, m.id, {"muted": True}, BASE_URL), "message.updated"),
    "unmute": (
        lambda actions, m: actions.change_message(m.user_id, m.id, {"muted": False}, BASE_URL),
        "message.updated",
    ),
    "mute all": (lambda actions, m: actions.mute_all(m.user_id), "messages.muted"),
    "realtime off": (lambda actions, m: actions.set_realtime(m.user_id, False), "settings.updated"),
    "seen": (lambda actions, m: actions.mark_seen(m.user_id, 1), "notifications.seen"),
}


async def is_muted(store: Store, message: Message) -> bool:
    return policy.is_muted(await store.reload(message), (await store.user(message.user_id)).settings)


# What holds for every verb


@pytest.mark.parametrize("name", VERBS)
async def test_verb_logs_its_event_and_tells_it_once_committed(store: Store, message: Message, name: str) -> None:
    verb, type_ = VERBS[name]
    user = await store.user(message.user_id)
    store.bus.items.clear()
    await verb(store.actions, message)
    [event] = await store.log(user, after=user.sequence)
    assert (event.type, event.sequence, event.at) == (type_, user.sequence + 1, T0)
    [notice] = store.bus.notices
    assert (notice.user_id, notice.sequence, notice.type, notice.notified) == (user.id, event.sequence, type_, True)
    assert notice.decides is (name in ("mute", "unmute", "mute all", "realtime off"))
    settings = (await store.user(user.id)).settings
    assert msgspec.json.decode(notice.event) == msgspec.json.decode(store.renderer.event(event, settings))
    await audit(store.database)


@pytest.mark.parametrize("name", VERBS)
async def test_verb_that_waited_for_another_is_dated_after_it(store: Store, message: Message, name: str) -> None:
    verb, _ = VERBS[name]
    user = await store.user(message.user_id)
    async with store.database.write() as tx:
        await Users(store.database).lock_owners(tx, [message.id])
        waiting = asyncio.ensure_future(verb(store.actions, message))
        await asyncio.sleep(0)
        store.clock.forward(5)
    await waiting
    [event] = await store.log(user, after=user.sequence)
    assert event.at == T0 + 5
    newest, *_ = await store.messages.page(user.id, limit=1)
    assert newest.created_at == (T0 + 5 if name == "register" else T0)
    assert (await store.user(user.id)).settings.muted_all_at == (T0 + 5 if name == "mute all" else None)


@pytest.mark.parametrize("name", VERBS)
async def test_verb_that_fails_at_its_event_changes_nothing_and_tells_nobody(
    store: Store, message: Message, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = await store.user(message.user_id)
    before = (await store.reload(message), user, len(await store.messages.page(user.id, limit=9)))
    store.bus.items.clear()

    def fail(*_: object) -> None:
        raise RuntimeError("no event")

    monkeypatch.setattr(Events, "added", fail)
    with pytest.raises(RuntimeError, match="no event"):
        await VERBS[name][0](store.actions, message)
    after = (await store.reload(message), await store.user(user.id), len(await store.messages.page(user.id, limit=9)))
    assert after == before
    assert store.bus.items == []


async def test_verbs_on_a_message_that_is_not_the_senders_find_nothing_and_change_nothing(
    store: Store, message: Message
) -> None:
    stranger = await store.sender()
    before = await store.reload(message)
    for verb in (
        store.actions.change_message(stranger.id, message.id, {"muted": True}, BASE_URL),
        store.actions.view(stranger.id, message.id),
        store.actions.view(message.user_id, "none"),
        store.actions.change_message(message.user_id, "none", {"muted": True}, BASE_URL),
    ):
        with pytest.raises(NotFound):
            await verb
    assert await store.reload(message) == before
    assert (await store.user(stranger.id)).sequence == 0
    await audit(store.database)


# Registering


async def test_message_keeps_the_sequence_of_its_registration(store: Store) -> None:
    user = await store.sender()
    first, second = await store.message(user), await store.message(user)
    assert (first.registered_sequence, second.registered_sequence) == (1, 2)
    assert [event.message for event in await store.log(user)] == [first, second]


async def test_key_used_again_gives_the_first_answer_and_changes_nothing(store: Store) -> None:
    user = await store.sender()

    def claim(body: str, answer: str) -> Claim:
        return Claim("key", body, lambda message, _settings: f"{answer} {message.id}")

    first = await store.actions.register(user.id, a_draft(), BASE_URL, claim("body", "first"))
    assert not isinstance(first, str)
    again = await store.actions.register(user.id, a_draft(), BASE_URL, claim("body", "second"))
    assert again == f"first {first[0].id}"
    with pytest.raises(KeyReused):
        await store.actions.register(user.id, a_draft(), BASE_URL, claim("another", "third"))
    assert len(await store.messages.page(user.id, limit=9)) == 1
    assert len(store.bus.notices) == 1
    await audit(store.database)


async def test_key_used_by_many_at_once_registers_one_message(store: Store, migrated_url: str) -> None:
    user = await store.sender()
    claim = Claim("key", "body", lambda message, _settings: message.id)
    async with open_store(migrated_url) as other:
        answers = await together(
            *(each.actions.register(user.id, a_draft(), BASE_URL, claim) for each in (store, other) for _ in range(8))
        )
    ids = {answer if isinstance(answer, str) else answer[0].id for answer in answers}
    assert len(ids) == 1
    assert [message.id for message in await store.messages.page(user.id, limit=9)] == list(ids)
    await audit(store.database)


# Changing


async def test_change_sets_what_it_names(store: Store, message: Message) -> None:
    provider, crm = Provider("gmail", "<1@example.com>"), Crm("hubspot", "7")
    await store.actions.change_message(message.user_id, message.id, {"provider": provider, "sent_at": None}, BASE_URL)
    changed, _ = await store.actions.change_message(message.user_id, message.id, {"crm": crm}, BASE_URL)
    assert (changed.provider, changed.sent_at, changed.crm, changed.muted) == (provider, None, crm, None)
    assert await store.reload(message) == changed


MUTES = {
    "": (False, False),
    "speaker off": (True, False),
    "speaker off, speaker on": (False, False),
    "all": (True, False),
    "all, speaker on": (False, False),
    "all, speaker on, all": (True, True),
    "speaker on, all": (True, True),
    "all, speaker on, speaker off": (True, False),
    "speaker off, all, speaker on": (False, True),
    "all, all": (True, True),
}
"""Acts on the first of two messages; then whether it is muted, and the other, registered after the first act."""


async def test_mute_that_is_later_in_the_log_wins_within_one_millisecond(store: Store) -> None:
    for done, expected in MUTES.items():
        user = await store.sender()
        first = await store.message(user)
        second: Message | None = None
        for act in filter(None, done.split(", ")):
            if act == "all":
                await store.actions.mute_all(user.id)
            else:
                muted = act == "speaker off"
                await store.actions.change_message(user.id, first.id, {"muted": muted}, BASE_URL)
            second = second or await store.message(user)
        second = second or await store.message(user)
        assert (await is_muted(store, first), await is_muted(store, second)) == expected, done


async def test_mute_all_and_a_message_registered_at_the_same_moment_agree_with_the_log(store: Store) -> None:
    user = await store.sender()
    made = await together(store.actions.mute_all(user.id), *(store.message(user) for _ in range(6)))
    settings = (await store.user(user.id)).settings
    for message in made[1:]:
        silent = message.registered_sequence < settings.muted_all_sequence
        assert await is_muted(store, message) == silent


async def test_mute_all_is_one_row_and_says_when(store: Store, message: Message) -> None:
    store.clock.forward(5)
    settings = await store.actions.mute_all(message.user_id)
    assert settings == Settings(True, T0 + 5, 2)
    assert (await store.reload(message)).muted is None
    assert settings == (await store.user(message.user_id)).settings


@pytest.mark.parametrize("act", ["mute", "mute all", "realtime off"])
async def test_open_after_a_mute_or_realtime_off_is_recorded_and_not_told(
    store: Store, message: Message, tmp_path: Path, act: str
) -> None:
    async with a_recorder(store, tmp_path) as recorder:
        await recorder.record(a_visit(message))
        await VERBS[act][0](store.actions, message)
        await recorder.record(a_visit(message, at=T0 + 60_000))
    told = [event for event in await store.log(await store.user(message.user_id)) if event.type == "open.recorded"]
    withheld = "realtime_off" if act == "realtime off" else "muted"
    assert [(event.notified, event.withheld) for event in told] == [(True, None), (False, withheld)]
    assert (await store.reload(message)).opens == 2


# Seen


async def test_seen_only_goes_forward_and_is_told_only_then(store: Store, message: Message) -> None:
    user_id = message.user_id
    for _ in range(3):
        await store.actions.set_realtime(user_id, True)
    store.bus.items.clear()
    for sequence in (2, 2, 1, 0, 4):
        await store.actions.mark_seen(user_id, sequence)
    assert (await store.user(user_id)).seen_sequence == 4
    seen = [event.seen for event in await store.log(await store.user(user_id)) if event.type == "notifications.seen"]
    assert seen == [2, 4]
    assert len(store.bus.notices) == 2
    await audit(store.database)


async def test_seen_beyond_the_log_is_refused(store: Store, message: Message) -> None:
    for sequence in (2, 3, 2**53):
        with pytest.raises(BeyondTheLog):
            await store.actions.mark_seen(message.user_id, sequence)
    await store.actions.mark_seen(message.user_id, 1)
    assert (await store.user(message.user_id)).seen_sequence == 1
    await audit(store.database)


async def test_seen_by_many_devices_at_once_is_told_once(store: Store, message: Message) -> None:
    await together(*(store.actions.mark_seen(message.user_id, 1) for _ in range(10)))
    assert (await store.user(message.user_id)).sequence == 2
    await audit(store.database)


async def test_revoked_credentials_are_told_on_the_bus(store: Store) -> None:
    await store.actions.revoke(["token:1", "session:2"])
    assert store.bus.items == [Revoked("token:1"), Revoked("session:2")]
