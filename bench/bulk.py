"""A database that has grown: millions of opens put in by a few statements, as the hub would have left them.

Every sender has as many messages as every other, and every message as many opens, of which every fifth is no
person's; every fourth message was opened by machines only. The log reaches back 60 days, each user's sequence is
right, and each user has seen their log but for the last UNSEEN events; the sender NEVER_SAW has seen none of it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from bench.world import World, a_world, build
from hub.model import DAY_MS
from hub.store.database import Database
from hub.tracking.rules import RULESET

SENDERS = 5
OPENS_PER_MESSAGE = 10
UNSEEN = 20
NEVER_SAW = 1
"""The sender who asks the query "me, with nothing ever seen"."""

SLICE = 100_000
"""Rows in one statement, which has to end within a statement's time limit on a slow machine, too."""
MESSAGES_SLICE = 10_000
"""Fewer, because PostgreSQL makes the trigrams of each, and an answer that takes longer than 10 s is given up."""

LOG_MS = 60 * DAY_MS
TEMPLATES = 4
"""So few senders and templates that every page is full in the smallest database, too, and answers are as long."""


@dataclass(frozen=True)
class Grown:
    """A database with a number of `opens`. `world` has its senders; the messages are numbered from 0."""

    url: str
    opens: int
    world: World

    @property
    def messages(self) -> int:
        """How many messages there are."""
        return self.opens // OPENS_PER_MESSAGE

    @property
    def sequence(self) -> int:
        """Where each sender's log stands."""
        return self.opens // SENDERS


def grown_id(number: int) -> str:
    """The id of the message or the open with this number: in the form of the hub's, and older than any of its own."""
    return f"00{number:023d}0"


async def grow(url: str, opens: int) -> Grown:
    """Migrate the database at `url` and fill it. `opens` has to be a multiple of SENDERS * OPENS_PER_MESSAGE."""
    grown = Grown(url, opens, a_world(SENDERS, 0))
    await build(url, grown.world)
    database = Database(url)
    await database.connect()
    try:
        filling = _Filling(database, grown)
        for start in range(0, grown.messages, MESSAGES_SLICE):
            await filling.messages(start, min(start + MESSAGES_SLICE, grown.messages))
        for start in range(0, opens, SLICE):
            await filling.opens(start, min(start + SLICE, opens))
        async with database.write() as tx:
            await tx.fetch(
                "UPDATE users SET sequence = $1, seen_sequence = CASE WHEN id = $2 THEN 0 ELSE $3 END",
                grown.sequence,
                grown.world.senders[NEVER_SAW].id,
                grown.sequence - UNSEEN,
            )
    finally:
        await database.disconnect()
    return grown


def _read(message: str) -> str:
    """SQL for whether a person has opened the message with this number."""
    return f"((({message}) / {SENDERS}) % 4 <> 3)"


class _Filling:
    """The statements, in the SQL of one database."""

    def __init__(self, database: Database, grown: Grown) -> None:
        self._database = database
        self._grown = grown
        self._now = time.time_ns() // 1_000_000
        self._step = LOG_MS / grown.opens
        cases = " ".join(f"WHEN {place} THEN '{sender.id}'" for place, sender in enumerate(grown.world.senders))
        self._sender = f"CASE k % {SENDERS} {cases} END"

    async def messages(self, start: int, end: int) -> None:
        sent, last = self._at("k"), self._at(f"k + {self._grown.opens - self._grown.messages}")
        first = self._at(f"k + {self._grown.messages}")
        read, nothing = _read("k"), "CAST(NULL AS BIGINT)"
        template = f"'template ' || ((k / {SENDERS}) % {TEMPLATES})"
        figures = (
            f"CASE WHEN {read} THEN {OPENS_PER_MESSAGE * 4 // 5} ELSE 0 END",
            f"CASE WHEN {read} THEN {first} ELSE {nothing} END, CASE WHEN {read} THEN {last} ELSE {nothing} END",
        )
        async with self._database.write() as tx:
            await tx.fetch(
                "INSERT INTO messages (id, user_id, created_at, registered_sequence, subject, template, format, shared,"
                " sent_at, search, muted_set_sequence, recipient_count, opens, hits, first_opened_at, last_opened_at)"
                f" SELECT {self._id('k')}, {self._sender}, {sent}, 0, 'Proposal ' || k, {template},"
                f" 'html', {self._false}, {sent}, 'proposal ' || k || ' reader' || k || '@example.com', 0, 1,"
                f" {figures[0]}, {OPENS_PER_MESSAGE}, {figures[1]} FROM {self._numbers(start, end)}"
            )
            await tx.fetch(
                "INSERT INTO recipients (message_id, position, address, opens)"
                f" SELECT {self._id('k')}, 1, 'reader' || k || '@example.com', 0 FROM {self._numbers(start, end)}"
            )

    async def opens(self, start: int, end: int) -> None:
        message = self._id(f"k % {self._grown.messages}")
        # The messages' pixels are asked for in turn; every fifth round is by machines.
        counted = f"((k / {self._grown.messages}) % 5 <> 0 AND {_read(f'k % {self._grown.messages}')})"
        async with self._database.write() as tx:
            await tx.fetch(
                "INSERT INTO opens (id, user_id, message_id, position, at, verdict, confidence, reasons, ruleset,"
                " counted, repeat, told, device_type)"
                f" SELECT {self._id('k')}, {self._sender}, {message}, 1, {self._at('k')},"
                f" CASE WHEN {counted} THEN 'human' ELSE 'bot' END, 'high', 'browser', '{RULESET}', {counted},"
                f" {self._false}, {counted}, 'desktop' FROM {self._numbers(start, end)}"
            )
            await tx.fetch(
                "INSERT INTO events (user_id, sequence, type, at, notified, withheld, message_id, open_id)"
                f" SELECT {self._sender}, k / {SENDERS} + 1, 'open.recorded', {self._at('k')}, {counted},"
                f" CASE WHEN {counted} THEN NULL ELSE 'not_counted' END, {message}, {self._id('k')}"
                f" FROM {self._numbers(start, end)}"
            )

    def _at(self, number: str) -> str:
        """SQL for when the open with this number was."""
        return f"CAST({self._now - LOG_MS} + ({number}) * {self._step:.6f} AS BIGINT)"

    def _id(self, number: str) -> str:
        """SQL for `grown_id`."""
        if self._database.embedded:
            return f"printf('00%023d0', {number})"
        return f"'00' || lpad(CAST({number} AS text), 23, '0') || '0'"

    def _numbers(self, start: int, end: int) -> str:
        """SQL for a table of the numbers `k` from `start` up to but not including `end`."""
        if self._database.embedded:
            counting = f"SELECT {start} UNION ALL SELECT k + 1 FROM n WHERE k + 1 < {end}"
            return f"(WITH RECURSIVE n(k) AS ({counting}) SELECT k FROM n) AS numbers"
        return f"generate_series({start}, {end - 1}) AS numbers(k)"

    @property
    def _false(self) -> str:
        return "0" if self._database.embedded else "false"
