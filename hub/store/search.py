"""Search: which of a user's messages have a text in them.

Promise: the answer is the same as that of looking for the text, as it stands, in every message, newest first. The index
only says which messages need not be looked at.

The index holds trigrams, every three letters that follow each other, for each user apart: what others write costs a
search hardly anything. Triggers keep it up to date (see migration 0004). A text that many messages have is found
soonest by looking through the newest, one that few have by the index, so it is looked for in that order.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from unicodedata import normalize

from hub.store.database import Database, Row

VIRTUAL = "message_search"
"""The virtual table on SQLite; the names of the tables that it keeps its rows in begin with its own."""

NEWEST = (500, 5_000)
"""How many of the newest messages are looked through before the index is asked."""

PROMISING = 10
"""The second number is tried only if the first filled a tenth of the page (one in PROMISING)."""

TRIGRAM = 3
MOST_TRIGRAMS = 64
"""How many trigrams of a text are considered, from its beginning."""

ASKED = 4
"""How many of them the index is asked for: the rarest, for a trigram that many messages have only makes it slower."""

SAMPLE = 64
SAMPLE_CHARACTERS = 300
"""How many messages, and how many characters of each, are looked at to tell which trigrams are rare."""


class Search:
    """Looks through `messages`, which the queries call `m`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._has_index = None if database.embedded else True

    async def newest(
        self, columns: str, text: str, args: Sequence[Any], keyed: Sequence[str], others: Sequence[str], limit: int
    ) -> Sequence[Row]:
        """The `columns` of at most `limit` messages with `text` in them, newest first.

        `keyed` are the conditions that an index of the messages serves, `others` those that it does not; their
        parameters are `args`, of which the first is the user's id.
        """
        text = folded(text)
        # No backslash: in quotes, PostgreSQL with standard_conforming_strings off takes it for its own.
        escaped = text.replace("!", "!!").replace("%", "!%").replace("_", "!_")
        matching = (*others, f"m.search LIKE ${len(args) + 1} ESCAPE '!'")

        async def found(messages: str, conditions: Sequence[str], *wanted: str) -> Sequence[Row]:
            return await self._database.fetch(
                f"SELECT {columns} FROM {messages} WHERE {' AND '.join(conditions)} ORDER BY m.id DESC LIMIT {limit:d}",
                *args,
                f"%{escaped}%",
                *wanted,
            )

        if not await self._serves(text):
            return await found("messages m", (*keyed, *matching))
        for count in NEWEST:
            page = await found(*self._among(count, keyed, matching))
            if len(page) == limit:
                return page
            if len(page) * PROMISING < limit:
                break
        trigrams = rarest(text, await self._sample(args, keyed))
        candidates = self._having(f"${len(args) + 2}")
        return await found(candidates, (*keyed, *matching), self._wanted(args[0], trigrams))

    async def _serves(self, text: str) -> bool:
        """Whether there is an index, and such a text can be found by it."""
        if len(text) < TRIGRAM or "\0" in text:
            return False
        if self._has_index is None:
            found = await self._database.fetch_one("SELECT name FROM sqlite_master WHERE name = $1", VIRTUAL)
            self._has_index = found is not None
        return self._has_index

    def _among(self, count: int, keyed: Sequence[str], matching: Sequence[str]) -> tuple[str, Sequence[str]]:
        """The table and the conditions for a look through the `count` newest messages only."""
        newest = f"FROM messages m WHERE {' AND '.join(keyed)} ORDER BY m.id DESC LIMIT"
        if self._database.embedded:
            # SQLite would make a copy of a subquery's rows. If there are fewer messages, every id comes after ''.
            return "messages m", (*keyed, f"m.id > coalesce((SELECT m.id {newest} 1 OFFSET {count}), '')", *matching)
        return f"(SELECT * {newest} {count}) AS m", matching

    async def _sample(self, args: Sequence[Any], keyed: Sequence[str]) -> list[str]:
        """The beginnings of the text that is searched, from some of the newest messages."""
        rows = await self._database.fetch(
            f"SELECT substr(m.search, 1, {SAMPLE_CHARACTERS}) AS words FROM messages m"
            f" WHERE {' AND '.join(keyed)} ORDER BY m.id DESC LIMIT {SAMPLE}",
            *args,
            quick=True,
        )
        return [row["words"] for row in rows]

    def _having(self, parameter: str) -> str:
        """SQL for the messages that the index finds by `parameter`: see `_wanted`."""
        if self._database.embedded:
            candidates = f"(SELECT rowid AS place FROM {VIRTUAL} WHERE {VIRTUAL} MATCH {parameter}) AS c"
            return f"{candidates} CROSS JOIN messages m ON m.rowid = c.place"
        # A trigram is hashed behind the user's id, $1, as `trigrams_of` of migration 0004 does: change neither alone.
        # The operator has its full name, for the extension intarray has one like it that the index does not serve. The
        # OFFSET keeps the planner from looking through the user's messages one by one.
        all_ = f"SELECT array_agg(hashtext($1 || t.value)) FROM json_array_elements_text({parameter}::json) AS t"
        having = f"SELECT message_id FROM message_trigrams WHERE trigrams OPERATOR(pg_catalog.@>) ({all_}) OFFSET 0"
        return f"({having}) AS c JOIN messages m ON m.id = c.message_id"

    def _wanted(self, user_id: str, trigrams: Sequence[str]) -> str:
        """What the index is asked for: an expression of FTS5 on SQLite, else a JSON array."""
        if not self._database.embedded:
            return json.dumps(trigrams)
        return " AND ".join('"' + each.replace('"', '""') + '"' for each in (owner_mark(user_id), *trigrams))


def folded(text: str) -> str:
    """`text` without regard to case in any script, nor to how its accents are written (Unicode's form C)."""
    return normalize("NFC", normalize("NFC", text).casefold())


def owner_mark(user_id: str) -> str:
    """The trigram that stands for a user in SQLite's index. It is in capitals, which a folded text hardly ever has.

    Users who share it find each other's messages in the index, but not in the answer. The triggers of migration 0004
    make the same trigram: change neither alone.
    """
    return user_id[-TRIGRAM:].upper()


def rarest(text: str, sample: Sequence[str]) -> list[str]:
    """The trigrams of a text that the fewest texts of the sample have, at most `ASKED`; among equals, the first."""
    ends = range(TRIGRAM, min(len(text), MOST_TRIGRAMS + TRIGRAM - 1) + 1)
    trigrams = dict.fromkeys(text[end - TRIGRAM : end] for end in ends)
    return sorted(trigrams, key=lambda each: sum(each in words for words in sample))[:ASKED]
