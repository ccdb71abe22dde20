"""Idempotency keys: the same request twice is one change and one answer, for a day."""

from __future__ import annotations

import pytest

from hub.store.idempotency import KEPT_MS, KeyReused
from tests.factories import T0, Store, open_store, together


async def ask(store: Store, user_id: str, key: str, body: str, answer: str, at: int = T0) -> str:
    """What a caller of the API does: claim the key, do the work, keep the answer."""
    async with store.database.write() as tx:
        earlier = await store.idempotency.claim(tx, user_id, key, body, at)
        if earlier is not None:
            return earlier
        await store.idempotency.keep(tx, user_id, key, answer)
    return answer


async def test_key_gives_its_first_answer_again(store: Store) -> None:
    user = await store.sender()
    assert await ask(store, user.id, "key", "body", "first 🙂") == "first 🙂"
    assert await ask(store, user.id, "key", "body", "second", T0 + KEPT_MS) == "first 🙂"


async def test_key_is_free_again_after_a_day(store: Store) -> None:
    user = await store.sender()
    await ask(store, user.id, "key", "body", "first")
    assert await ask(store, user.id, "key", "another body", "second", T0 + KEPT_MS + 1) == "second"


async def test_key_with_another_body_is_refused(store: Store) -> None:
    user = await store.sender()
    await ask(store, user.id, "key", "body", "first")
    with pytest.raises(KeyReused):
        await ask(store, user.id, "key", "another body", "second")
    assert await ask(store, user.id, "key", "body", "third") == "first"


async def test_key_is_the_users_own(store: Store) -> None:
    user, other = await store.sender(), await store.sender()
    await ask(store, user.id, "key", "body", "first")
    assert await ask(store, other.id, "key", "another body", "second") == "second"


async def test_key_of_a_request_that_failed_is_free(store: Store) -> None:
    user = await store.sender()

    async def fail() -> None:
        async with store.database.write() as tx:
            await store.idempotency.claim(tx, user.id, "key", "body", T0)
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await fail()
    assert await ask(store, user.id, "key", "another body", "second") == "second"


async def test_key_claimed_by_many_at_once_lets_one_do_the_work(store: Store, migrated_url: str) -> None:
    user = await store.sender()
    async with open_store(migrated_url) as other:
        answers = await together(
            *(ask(each, user.id, "key", "body", f"answer {n}") for n in range(10) for each in (store, other))
        )
    assert len(set(answers)) == 1
