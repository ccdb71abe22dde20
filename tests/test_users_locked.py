"""Writes on a user whose row another session of PostgreSQL keeps locked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from hub.model import User
from hub.store.away import RowLocked
from hub.store.users import Users
from tests.absence import locked
from tests.factories import T0, Store, audit, open_store
from tests.processes import eventually


@pytest.fixture
async def store(migrated_postgresql_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Store]:
    """A store that soon finds a row locked, and does not look often."""
    monkeypatch.setattr("hub.store.held.BUSY_SECONDS", 0.05)
    monkeypatch.setattr("hub.store.users.LOOK_SECONDS", 0.01)
    async with open_store(migrated_postgresql_url) as store:
        yield store


async def test_act_on_a_locked_user_waits_for_its_turn_and_leaves_the_writer_to_others(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    user, other = await store.sender(), await store.sender()
    writes, looks = 0, 0

    def counted(*args: Any, **options: Any) -> Any:
        nonlocal writes
        writes += 1
        return write(*args, **options)

    async def looked(self: Users, user_id: str) -> bool:
        nonlocal looks
        looks += 1
        return await is_locked(self, user_id)

    write, is_locked = store.database.write, Users._is_locked
    monkeypatch.setattr(store.database, "write", counted)
    monkeypatch.setattr(Users, "_is_locked", looked)
    async with locked(store, user.id):
        waiting = asyncio.create_task(store.actions.mute_all(user.id))
        await eventually(lambda: looks > 3)
        assert writes == 1
        await store.actions.mute_all(other.id)
        assert not waiting.done()
    assert (await waiting).muted_all_at == T0
    [event] = await store.log(user)
    assert (event.type, event.sequence) == ("messages.muted", 1)
    await audit(store.database)


@pytest.mark.parametrize("what", ["act", "log in", "password", "name"])
async def test_write_on_a_user_who_stays_locked_is_given_up_and_nothing_is_changed(
    store: Store, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr("hub.store.users.TURN_SECONDS", 0.2)
    user = await store.sender()
    tries: dict[str, Callable[[], Awaitable[object]]] = {
        "act": lambda: store.actions.set_realtime(user.id, False),
        "log in": lambda: store.credentials.add_session(user.id, "hash", "session", None, T0),
        "password": lambda: store.credentials.replace_password(user.id, "hash", "new", None),
        "name": lambda: store.users.rename(user.id, "Another"),
    }

    async def state() -> object:
        return await store.users.by_email(user.email), await store.credentials.sessions_of(user.id, T0)

    before = await state()
    async with locked(store, user.id):
        with pytest.raises(RowLocked):
            await tries[what]()
    assert await state() == before
    await tries[what]()
    assert await state() != before


async def test_row_that_is_locked_again_and_again_is_waited_for_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was free when it was looked at, and locked when it was this one's turn."""
    user = await store.sender()
    looks: list[User] = []

    async def said_to_be_free(*_: object) -> bool:
        looks.append(user)
        return False

    monkeypatch.setattr(Users, "_is_locked", said_to_be_free)
    async with locked(store, user.id):
        waiting = asyncio.create_task(store.users.rename(user.id, "Another"))
        await eventually(lambda: len(looks) > 2)
    await waiting
    assert (await store.user(user.id)).name == "Another"
