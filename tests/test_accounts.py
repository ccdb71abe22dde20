"""Accounts as an operator makes them: who can log in, by which password, and with which tokens."""

from __future__ import annotations

import pytest

from hub.accounts import AccountError, add_user, create_token, set_password
from hub.api.auth import TOKEN_PREFIX, secret_hash
from hub.api.passwords import Passwords
from tests.factories import T0, Store

EMAIL = "sender@example.com"
PASSWORD = "correct horse battery"


async def test_account_that_was_made_fits_its_password_alone(store: Store) -> None:
    await add_user(store.database, EMAIL, "A Sender", "admin", PASSWORD)
    found = await store.users.by_email(EMAIL)
    assert found is not None
    user, kept = found
    assert (user.name, user.role) == ("A Sender", "admin")
    passwords = Passwords()
    assert await passwords.verify(kept, PASSWORD)
    assert not await passwords.verify(kept, PASSWORD + "!")
    passwords.close()


async def test_account_whose_address_is_taken_is_refused_by_name(store: Store) -> None:
    await store.sender(EMAIL)
    with pytest.raises(AccountError, match=r"there is an account for SENDER@example\.com already: .*user password"):
        await add_user(store.database, "SENDER@example.com", "Another", "user", PASSWORD)


async def test_password_that_was_set_is_the_only_one_and_ends_the_sessions(store: Store) -> None:
    await add_user(store.database, EMAIL, "A Sender", "user", PASSWORD)
    token = await create_token(store.database, EMAIL, "plugin")
    found = await store.users.by_email(EMAIL)
    assert found is not None
    await store.credentials.add_session(found[0].id, found[1], "hash", None, T0)
    assert await store.credentials.by_session("hash", T0) is not None
    await set_password(store.database, EMAIL.upper(), "another password")
    changed = await store.users.by_email(EMAIL)
    assert changed is not None
    passwords = Passwords()
    assert await passwords.verify(changed[1], "another password")
    assert not await passwords.verify(changed[1], PASSWORD)
    passwords.close()
    assert await store.credentials.by_session("hash", T0) is None
    assert await store.credentials.by_token(secret_hash(token)) is not None


async def test_password_of_nobody_cannot_be_set(store: Store) -> None:
    with pytest.raises(AccountError, match="make one with `glimpse user add`"):
        await set_password(store.database, "nobody@example.com", PASSWORD)


async def test_password_that_is_changed_meanwhile_stays(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    await add_user(store.database, EMAIL, "A Sender", "user", PASSWORD)
    hash_password = Passwords.hash

    async def slowly(passwords: Passwords, password: str) -> str:
        monkeypatch.undo()
        await set_password(store.database, EMAIL, "the sender's own")
        return await hash_password(passwords, password)

    monkeypatch.setattr(Passwords, "hash", slowly)
    with pytest.raises(AccountError, match="try again"):
        await set_password(store.database, EMAIL, "the operator's")
    found = await store.users.by_email(EMAIL)
    assert found is not None
    passwords = Passwords()
    assert await passwords.verify(found[1], "the sender's own")
    passwords.close()


async def test_token_that_was_created_lets_its_account_in(store: Store) -> None:
    user = await store.sender(EMAIL)
    token = await create_token(store.database, EMAIL, "plugin")
    assert token.startswith(TOKEN_PREFIX)
    assert token != await create_token(store.database, EMAIL, "plugin")
    credential = await store.credentials.by_token(secret_hash(token))
    assert credential is not None
    assert credential.user == user
    assert [each.name for each in await store.credentials.tokens_of(user.id)] == ["plugin", "plugin"]


async def test_token_may_be_a_given_one(store: Store) -> None:
    await store.sender(EMAIL)
    given = TOKEN_PREFIX + "x" * 43
    assert await create_token(store.database, EMAIL, "demo", given) == given
    assert await store.credentials.by_token(secret_hash(given)) is not None


async def test_token_for_nobody_is_refused_with_what_to_do(store: Store) -> None:
    with pytest.raises(AccountError, match="make one with `glimpse user add`"):
        await create_token(store.database, "nobody@example.com", "plugin")
