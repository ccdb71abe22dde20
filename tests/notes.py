"""A database with one table of numbered texts, for the tests of the database itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias

from hub.store.database import Change, Database

ODD_TEXTS = (
    "it's",
    'a "quoted" one',
    "back\\slash and \\u0041",
    "100% of $1, :1, ? and %s",
    "Zażółć gęślą jaźń",
    "🙂 family 👨‍👩‍👧",
    "\u202eright to left",
    "a\nb\tc",
    "",
    " ",
    "null",
    '{"json": [1]}',
)
"""Texts that SQL, JSON or a driver might take for something else."""


@asynccontextmanager
async def a_database(url: str) -> AsyncIterator[Database]:
    """The database at `url`, connected, with the table `note` and one that refers to it."""
    database = Database(url)
    await database.connect()
    async with database.write() as tx:
        await tx.fetch("CREATE TABLE note (id BIGINT PRIMARY KEY, text TEXT)")
        await tx.fetch("CREATE TABLE child (of_note BIGINT NOT NULL REFERENCES note (id))")
    try:
        yield database
    finally:
        await database.disconnect()


async def add(database: Database, number: int, text: str = "") -> None:
    """Write one note."""
    async with database.write() as tx:
        await tx.fetch("INSERT INTO note (id, text) VALUES ($1, $2)", number, text)


async def add_at_once(database: Database, number: int) -> None:
    """Write one note in one statement."""
    asked = Change("SELECT r.column1 FROM ({rows}) AS r WHERE r.column1 IS NOT NULL", "bigint", [(number,)])
    async with database.at_once() as writer:
        assert await writer.change_if(asked, Change("INSERT INTO note (id) {rows}", "bigint", [(number,)]))


Add: TypeAlias = Callable[[Database, int], Awaitable[None]]
WAYS: tuple[Add, ...] = (add, add_at_once)
"""The ways to write one note."""


async def numbers(database: Database) -> list[int]:
    """The numbers of all notes."""
    return [row["id"] for row in await database.fetch("SELECT id FROM note ORDER BY id")]
