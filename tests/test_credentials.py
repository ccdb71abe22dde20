"""Credentials: tokens and sessions, found by hash, revoked by their owner alone."""

from __future__ import annotations

import asyncio

import pytest

from hub.model import User
from hub.store.away import DatabaseAway
from hub.store.credentials import SESSION_MS, Credential, Credentials
from hub.store.database import Database
from tests.factories import T0, Store


async def add_session(store: Store, user: User, session_hash: str, device: str | None = None) -> str:
    session = await store.credentials.add_session(user.id, "hash", session_hash, device, T0)
    assert session is not None
    return session


async def add_credential(store: Store, user: User, kind: str) -> Credential:
    if kind == "token":
        await store.credentials.add_token(user.id, "laptop", "hash", T0)
        credential = await store.credentials.by_token("hash")
    else:
        await add_session(store, user, "hash")
        credential = await store.credentials.by_session("hash", T0)
    assert credential is not None
    return credential


async def test_token_says_whose_it_is_until_it_is_removed(store: Store) -> None:
    user = await store.sender()
    row = await store.credentials.add_token(user.id, "laptop", "hash", T0)
    assert (row.name, row.created_at, row.last_used_at) == ("laptop", T0, None)
    credential = await store.credentials.by_token("hash")
    assert credential == Credential("token", row.id, user, None)
    assert credential.key == f"token:{row.id}"
    assert await store.credentials.reload(credential, T0) == credential
    assert await store.credentials.remove_token(user.id, row.id)
    assert await store.credentials.by_token("hash") is None
    assert await store.credentials.reload(credential, T0) is None
    assert not await store.credentials.remove_token(user.id, row.id)


async def test_tokens_are_listed_newest_first_to_their_owner_only(store: Store) -> None:
    user, stranger = await store.sender(), await store.sender()
    rows = [await store.credentials.add_token(user.id, f"token {n}", f"hash {n}", T0 + n) for n in range(3)]
    assert await store.credentials.tokens_of(user.id) == rows[::-1]
    assert await store.credentials.tokens_of(stranger.id) == []
    assert not await store.credentials.remove_token(stranger.id, rows[0].id)
    assert await store.credentials.by_token("hash 0") is not None


async def test_session_says_whose_it_is_until_it_expires(store: Store) -> None:
    user = await store.sender()
    session = await add_session(store, user, "hash", "Firefox on Linux")
    credential = await store.credentials.by_session("hash", T0 + SESSION_MS - 1)
    assert credential == Credential("session", session, user, T0)
    assert await store.credentials.by_session("hash", T0 + SESSION_MS) is None
    assert await store.credentials.reload(credential, T0 + SESSION_MS - 1) == credential
    assert await store.credentials.reload(credential, T0 + SESSION_MS) is None
    assert [row.device for row in await store.credentials.sessions_of(user.id, T0)] == ["Firefox on Linux"]
    assert await store.credentials.sessions_of(user.id, T0 + SESSION_MS) == []


async def test_open_connections_credentials_are_valid_until_they_expire_or_are_revoked(store: Store) -> None:
    user = await store.sender()
    token = await store.credentials.add_token(user.id, "laptop", "hash", T0)
    session = await add_session(store, user, "hash")
    both = {f"token:{token.id}", f"session:{session}"}
    asked = {*both, f"session:{token.id}", f"token:{session}", "token:never made"}
    assert await store.credentials.valid(asked, T0 + SESSION_MS - 1) == both
    assert await store.credentials.valid(asked, T0 + SESSION_MS) == {f"token:{token.id}"}
    assert await store.credentials.remove_session(user.id, session)
    assert await store.credentials.valid(asked, T0) == {f"token:{token.id}"}
    assert await store.credentials.remove_token(user.id, token.id)
    assert await store.credentials.valid(asked, T0) == set()


async def test_session_is_ended_by_its_owner_only(store: Store) -> None:
    user, stranger = await store.sender(), await store.sender()
    session = await add_session(store, user, "hash")
    assert not await store.credentials.remove_session(stranger.id, session)
    assert await store.credentials.remove_session(user.id, session)
    assert not await store.credentials.remove_session(user.id, session)
    assert await store.credentials.by_session("hash", T0) is None


async def test_hash_of_one_kind_is_not_taken_for_the_other(store: Store) -> None:
    user = await store.sender()
    await store.credentials.add_token(user.id, "laptop", "of a token", T0)
    await add_session(store, user, "of a session")
    assert await store.credentials.by_session("of a token", T0) is None
    assert await store.credentials.by_token("of a session") is None


