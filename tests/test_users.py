"""Users: accounts, and the sequences of their logs."""

from __future__ import annotations

import asyncio

import pytest

from hub.model import Settings, User
from hub.store.away import RowLocked
from hub.store.users import EmailTaken
from tests.factories import T0, Store, open_store, together


async def test_account_is_found_by_id_and_by_address_in_any_case(store: Store) -> None:
    assert not await store.users.any()
    user = await store.users.add("Sender@Example.com", "A Sender", "admin", "hash", T0)
    assert user == User(user.id, "sender@example.com", "A Sender", "admin", Settings(), 0, 0)
    assert await store.users.any()
    assert await store.users.get(user.id) == user
    assert await store.users.by_email("SENDER@example.COM") == (user, "hash")


async def test_user_who_is_unknown_is_none(store: Store) -> None:
    await store.sender("sender@example.com")
    assert await store.users.get("nobody") is None
    assert await store.users.by_email("%@example.com") is None
    assert await store.users.heads(["nobody"]) == {}


async def test_second_account_with_the_address_is_refused(store: Store) -> None:
    first = await store.sender("sender@example.com")
    with pytest.raises(EmailTaken):
        await store.sender("SENDER@example.com")
    assert (await store.user(first.id)).name == "A Sender"


async def test_accounts_made_at_once_with_one_address_are_one(store: Store) -> None:
    made = await asyncio.gather(*(store.sender("sender@example.com") for _ in range(10)), return_exceptions=True)
    assert sum(isinstance(each, User) for each in made) == 1
    assert sum(isinstance(each, EmailTaken) for each in made) == 9


async def test_bump_takes_each_sequence_once(store: Store) -> None:
    user, other = await store.sender(), await store.sender()
    taken: list[int] = []

    async def bump() -> None:
        async with store.database.write() as tx:
            taken.append((await store.users.bump(tx, user.id)).sequence)

    await together(*(bump() for _ in range(50)))
    assert taken == list(range(1, 51))
    assert await store.users.heads([user.id, other.id]) == {user.id: 50, other.id: 0}


async def test_bump_that_is_rolled_back_takes_no_sequence(store: Store) -> None:
    user = await store.sender()

    async def fail() -> None:
        async with store.database.write() as tx:
            await store.users.bump(tx, user.id)
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await fail()
    assert (await store.user(user.id)).sequence == 0


async def test_bump_and_set_of_nobody_raise(store: Store) -> None:
    async with store.database.write() as tx:
        with pytest.raises(LookupError):
            await store.users.bump(tx, "nobody")
        with pytest.raises(LookupError):
            await store.users.set(tx, "nobody", name="Nobody")


async def test_write_on_a_user_has_the_user_as_of_the_lock_and_keeps_others_waiting(store: Store) -> None:
    user = await store.sender()

    async def renamed() -> None:
        async with store.users.write(user.id) as (tx, locked):
            name = f"{locked.name}+"
            await asyncio.sleep(0)
            await store.users.set(tx, user.id, name=name)

    await together(*(renamed() for _ in range(10)))
    assert (await store.user(user.id)).name == user.name + 10 * "+"


async def test_write_on_nobody_raises(store: Store) -> None:
    with pytest.raises(LookupError):
        async with store.users.write("nobody"):
            pass


async def test_write_on_a_user_does_not_repeat_a_block_that_finds_another_row_locked(store: Store) -> None:
    user = await store.sender()
    begun: list[str] = []

    async def write() -> None:
        async with store.users.write(user.id) as (tx, _):
            begun.append(user.id)
            await store.users.set(tx, user.id, name="Nobody's")
            raise RowLocked("of another table")

    with pytest.raises(RowLocked):
        await write()
    assert begun == [user.id]
    assert (await store.user(user.id)).name == user.name


async def test_owners_of_messages_are_locked_and_advanced(store: Store) -> None:
    users = [await store.sender() for _ in range(3)]
    messages = [await store.message(user) for user in users for _ in range(2)]
    async with store.database.write() as tx:
        await store.users.lock_owners(tx, [message.id for message in messages[:4]] + ["none"])
        if not store.database.embedded:
            free = await store.database.fetch("SELECT id FROM users FOR UPDATE SKIP LOCKED")
            assert [row["id"] for row in free] == [users[2].id]
        await tx.change(store.users.advanced({users[0].id: 7, users[1].id: 9}))
    assert await store.users.heads(user.id for user in users) == {users[0].id: 7, users[1].id: 9, users[2].id: 2}


async def test_name_is_set(store: Store) -> None:
    user = await store.sender()
    await store.users.rename(user.id, "Zoë O'Neill 🙂")
    assert (await store.user(user.id)).name == "Zoë O'Neill 🙂"


async def test_secret_is_kept_for_ever_by_whoever_asks_first(store: Store, migrated_url: str) -> None:
    async with open_store(migrated_url) as other:
        answers = await together(store.users.secret("pixel", "one"), other.users.secret("pixel", "other"))
    assert len(set(answers)) == 1
    assert await store.users.secret("pixel", "third") == answers[0]
    assert await store.users.secret("another", "third") == "third"
