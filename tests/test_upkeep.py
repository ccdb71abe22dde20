"""Upkeep: the tasks that a hub does by itself, each at its turn, even if others fail."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import cast

import pytest

from hub.live.bus import Bus
from hub.live.connections import Connections
from hub.model import DAY_MS
from hub.spool import Spool
from hub.store.away import DatabaseAway
from hub.store.retention import Retention
from hub.tracking.datasets import Datasets
from hub.upkeep import BUS_SECONDS, Upkeep
from tests.factories import Store, a_hit, a_recorder, open_store
from tests.processes import eventually


class Checked:
    """Stands for the connections and the data sets: counts its turns, and fails when told to."""

    def __init__(self) -> None:
        self.turns = 0
        self.failure: Callable[[], Exception] | None = None
        self.changed = False
        self.checkers: set[str] = set()
        self.graces: set[float] = set()

    async def check(self, grace: float = 0) -> bool:
        self.graces.add(grace)
        self.checkers.add(cast("asyncio.Task[None]", asyncio.current_task()).get_name())
        return self.reload_if_changed()

    def reload_if_changed(self) -> bool:
        self.turns += 1
        if self.failure is not None:
            raise self.failure()
        return self.changed


class Link:
    """Stands for the bus."""

    up = True
    generation = 1


class Kept:
    """An upkeep whose turns come every few milliseconds, and the parts it keeps up."""

    def __init__(self, store: Store, upkeep: Upkeep, connections: Checked, datasets: Checked, bus: Link) -> None:
        self.store, self.upkeep, self.connections, self.datasets, self.bus = store, upkeep, connections, datasets, bus


@pytest.fixture
def log_check_seconds() -> float:
    """How often the log is checked."""
    return 0.005


@pytest.fixture
def uses_seconds() -> float:
    """How often the uses of credentials are written down."""
    return 3600.0


@pytest.fixture
async def kept(
    migrated_sqlite_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    log_check_seconds: float,
    uses_seconds: float,
) -> AsyncIterator[Kept]:
    for name in ("DATASETS", "ADOPT", "BUS_DOWN", "MACHINE"):
        monkeypatch.setattr(f"hub.upkeep.{name}_SECONDS", 0.005)
    monkeypatch.setattr("hub.upkeep.USES_SECONDS", uses_seconds)
    connections, datasets, bus = Checked(), Checked(), Link()
    async with open_store(migrated_sqlite_url) as store, a_recorder(store, tmp_path / "spool") as recorder:
        upkeep = Upkeep(
            cast(Connections, connections),
            cast(Bus, bus),
            recorder,
            Retention(store.database, 30),
            cast(Datasets, datasets),
            store.credentials,
            log_check_seconds=log_check_seconds,
            sweep_seconds=0.005,
            clock=store.clock,
        )
        yield Kept(store, upkeep, connections, datasets, bus)


async def test_use_of_a_credential_is_written_down_by_the_end(kept: Kept) -> None:
    credentials, user = kept.store.credentials, await kept.store.sender()
    await credentials.add_token(user.id, "laptop", "hash", 0)
    async with kept.upkeep:
        credential = await credentials.by_token("hash")
        assert credential is not None
        credentials.note_use(credential, 7)
    reloaded = await credentials.reload(credential, 1)
    assert reloaded is not None
    assert reloaded.last_used_at == 7


async def test_end_does_not_wait_long_to_write_down_what_was_used(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """The recorder is stopped after the upkeep, and a hub that is to end is given only some seconds for all of it."""
    monkeypatch.setattr("hub.upkeep.LAST_USES_SECONDS", 0.05)
    credentials, user = kept.store.credentials, await kept.store.sender()
    await credentials.add_token(user.id, "laptop", "hash", 0)
    async with asyncio.timeout(5), AsyncExitStack() as silent, kept.upkeep:
        credential = await credentials.by_token("hash")
        assert credential is not None
        credentials.note_use(credential, 7)
        await silent.enter_async_context(kept.store.database.write())
    assert [row.last_used_at for row in await credentials.tokens_of(user.id)] == [7]


async def test_every_task_has_its_turns(kept: Kept, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    user = await kept.store.sender()
    message = await kept.store.message(user)
    dead = Spool(tmp_path / "spool")
    await dead.append([a_hit(message)])
    dead.close()
    kept.datasets.changed = True
    async with kept.upkeep:
        await eventually(lambda: kept.connections.turns > 2 and kept.datasets.turns > 2)
        await eventually(lambda: _hits(kept.store, 1))
        kept.store.clock.forward(31 * DAY_MS)
        await eventually(lambda: _log_is_empty(kept.store))
        await eventually(lambda: "rows whose time was over were deleted" in caplog.text)
    assert "data sets were loaded anew" in caplog.text
    assert not re.search(r"\b0 rows", caplog.text), "a sweep that finds nothing is not worth a line"


@pytest.mark.parametrize("uses_seconds", [0.005])
async def test_use_of_a_credential_is_written_down_at_its_turn(kept: Kept) -> None:
    credentials, user = kept.store.credentials, await kept.store.sender()
    await credentials.add_token(user.id, "laptop", "hash", 0)
    credential = await credentials.by_token("hash")
    assert credential is not None
    async with kept.upkeep:
        credentials.note_use(credential, 7)
        await eventually(lambda: _was_used(kept.store, 7))


async def _was_used(store: Store, at: int) -> bool:
    return [row["last_used_at"] for row in await store.database.fetch("SELECT last_used_at FROM tokens")] == [at]


async def test_database_that_is_away_at_the_end_does_not_keep_the_rest_from_ending(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away() -> None:
        raise DatabaseAway("gone")

    async with kept.upkeep:
        monkeypatch.setattr(kept.store.credentials, "keep_uses", away)


async def test_clock_that_is_set_back_is_told(kept: Kept, caplog: pytest.LogCaptureFixture) -> None:
    async with kept.upkeep:
        kept.store.clock.forward(-3_600_000)
        await eventually(lambda: "the clock was set back by 3600 s" in caplog.text)


async def _hits(store: Store, number: int) -> bool:
    row = await store.database.fetch_one("SELECT sum(hits) AS hits FROM messages")
    return row is not None and row["hits"] == number


async def _log_is_empty(store: Store) -> bool:
    return not await store.database.fetch("SELECT 1 FROM events")


@pytest.mark.parametrize(
    ("failure", "level"),
    [(lambda: DatabaseAway("it is away"), logging.WARNING), (lambda: ValueError("a mistake"), logging.ERROR)],
    ids=["away", "mistake"],
)
async def test_task_that_fails_says_so_and_is_tried_again_at_its_next_turn(
    kept: Kept, failure: Callable[[], Exception], level: int, caplog: pytest.LogCaptureFixture
) -> None:
    kept.connections.failure = failure
    async with kept.upkeep:
        await eventually(lambda: kept.connections.turns > 2)
        assert kept.datasets.turns > 0
    said = [record for record in caplog.records if "the check of the log" in record.getMessage()]
    assert (len(said) == 1) == (level == logging.WARNING), "an outage is not told at each turn"
    assert {record.levelno for record in said} == {level}
    assert all((record.exc_info is None) == (level == logging.WARNING) for record in said)


async def test_task_that_waits_for_the_database_says_so_of_each_outage(
    kept: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    def said(words: str, times: int) -> bool:
        return caplog.text.count(f"the check of the log {words}") == times

    async with kept.upkeep:
        for outage in (1, 2):
            kept.connections.failure = lambda: DatabaseAway("it is away")
            await eventually(partial(said, "waits", outage))
            kept.connections.failure = None
            await eventually(partial(said, "goes on", outage))


@pytest.mark.parametrize("log_check_seconds", [3600.0])
async def test_log_is_checked_sooner_while_the_bus_is_down(kept: Kept) -> None:
    async with kept.upkeep:
        await eventually(lambda: kept.datasets.turns > 2)
        assert kept.connections.turns == 0
        kept.bus.up = False
        await eventually(lambda: kept.connections.turns > 2)
    assert kept.connections.graces == {0}, "there is no bus that could still bring an event"


async def test_log_is_compared_once_a_bus_that_is_up_had_time_to_bring_its_events(kept: Kept) -> None:
    async with kept.upkeep:
        await eventually(lambda: kept.connections.turns > 2)
    assert kept.connections.graces == {BUS_SECONDS}


STANDING_IN = "the check of the log while the bus is down"
MISSED = "events that the bus had not brought were read from the log"


async def test_bus_that_missed_events_is_told_of_once_and_not_relied_on(
    kept: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    kept.connections.changed = True
    async with kept.upkeep:
        await eventually(lambda: STANDING_IN in kept.connections.checkers)
        turns = kept.connections.turns
        await eventually(lambda: kept.connections.turns > turns + 5)
    assert caplog.text.count(MISSED) == 1


@pytest.mark.parametrize(
    ("before", "up", "links"),
    [(True, True, 1), (True, False, 0), (False, True, 0)],
    ids=["and is whole again", "and is down", "before and is up again"],
)
async def test_bus_that_was_cut_meanwhile_is_not_said_to_have_missed_events(
    kept: Kept, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, before: bool, up: bool, links: int
) -> None:
    async def cut(_grace: float = 0) -> bool:
        kept.bus.up, kept.bus.generation = up, kept.bus.generation + links
        missed = kept.connections.reload_if_changed()
        asyncio.get_running_loop().call_soon(setattr, kept.bus, "up", before)
        return missed

    monkeypatch.setattr(kept.connections, "check", cut)
    kept.bus.up, kept.connections.changed = before, True
    async with kept.upkeep:
        await eventually(lambda: kept.connections.turns > 3)
    assert MISSED not in caplog.text


async def test_tasks_have_no_turn_before_the_start_or_after_the_end(kept: Kept) -> None:
    async with kept.upkeep:
        assert kept.connections.turns == 0, "the first turn comes after the first wait"
        await eventually(lambda: kept.connections.turns > 0)
    turns = kept.connections.turns
    await kept.store.sender()
    assert kept.connections.turns == turns