async def test_new_password_ends_the_other_sessions_of_the_user(store: Store) -> None:
    user, other = await store.sender("sender@example.com"), await store.sender()
    kept, *ended = [await add_session(store, user, f"hash {n}") for n in range(3)]
    await add_session(store, other, "of another")
    replaced = await store.credentials.replace_password(user.id, "hash", "new", kept)
    assert set(replaced or ()) == set(ended)
    found = await store.users.by_email("sender@example.com")
    assert found is not None
    assert found[1] == "new"
    assert [row.id for row in await store.credentials.sessions_of(user.id, T0)] == [kept]
    assert await store.credentials.by_session("of another", T0) is not None
    assert await store.credentials.replace_password(user.id, "new", "newer", None) == [kept]


async def test_password_that_is_not_the_current_one_any_more_does_nothing(store: Store) -> None:
    user = await store.sender("sender@example.com")
    session = await add_session(store, user, "hash")
    assert await store.credentials.add_session(user.id, "an older", "another", None, T0) is None
    assert await store.credentials.replace_password(user.id, "an older", "new", None, "Another") is None
    assert [row.id for row in await store.credentials.sessions_of(user.id, T0)] == [session]
    assert await store.users.by_email("sender@example.com") == (user, "hash")


@pytest.mark.parametrize("kind", ["token", "session"])
async def test_use_is_noted(store: Store, kind: str) -> None:
    user = await store.sender()
    credential = await add_credential(store, user, kind)
    store.credentials.note_use(credential, T0 + 5)
    await store.credentials.keep_uses()
    reloaded = await store.credentials.reload(credential, T0)
    assert reloaded is not None
    assert reloaded.last_used_at == T0 + 5


@pytest.mark.parametrize("kind", ["token", "session"])
async def test_use_that_is_written_down_after_a_later_one_changes_nothing(store: Store, kind: str) -> None:
    user, other = await store.sender(), Credentials(store.database)
    credential = await add_credential(store, user, kind)
    for credentials, at in ((store.credentials, T0 + 5), (other, T0 + 9), (store.credentials, T0 + 7)):
        credentials.note_use(credential, at)
        await credentials.keep_uses()
    reloaded = await store.credentials.reload(credential, T0)
    assert reloaded is not None
    assert reloaded.last_used_at == T0 + 9


async def test_uses_are_kept_together_and_shown_at_once(store: Store) -> None:
    user = await store.sender()
    for number in range(3):
        await store.credentials.add_token(user.id, "laptop", f"hash {number}", T0)
        credential = await store.credentials.by_token(f"hash {number}")
        assert credential is not None
        store.credentials.note_use(credential, T0 + number)
    assert [row.last_used_at for row in await store.credentials.tokens_of(user.id)] == [T0 + 2, T0 + 1, T0]


async def test_uses_that_cannot_be_kept_are_kept_later(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    user = await store.sender()
    await store.credentials.add_token(user.id, "laptop", "hash", T0)
    credential = await store.credentials.by_token("hash")
    assert credential is not None
    store.credentials.note_use(credential, T0 + 5)
    with monkeypatch.context() as patch:
        patch.setattr(Database, "write", away)
        with pytest.raises(DatabaseAway):
            await store.credentials.keep_uses()
        assert [row.last_used_at for row in await store.credentials.tokens_of(user.id)] == [None]
    assert [row.last_used_at for row in await store.credentials.tokens_of(user.id)] == [T0 + 5]


async def test_uses_whose_keeping_is_cut_off_are_kept_later(store: Store) -> None:
    user = await store.sender()
    for number in range(2):
        await store.credentials.add_token(user.id, "laptop", f"hash {number}", T0)
    first, second = [await store.credentials.by_token(f"hash {number}") for number in range(2)]
    assert first is not None
    assert second is not None
    store.credentials.note_use(first, T0 + 5)
    store.credentials.note_use(second, T0 + 6)
    async with store.database.write():
        keeping = asyncio.create_task(store.credentials.keep_uses())
        await asyncio.sleep(0)
        store.credentials.note_use(first, T0 + 7)
        keeping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await keeping
    assert [row.last_used_at for row in await store.credentials.tokens_of(user.id)] == [T0 + 6, T0 + 7]


def away(_database: Database) -> None:
    raise DatabaseAway("gone")


async def test_reloaded_credential_has_the_user_as_they_are_now(store: Store) -> None:
    user = await store.sender()
    await store.credentials.add_token(user.id, "laptop", "hash", T0)
    credential = await store.credentials.by_token("hash")
    assert credential is not None
    await store.actions.set_realtime(user.id, False)
    reloaded = await store.credentials.reload(credential, T0)
    assert reloaded is not None
    assert not reloaded.user.settings.realtime_notifications
