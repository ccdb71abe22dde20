"""Search: with or without the index, on both databases, the answer is that of looking at every message."""

from __future__ import annotations

import sqlite3
from typing import Any
from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from hub.model import Count, Message, User
from hub.store import search
from hub.store.database import Database
from hub.store.messages import search_text
from hub.store.search import ASKED, MOST_TRIGRAMS, folded, rarest
from hub.store.urls import sqlite_path
from tests.factories import T0, Store, open_store, seeded

LETTERS = "aAbß%_!\\'\" *^(-:🙂é\n\ufffe"
TEMPLATES = (None, "t1", "t2")


@pytest.fixture
def by_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every message but the newest one is searched for in the index."""
    monkeypatch.setattr(search, "NEWEST", (1,))


async def found(store: Store, user: User, text: str, **filters: Any) -> list[str]:
    return [message.id for message in await store.messages.page(user.id, **{"limit": 50, "search": text, **filters})]


async def empty_the_index(store: Store) -> None:
    emptied = "INSERT INTO message_search (message_search) VALUES ('delete-all')"
    async with store.database.write() as tx:
        await tx.fetch(emptied if store.database.embedded else "DELETE FROM message_trigrams")


async def indexed(store: Store, text: str, user: User) -> int:
    """How many messages the index has for the first three letters of `text`."""
    if store.database.embedded:
        sql, args = "SELECT count(*) AS n FROM message_search WHERE message_search MATCH $1", [f'"{text[:3]}"']
    else:
        sql, args = "SELECT count(*) AS n FROM message_trigrams WHERE trigrams @> trigrams_of($1, $2)", [user.id, text]
    row = await store.database.fetch_one(sql, *args)
    assert row is not None
    return int(row["n"])


async def drop_the_index(store: Store) -> None:
    """Leave what a migration leaves on an SQLite without FTS5."""
    async with store.database.write() as tx:
        await tx.fetch("DROP TRIGGER message_search_added")
        await tx.fetch("DROP TRIGGER message_search_removed")
        await tx.fetch("DROP TABLE message_search")


async def add_in_vain(store: Store, message: Message) -> None:
    async with store.database.write() as tx:
        await store.messages.add(tx, message)
        raise ZeroDivisionError


async def check_answers(store: Store) -> None:
    """Search for texts that are there and for others, with every filter, and compare with a look at every message."""
    dice = seeded()

    def text(most: int) -> str:
        return "".join(dice.choice(LETTERS) for _ in range(dice.randint(1, most)))

    users = [await store.sender() for _ in range(2)]
    messages: list[Message] = []
    for _ in range(60):
        draft = {"subject": text(12), "template": dice.choice(TEMPLATES)}
        message = await store.message(dice.choice(users), **draft)
        if dice.random() < 0.5:
            async with store.database.write() as tx:
                await tx.change(*store.messages.counted([Count(message.id, 0, 1, 1, T0, T0)]))
            message = replace(message, opens=1)
        messages.append(message)
    seen = 0
    for _ in range(250):
        of, at = dice.choice(messages), dice.randint(0, 6)
        user, limit = (
            dice.choice([*users, *[owner for owner in users if owner.id == of.user_id] * 6]),
            dice.choice((1, 3, 50)),
        )
        wanted = dice.choice((text(2), text(4), of.subject[at : at + dice.randint(1, 6)] or "reader@ex"))
        before = dice.choice(messages).id if dice.random() < 0.3 else None
        opened = dice.choice((True, False)) if dice.random() < 0.3 else None
        template = dice.choice(TEMPLATES) if dice.random() < 0.3 else None
        expected = [
            message.id
            for message in sorted(messages, key=lambda each: each.id, reverse=True)
            if message.user_id == user.id
            and folded(wanted) in search_text(message)
            and (before is None or message.id < before)
            and opened in (None, message.opens > 0)
            and template in (None, message.template)
        ][:limit]
        asked = {"limit": limit, "before": before, "opened": opened, "template": template}
        assert await found(store, user, wanted, **asked) == expected, (wanted, asked)
        seen += len(expected)
    assert seen > 100


@pytest.mark.usefixtures("by_index")
async def test_answer_by_the_index_is_that_of_a_look_at_every_message(store: Store) -> None:
    await check_answers(store)


async def test_answer_from_the_newest_is_that_of_a_look_at_every_message(store: Store) -> None:
    await check_answers(store)


async def test_answer_without_the_index_is_that_of_a_look_at_every_message(migrated_sqlite_url: str) -> None:
    async with open_store(migrated_sqlite_url) as store:
        await drop_the_index(store)
        await check_answers(store)


async def test_answer_is_the_same_where_postgresql_reads_backslashes_in_quotes(migrated_postgresql_url: str) -> None:
    async with open_store(f"{migrated_postgresql_url}?options=-cstandard_conforming_strings%3Doff") as store:
        await check_answers(store)


@pytest.mark.usefixtures("by_index")
async def test_rare_text_is_found_by_the_index(store: Store) -> None:
    user = await store.sender()
    rare = await store.message(user, subject="A rare one")
    for _ in range(3):
        await store.message(user)
    assert await found(store, user, "a rare") == [rare.id]
    await empty_the_index(store)
    assert await found(store, user, "a rare") == [], "the text was searched for outside the index"


async def test_common_text_is_found_without_the_index(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "NEWEST", (3, 6))
    user = await store.sender()
    ids = [(await store.message(user)).id for _ in range(8)][::-1]
    await empty_the_index(store)
    assert await found(store, user, "proposal", limit=3) == ids[:3]
    assert await found(store, user, "proposal", limit=6) == ids[:6], "all of the first three match: six are looked at"
    assert await found(store, user, "proposal", limit=7) == []


@pytest.mark.usefixtures("by_index")
async def test_few_letters_are_found_without_the_index(store: Store) -> None:
    user = await store.sender()
    message = await store.message(user, subject="🙂")
    await store.message(user)
    await empty_the_index(store)
    assert await found(store, user, "🙂") == [message.id]
    assert await found(store, user, "🙂\n") == [message.id]


async def test_nul_finds_nothing_on_sqlite(migrated_sqlite_url: str) -> None:
    async with open_store(migrated_sqlite_url) as store:
        user = await store.sender()
        await store.message(user)
        assert await found(store, user, "no\0such") == []


@pytest.mark.usefixtures("by_index")
async def test_long_text_is_looked_at_to_its_end(store: Store) -> None:
    user = await store.sender()
    long = await store.message(user, subject="x" * 150 + "one")
    await store.message(user, subject="x" * 150 + "two")
    await store.message(user)
    assert await found(store, user, "x" * 100 + "one") == [long.id]


@pytest.mark.usefixtures("by_index")
async def test_text_is_found_however_its_accents_are_written(store: Store) -> None:
    user = await store.sender()
    both = [await store.message(user, subject=normalize(form, "Éclair à l'été")) for form in ("NFC", "NFD")]
    await store.message(user)
    for form in ("NFC", "NFD"):
        assert await found(store, user, normalize(form, "éclair À")) == [message.id for message in reversed(both)]


@pytest.mark.usefixtures("by_index")
async def test_last_of_many_recipients_is_found(store: Store) -> None:
    user = await store.sender()
    many = [f"a.person.with.a.long.name.{number:03}@customer.example" for number in range(500)]
    message = await store.message(user, recipients=many)
    await store.message(user)
    assert await found(store, user, "name.499@") == [message.id]


@pytest.mark.usefixtures("by_index")
async def test_users_whom_the_index_takes_for_one_do_not_see_each_other(store: Store) -> None:
    first, second = await store.sender(), await store.sender()
    alike = replace(second, id=f"z{first.id[1:]}")
    async with store.database.write() as tx:
        await tx.fetch("UPDATE users SET id = $1 WHERE id = $2", alike.id, second.id)
    ours, theirs = await store.message(first), await store.message(alike)
    assert await found(store, first, "proposal") == [ours.id]
    assert await found(store, alike, "proposal") == [theirs.id]


async def test_index_has_a_message_from_its_commit_until_its_user_goes(store: Store) -> None:
    user, stays = await store.sender(), await store.sender()
    kept = await store.message(stays, subject="quux")
    gone = await store.message(user, subject="quux")
    with pytest.raises(ZeroDivisionError):
        await add_in_vain(store, replace(gone, id="0" * 26))
    counts = (1, 1) if not store.database.embedded else (2, 2)
    assert (await indexed(store, "quux", user), await indexed(store, "quux", stays)) == counts
    async with store.database.write() as tx:
        await tx.fetch("DELETE FROM users WHERE id = $1", user.id)
    counts = (0, 1) if not store.database.embedded else (1, 1)
    assert (await indexed(store, "quux", user), await indexed(store, "quux", stays)) == counts
    await store.message(stays)
    assert await found(store, stays, "quux") == [kept.id]


@pytest.mark.usefixtures("by_index")
async def test_index_still_fits_after_vacuum(migrated_sqlite_url: str) -> None:
    """SQLite does not promise that the rows of `messages` keep their numbers, but a table with an index keeps them."""
    async with open_store(migrated_sqlite_url) as store:
        gone, user = await store.sender(), await store.sender()
        for _ in range(3):
            await store.message(gone)
        ids = [(await store.message(user, subject=f"number {number}")).id for number in range(5)]
        async with store.database.write() as tx:
            await tx.fetch("DELETE FROM users WHERE id = $1", gone.id)
    with sqlite3.connect(sqlite_path(migrated_sqlite_url), isolation_level=None) as connection:
        connection.execute("VACUUM")
    connection.close()
    async with open_store(migrated_sqlite_url) as store:
        assert [await found(store, user, f"number {number}") for number in range(5)] == [[id_] for id_ in ids]


async def test_search_looks_through_nobody_elses_messages(
    migrated_sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, Any]] = []

    async def fetch(_self: Database, sql: str, *args: Any, **_: Any) -> list[Any]:
        asked.append((sql, args))
        return []

    async with open_store(migrated_sqlite_url) as store:
        store.messages._search._has_index = True
        with monkeypatch.context() as patch:
            patch.setattr(Database, "fetch", fetch)
            await store.messages.page("user", limit=5, before="message", search="text")
        plans = [await store.database.fetch(f"EXPLAIN QUERY PLAN {sql}", *args) for sql, args in asked]
    steps = [
        str(row["detail"]) for plan in plans for row in plan if "SEARCH" in row["detail"] or "SCAN" in row["detail"]
    ]
    assert steps == [
        "SEARCH m USING INDEX messages_of_user (user_id=? AND id>? AND id<?)",
        "SEARCH m USING COVERING INDEX messages_of_user (user_id=? AND id<?)",
        "SEARCH m USING INDEX messages_of_user (user_id=? AND id<?)",
        "SCAN message_search VIRTUAL TABLE INDEX 0:M2",
        "SEARCH m USING INTEGER PRIMARY KEY (rowid=?)",
    ]


def test_rarest_trigrams_are_those_of_fewest_messages() -> None:
    sample = ["proposal 1 reader1@", "proposal 2 reader2@", "an offer 3 reader3@"]
    assert rarest("reader7@", sample) == ["er7", "r7@", "rea", "ead"]
    assert rarest("proposal", sample)[0] == "pro"
    assert rarest("abc", []) == ["abc"]


@given(st.text(min_size=3), st.lists(st.text(), max_size=5))
def test_rarest_trigrams_are_few_and_in_the_text(text: str, sample: list[str]) -> None:
    trigrams = rarest(text, sample)
    assert 1 <= len(trigrams) <= ASKED
    assert len(set(trigrams)) == len(trigrams)
    assert all(len(each) == 3 and each in text[: MOST_TRIGRAMS + 2] for each in trigrams)
