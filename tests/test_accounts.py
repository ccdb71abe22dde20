"""Accounts as an operator makes them: an account that can log in, and tokens that are kept as hashes."""

from __future__ import annotations

import pytest

from hub.accounts import AccountError, add_user, create_token
from hub.api.auth import TOKEN_PREFIX, secret_hash
from hub.api.passwords import Passwords
from tests.factories import Store

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
    with pytest.raises(AccountError, match=r"there is an account for SENDER@example\.com already: log in"):
        await add_user(store.database, "SENDER@example.com", "Another", "user", PASSWORD)


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
