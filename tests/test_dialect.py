"""The dialect: each piece of SQL means the same on both databases."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from hub.store.database import Change, Database
from tests.notes import ODD_TEXTS, a_database, add

INSERT = "INSERT INTO note (id, text) {rows}"


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with a_database(database_url) as database:
        yield database


async def test_rows_and_texts_carry_any_text_unchanged(database: Database) -> None:
    rows = [{"id": number, "text": text} for number, text in enumerate(ODD_TEXTS)] + [{"id": 99, "text": None}]
    table = database.sql.rows("$1", id="bigint", text="text")
    async with database.write() as tx:
        await tx.fetch(f"INSERT INTO note (id, text) SELECT id, text FROM {table}", json.dumps(rows))
    found = await database.fetch("SELECT id, text FROM note ORDER BY id")
    assert [{"id": row["id"], "text": row["text"]} for row in found] == rows
    for number, text in enumerate(ODD_TEXTS):
        sql = f"SELECT id FROM note WHERE text IN {database.sql.texts('$1')}"
        assert [row["id"] for row in await database.fetch(sql, json.dumps([text]))] == [number]
    assert await database.fetch(f"SELECT id FROM note WHERE text IN {database.sql.texts('$1')}", "[]") == []


async def test_json_rows_are_one_text_with_every_value_as_it_was(database: Database) -> None:
    texts = [*ODD_TEXTS, None]
    async with database.write() as tx:
        await tx.change(Change(INSERT, "bigint text", list(enumerate(texts))))
    rows = database.sql.json_rows("id, text", "(SELECT * FROM note WHERE id >= $1 ORDER BY id) AS n")
    select = f"SELECT {rows} AS all_of_it"
    for first in (0, len(texts)):
        row = await database.fetch_one(select, first)
        assert row is not None
        assert json.loads(row["all_of_it"]) == [[number, text] for number, text in enumerate(texts)][first:]


async def test_rows_are_found_at_their_keys(database: Database) -> None:
    await add(database, 1, '{"a": [1, null]}')
    await add(database, 2, "null")
    keys = database.sql.rows("$1", number="bigint")
    note = database.sql.at_keys(keys, "note", "s.id = r.number")
    rows = database.sql.json_rows(f"s.id, {database.sql.from_json('s.text')}", note)
    row = await database.fetch_one(f"SELECT {rows} AS found", json.dumps([{"number": n} for n in (2, 3, 1)]))
    assert row is not None
    assert sorted(json.loads(row["found"])) == [[1, {"a": [1, None]}], [2, None]]


async def test_field_that_an_object_lacks_is_null_and_numbers_are_whole(database: Database) -> None:
    table = database.sql.rows("$1", id="bigint", text="text", at="bigint")
    objects = [{"id": 2**62, "text": "both", "at": -1}, {"id": 1}, {"id": 0, "text": None, "more": "than is asked for"}]
    found = await database.fetch(f"SELECT id, text, at FROM {table} ORDER BY id", json.dumps(objects))
    assert [tuple(row.values()) for row in map(dict, found)] == [(0, None, None), (1, None, None), (2**62, "both", -1)]
    assert await database.fetch(f"SELECT id FROM {table}", "[]") == []


async def test_keys_with_more_than_one_field_find_their_rows_and_no_other(database: Database) -> None:
    for number, text in enumerate(["a", "b", "a"]):
        await add(database, number, text)
    keys = database.sql.rows("$1", number="bigint", word="text")
    found = database.sql.at_keys(keys, "note", "s.id = r.number AND s.text = r.word")
    asked = [{"number": number, "word": word} for number, word in [(2, "a"), (1, "a"), (0, "a"), (3, "a")]]
    rows = await database.fetch(f"SELECT s.id, r.word FROM {found} ORDER BY s.id", json.dumps(asked))
    assert [(row["id"], row["word"]) for row in rows] == [(0, "a"), (2, "a")]


async def test_rows_that_are_read_to_be_changed_are_read_in_their_order(database: Database) -> None:
    for number in (3, 1, 2):
        await add(database, number)
    async with database.write() as tx:
        rows = await tx.fetch(f"SELECT id FROM note WHERE id > $1 ORDER BY id {database.sql.for_update}", 1)
    assert [row["id"] for row in rows] == [2, 3]
