"""The recorder while its database is away: a hit that was answered is recorded once, whatever happens."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest

from hub.model import Hit, Message
from hub.recorder import Recorder
from hub.spool import REJECTED, Spool
from hub.store.database import Change, Held
from tests.absence import Lock, times
from tests.factories import (
    T0,
    Stopwatch,
    Store,
    a_hit,
    a_recorder,
    a_visit,
    audit,
    make_recorder,
    open_store,
    together,
)
from tests.processes import eventually


@pytest.fixture
def spool_dir(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def away(store: Store, request: pytest.FixtureRequest) -> Lock:
    """`async with away.held(): …`: the database is away for as long as the block."""
    return Lock(store, None if store.database.embedded else request.getfixturevalue("postgres"))


@pytest.mark.alone
async def test_database_that_is_away_costs_no_hit_and_no_long_wait(
    store: Store, message: Message, spool_dir: Path, away: Lock
) -> None:
    async with a_recorder(store, spool_dir) as recorder:
        await recorder.record(a_visit(message, at=T0))
        async with away.held():
            for n in range(1, 4):
                with Stopwatch() as watch:
                    await together(*(recorder.record(a_visit(message, at=T0 + 10 * n + m)) for m in range(3)))
                assert watch.seconds < 4, "a commit may take 5 s; a lock, or a server that is gone, is not waited for"
            assert recorder.spooling
            why = " (database is locked)" if store.database.embedded else ""
            assert recorder.trouble == f"the database is away{why}; hits go to the spool"
            assert recorder.spool_depth == 9
        await eventually(lambda: not recorder.spooling)
        assert recorder.trouble is None
        assert recorder.spool_depth == 0
        await recorder.record(a_visit(message, at=T0 + 99))
    assert await times(store) == [T0, *(T0 + 10 * n + m for n in range(1, 4) for m in range(3)), T0 + 99]
    assert not Spool(spool_dir).pending()
    await audit(store.database)


async def test_hits_while_the_spool_is_replayed_do_not_overtake_it(
    store: Store, message: Message, spool_dir: Path
) -> None:
    put = [a_hit(message, at=T0 + n) for n in range(700)]
    dead = Spool(spool_dir)
    await dead.append(put)
    dead.close()
    async with a_recorder(store, spool_dir) as recorder:
        assert recorder.spooling
        await recorder.record(a_visit(message, at=T0 + 1000))
        await eventually(lambda: not recorder.spooling)
        await recorder.record(a_visit(message, at=T0 + 2000))
    assert await times(store) == [*(T0 + n for n in range(700)), T0 + 1000, T0 + 2000]
    await audit(store.database)


async def test_spool_is_left_again_though_hits_never_stop_coming(
    store: Store, message: Message, spool_dir: Path
) -> None:
    dead = Spool(spool_dir)
    await dead.append([a_hit(message, at=T0 - 1000 + n) for n in range(1000)])
    dead.close()
    answered: list[int] = []
    ended = asyncio.Event()

    async def hit(lane: int) -> None:
        at = T0 + lane * 1_000_000
        while not ended.is_set():
            at += 1
            await recorder.record(a_visit(message, at=at))
            answered.append(at)

    async with a_recorder(store, spool_dir) as recorder:
        lanes = [asyncio.create_task(hit(lane)) for lane in range(20)]
        await eventually(lambda: not recorder.spooling)
        ended.set()
        await together(*lanes)
    found = await times(store)
    assert found[:1000] == [T0 - 1000 + n for n in range(1000)]
    assert sorted(found[1000:]) == sorted(answered)
    for lane in range(20):
        ours = [at for at in found[1000:] if T0 + lane * 1_000_000 < at <= T0 + (lane + 1) * 1_000_000]
        assert ours == sorted(ours), "none of a lane overtook another"
    await audit(store.database)


async def test_stop_records_what_waits(store: Store, message: Message, spool_dir: Path) -> None:
    recorder = make_recorder(store, Spool(spool_dir))
    await recorder.start()
    waiting = [asyncio.create_task(recorder.record(a_visit(message, at=T0 + n))) for n in range(600)]
    await asyncio.sleep(0)
    await recorder.stop()
    await together(*waiting)
    assert len(await times(store)) == 600
    assert recorder.trouble == "the recorder is not running"


async def test_stop_while_the_database_is_away_leaves_the_hits_to_the_next_start(
    store: Store, message: Message, spool_dir: Path, away: Lock
) -> None:
    async with away.held(), a_recorder(store, spool_dir) as recorder:
        await together(*(recorder.record(a_visit(message, at=T0 + n)) for n in range(3)))
    assert await times(store) == []
    async with a_recorder(store, spool_dir) as recorder:
        await eventually(lambda: not recorder.spooling)
    assert await times(store) == [T0, T0 + 1, T0 + 2]
    await audit(store.database)


def files_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def test_commit_whose_answer_never_came_is_not_repeated_and_is_told(
    store: Store, message: Message, spool_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_if = Held.change_if
    lost = iter([True])

    async def lose_the_answer(self: Held, *changes: Change) -> bool:
        changed = await change_if(self, *changes)
        if next(lost, False):
            raise ConnectionResetError("the answer was lost")
        return changed

    async with a_recorder(store, spool_dir) as recorder:
        monkeypatch.setattr(Held, "change_if", lose_the_answer)
        await together(*(recorder.record(a_visit(message, at=T0 + n)) for n in range(3)))
        await eventually(lambda: not recorder.spooling)
    assert next(lost, None) is None
    assert files_in(spool_dir) == [], "nothing is left and nothing was put aside"
    assert await times(store) == [T0, T0 + 1, T0 + 2]
    *_, last = await store.log(await store.user(message.user_id))
    told = store.bus.notices[-1]
    assert (told.user_id, told.sequence, told.notified) == (message.user_id, last.sequence, last.notified)
    assert told.committed_at == store.clock()
    await audit(store.database)


async def test_commit_whose_answer_never_came_is_not_announced_once_it_is_muted(
    store: Store, message: Message, spool_dir: Path
) -> None:
    recorder = make_recorder(store, Spool(spool_dir))
    hits = [a_hit(message, at=T0 + n) for n in range(3)]
    await recorder._commits.record(hits[:1])
    async with store.database.write() as tx:
        await tx.fetch("UPDATE users SET realtime_notifications = $1 WHERE id = $2", False, message.user_id)
    notices, gone = await recorder._commits.replay(hits[:1])
    assert [(notice.type, notice.notified) for notice in notices] == [("open.recorded", False)]
    assert gone == []
    notices, gone = await recorder._commits.replay(hits)
    assert [notice.sequence for notice in notices] == [3, 4], "whoever lacks the one before reads the log"
    await audit(store.database)


@pytest.mark.alone
async def test_database_that_does_not_answer_in_time_is_away_and_the_log_says_so(
    store: Store, message: Message, spool_dir: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fetch = Held.fetch
    silent = asyncio.Event()

    async def hang(self: Held, sql: str, *args: object) -> object:
        if not silent.is_set() and sql.startswith("SELECT"):
            await silent.wait()
        return await fetch(self, sql, *args)

    async with a_recorder(store, spool_dir, commit_seconds=0.5) as recorder:
        monkeypatch.setattr(Held, "fetch", hang)
        with Stopwatch() as watch:
            await recorder.record(a_visit(message))
        assert watch.seconds < 10, "the database would never have answered"
        assert "the database is away (it does not answer): hits go to the spool" in caplog.text
        silent.set()
        await eventually(lambda: not recorder.spooling)
    assert await times(store) == [T0]
    await audit(store.database)


BEYOND = 2**63
"""A position that is too large for its column."""


async def test_poisoned_hit_is_put_aside_and_blocks_nobody(
    store: Store, message: Message, spool_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with a_recorder(store, spool_dir) as recorder:
        await together(*(recorder.record(a_visit(message, BEYOND if n == 2 else 1, at=T0 + n)) for n in range(5)))
        await eventually(lambda: not recorder.spooling)
        await recorder.record(a_visit(message, at=T0 + 9))
        assert recorder.trouble is None
    assert await times(store) == [T0, T0 + 1, T0 + 3, T0 + 4, T0 + 9]
    [aside] = (spool_dir / REJECTED).read_bytes().splitlines()
    assert msgspec.json.decode(aside, type=Hit).at == T0 + 2
    assert "put aside" in caplog.text
    await audit(store.database)


@asynccontextmanager
async def refusal(store: Store) -> AsyncIterator[None]:
    """For as long as the block, a trigger has the database refuse any open, as during maintenance."""
    said, drop = "in maintenance", "DROP TRIGGER no ON opens"
    make: tuple[str, ...] = (
        f"CREATE FUNCTION no() RETURNS trigger AS $$BEGIN RAISE EXCEPTION '{said}'; END$$ LANGUAGE plpgsql",
        "CREATE TRIGGER no BEFORE INSERT ON opens FOR EACH ROW EXECUTE FUNCTION no()",
    )
    if store.database.embedded:
        make = (f"CREATE TRIGGER no BEFORE INSERT ON opens BEGIN SELECT RAISE(ABORT, '{said}'); END",)
        drop = "DROP TRIGGER no"
    async with store.database.write() as tx:
        for sql in make:
            await tx.fetch(sql)
    yield
    async with store.database.write() as tx:
        await tx.fetch(drop)


async def test_hits_that_the_database_refuses_for_a_reason_of_its_own_wait_for_it(
    store: Store, message: Message, spool_dir: Path
) -> None:
    reason = "in maintenance" if store.database.embedded else "the database refuses a hit with SQLSTATE P0001"
    said = f"the spool cannot be replayed ({reason}); hits go to the spool"
    async with a_recorder(store, spool_dir) as recorder:
        async with refusal(store):
            await together(*(recorder.record(a_visit(message, BEYOND if n == 0 else 1, at=T0 + n)) for n in range(3)))
            await eventually(lambda: recorder.trouble == said)
            await recorder.record(a_visit(message, at=T0 + 3))
        await eventually(lambda: not recorder.spooling)
        assert recorder.trouble is None
    assert await times(store) == [T0 + 1, T0 + 2, T0 + 3]
    assert len((spool_dir / REJECTED).read_bytes().splitlines()) == 1, "put aside once, however often it was tried"
    await audit(store.database)


def block(spool_dir: Path) -> None:
    spool_dir.write_text("a file where the folder should be")


def unblock(spool_dir: Path) -> None:
    spool_dir.unlink()


async def test_spool_that_cannot_be_written_keeps_hits_in_memory_and_says_so(
    store: Store, message: Message, spool_dir: Path, away: Lock, caplog: pytest.LogCaptureFixture
) -> None:
    block(spool_dir)
    async with a_recorder(store, spool_dir) as recorder:
        async with away.held():
            await together(*(recorder.record(a_visit(message, at=T0 + n)) for n in range(3)))
            assert recorder.trouble == "the spool cannot be written (File exists): 3 hits are in memory only"
            assert recorder.spool_depth == 3
        await eventually(lambda: not recorder.spooling)
        assert recorder.trouble is None
    assert await times(store) == [T0, T0 + 1, T0 + 2]
    assert [each.levelno for each in caplog.records if "in memory only" in each.message] == [logging.CRITICAL]
    await audit(store.database)


async def test_hits_in_memory_only_go_to_disk_as_soon_as_they_can(
    store: Store, message: Message, spool_dir: Path, away: Lock
) -> None:
    block(spool_dir)
    async with away.held(), a_recorder(store, spool_dir) as recorder:
        await together(*(recorder.record(a_visit(message, at=T0 + n)) for n in range(3)))
        unblock(spool_dir)
        await eventually(lambda: list(spool_dir.glob("*.spool")), what="the hits are on disk")
        await eventually(lambda: "in memory" not in (recorder.trouble or ""))
        await recorder.record(a_visit(message, at=T0 + 3))
    async with a_recorder(store, spool_dir) as recorder:
        await eventually(lambda: not recorder.spooling)
    assert await times(store) == [T0 + n for n in range(4)]
    await audit(store.database)


async def test_memory_for_hits_is_bounded_and_the_log_tells_of_those_without_room(
    store: Store,
    message: Message,
    spool_dir: Path,
    away: Lock,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hub.backlog.MOST_STRANDED", 2)
    block(spool_dir)
    async with a_recorder(store, spool_dir) as recorder:
        async with away.held():
            await together(*(recorder.record(a_visit(message, at=T0 + n)) for n in range(3)))
            assert recorder.spool_depth == 2
        await eventually(lambda: not recorder.spooling)
    assert await times(store) == [T0, T0 + 1]
    assert "2 hits are in memory only, and 1 found no room there" in caplog.text
    await audit(store.database)


async def test_stop_puts_hits_in_memory_only_on_disk(
    store: Store, message: Message, spool_dir: Path, away: Lock
) -> None:
    block(spool_dir)
    async with away.held(), a_recorder(store, spool_dir) as recorder:
        await recorder.record(a_visit(message))
        unblock(spool_dir)
    async with a_recorder(store, spool_dir) as recorder:
        await eventually(lambda: not recorder.spooling)
    assert await times(store) == [T0]


async def test_spool_of_a_dead_process_is_adopted_while_running(
    store: Store, message: Message, spool_dir: Path
) -> None:
    async with a_recorder(store, spool_dir) as recorder:
        recorder.adopt()
        assert not recorder.spooling
        dead = Spool(spool_dir)
        await dead.append([a_hit(message, at=T0 + n) for n in range(3)])
        recorder.adopt()
        assert not recorder.spooling, "its process is not dead yet"
        dead.close()
        recorder.adopt()
        await eventually(lambda: not recorder.spooling)
    assert await times(store) == [T0, T0 + 1, T0 + 2]


async def test_spool_adopted_by_two_at_once_is_recorded_once(
    store: Store, message: Message, spool_dir: Path, migrated_url: str
) -> None:
    dead = Spool(spool_dir)
    await dead.append([a_hit(message, at=T0 + n) for n in range(600)])
    dead.close()
    async with (
        open_store(migrated_url) as other,
        a_recorder(store, spool_dir) as first,
        a_recorder(other, spool_dir) as second,
    ):
        await eventually(lambda: not first.spooling and not second.spooling)
    assert await times(store) == [T0 + n for n in range(600)]
    await audit(store.database)


async def test_flapping_database_loses_and_doubles_nothing(
    store: Store, message: Message, spool_dir: Path, away: Lock
) -> None:
    answered: list[int] = []
    ended = asyncio.Event()

    async def hit(recorder: Recorder, lane: int) -> None:
        at = T0 + lane * 1_000_000
        while not ended.is_set():
            at += 1
            await recorder.record(a_visit(message, at=at))
            answered.append(at)
            await asyncio.sleep(0.002)

    async with a_recorder(store, spool_dir) as recorder:
        lanes = [asyncio.create_task(hit(recorder, lane)) for lane in range(5)]
        for _ in range(3):
            async with away.held():
                await eventually(lambda: recorder.spooling)
            await eventually(lambda: not recorder.spooling)
        ended.set()
        await together(*lanes)
        await eventually(lambda: not recorder.spooling)
    assert sorted(await times(store)) == sorted(answered)
    await audit(store.database)
