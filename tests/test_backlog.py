"""The backlog: a hit that was added is given out, in its order, until it is committed, whatever fails meanwhile."""

from __future__ import annotations

import asyncio
import errno
import logging
import sqlite3
import tempfile
from collections.abc import Sequence
from pathlib import Path

import asyncpg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.backlog import Backlog, why
from hub.logs import Seldom
from hub.model import Hit
from hub.spool import REJECTED, Spool
from tests.factories import T0, a_hit
from tests.samples import a_message

MESSAGE = a_message()
FULL = OSError(errno.ENOSPC, "No space left on device")


def hits(number: int) -> list[Hit]:
    return [a_hit(MESSAGE, at=T0 + n) for n in range(number)]


class Faulty(Spool):
    """A spool that does as it should, but for the calls that are to fail."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.room: int | None = None
        """How many more appends succeed; None for any number."""
        self.failure: Exception = FULL
        self.is_dark = False
        """Whether no descriptor is left to look with."""
        self.is_kept: Exception | None = None
        """Why no segment can be done with."""

    async def append(self, hits: Sequence[Hit]) -> None:
        if self.room is not None:
            if self.room == 0:
                raise self.failure
            self.room -= 1
        await super().append(hits)

    async def take(self) -> tuple[Path, list[Hit]] | None:
        if self.is_dark:
            raise OSError(errno.EMFILE, "Too many open files")
        return await super().take()

    async def done(self, segment: Path) -> None:
        if self.is_kept:
            raise self.is_kept
        await super().done(segment)


class Desk:
    """A backlog on a spool that may fail."""

    def __init__(self, directory: Path) -> None:
        self.spool = Faulty(directory)
        self.backlog = Backlog(self.spool, Seldom(60))
        self.backlog.start()

    async def commit(self, most: int = 100) -> list[Hit]:
        """Commit what is next. Returns it."""
        async with self.backlog.oldest(most) as given_out:
            return list(given_out)

    async def refuse(self, most: int, error: BaseException) -> list[Hit]:
        """Fail with `error` to commit what is next. Returns it."""
        seen: list[Hit] = []
        try:
            async with self.backlog.oldest(most) as given_out:
                seen += given_out
                raise error
        except type(error):
            return seen

    async def commit_all(self) -> list[Hit]:
        """Commit what there is, as a replay does."""
        found: list[Hit] = []
        for _ in range(200):
            if not self.backlog.pending():
                return found
            found += await self.commit(3)
        raise AssertionError("there is no end to what waits")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


REFUSALS: dict[str, BaseException] = {"refuse": ValueError("not now"), "cancel": asyncio.CancelledError()}
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["add", "add", "commit", "commit", "refuse", "cancel", "full", "room", "dark", "light"]),
        st.integers(0, 5),
    ),
    max_size=30,
)


@settings(max_examples=60)
@given(STEPS)
def test_hits_are_given_out_in_order_until_their_block_ended_well_whatever_fails(steps: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patched:
        # Two at a time go from memory to disk, so that the disk may be full in between.
        patched.setattr("hub.backlog.BATCH", 2)
        asyncio.run(_live_through(steps, Desk(Path(directory))))


async def _live_through(steps: Sequence[tuple[str, int]], desk: Desk) -> None:
    """A model of the backlog: `memory` and `disk` are the hits that were added and not yet committed."""
    memory: list[Hit] = []
    disk: list[Hit] = []
    for step, number in steps:
        if step == "add":
            added = hits(number)
            room, before = desk.spool.room, [*memory, *added]
            await desk.backlog.add(added)
            used = 0 if room is None else room - (desk.spool.room or 0)
            appends = [memory[at : at + 2] for at in range(0, len(memory), 2)] + ([added] if added else [])
            safe = [hit for each in (appends if room is None else appends[:used]) for hit in each]
            disk, memory = disk + safe, before[len(safe) :]
            assert (desk.backlog.trouble is None) is (not memory)
        elif step == "full":
            desk.spool.room = number // 2
        elif step == "room":
            desk.spool.room = None
        elif step in ("dark", "light"):
            desk.spool.is_dark = step == "dark"
        else:
            try:
                if step == "commit":
                    seen = await desk.commit(number)
                else:
                    seen = await desk.refuse(number, REFUSALS[step])
            except OSError:
                assert desk.spool.is_dark
                assert not memory, "what is in memory is given out though the spool cannot be looked into"
                continue
            waiting = memory or disk
            assert seen == waiting[: len(seen)]
            assert len(seen) <= number
            assert seen or not waiting or number == 0
            if step == "commit":
                del waiting[: len(seen)]
    desk.spool.is_dark = False
    assert await desk.commit_all() == memory + disk
    assert desk.backlog.depth == 0
    await desk.backlog.close()


@pytest.mark.parametrize("failure", [FULL, RuntimeError("can't start new thread"), MemoryError()])
async def test_add_keeps_hits_in_memory_whatever_the_spool_fails_with(desk: Desk, failure: Exception) -> None:
    desk.spool.room, desk.spool.failure = 0, failure
    put = hits(3)
    await desk.backlog.add(put[:2])
    await desk.backlog.add(put[2:])
    assert (desk.backlog.depth, desk.backlog.pending()) == (3, True)
    assert desk.backlog.trouble == f"the spool cannot be written ({why(failure)}): 3 hits are in memory only"
    desk.spool.room = None
    await desk.backlog.add(())
    assert not desk.backlog.trouble
    assert (desk.backlog.depth, desk.spool.depth) == (3, 3)
    assert await desk.commit_all() == put


async def test_hits_that_went_to_disk_while_they_were_committed_cost_no_other_its_place(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.backlog.BATCH", 2)
    put = hits(5)
    desk.spool.room = 0
    await desk.backlog.add(put[:4])
    async with desk.backlog.oldest(3) as given_out:
        assert given_out == put[:3]
        # The first two go to disk; the third is in memory still, and the one that comes now stands behind it.
        desk.spool.room = 1
        await desk.backlog.add(put[4:])
    assert desk.backlog.depth == 4
    assert await desk.commit_all() == [put[3], put[4], *put[:2]], "whoever commits leaves out those that are recorded"


async def test_memory_takes_so_many_hits_and_the_log_counts_the_rest_once_in_a_while(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("hub.backlog.MOST_STRANDED", 4)
    put = hits(9)
    desk.spool.room = 0
    await desk.backlog.add(put[:6])
    await desk.backlog.add(put[6:8])
    assert desk.backlog.depth == 4
    assert [each.message for each in caplog.records if each.levelno == logging.CRITICAL] == [
        f"the spool cannot be written ({FULL}): 4 hits are in memory only, and 2 found no room there"
    ]
    desk.backlog._warnings.forget()
    await desk.backlog.add(hits(1))
    assert "4 hits are in memory only, and 5 found no room there" in caplog.messages[-1]
    assert await desk.commit(1) == put[:1]
    await desk.backlog.add(put[8:])
    assert await desk.commit_all() == [*put[1:4], put[8]]


async def test_close_puts_on_disk_what_is_in_memory_for_the_next_start(
    desk: Desk, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put = hits(3)
    desk.spool.room = 0
    await desk.backlog.add(put)
    assert caplog.messages == [
        f"the spool cannot be written ({FULL}): 3 hits are in memory only, and 0 found no room there"
    ]
    caplog.clear()
    desk.spool.room = None
    await desk.backlog.close()
    assert caplog.messages == [], "none is lost"
    assert await Desk(tmp_path).commit_all() == put


async def test_close_says_how_many_hits_are_lost(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.spool.room = 0
    await desk.backlog.add(hits(3))
    await desk.backlog.close()
    assert "the spool cannot be written: 3 hits are lost" in caplog.messages


async def test_hits_stay_on_disk_until_all_of_their_segment_are_committed(desk: Desk, tmp_path: Path) -> None:
    put = hits(3)
    await desk.backlog.add(put)
    assert await desk.commit(2) == put[:2]
    await desk.backlog.close()
    next_start = Desk(tmp_path)
    assert next_start.backlog.pending()
    assert await next_start.commit(3) == put
    await next_start.backlog.close()
    last_start = Desk(tmp_path)
    assert not last_start.backlog.pending()
    assert await last_start.commit() == []


async def test_hits_in_memory_go_before_the_rest_of_a_segment_that_is_being_replayed(desk: Desk) -> None:
    put = hits(4)
    await desk.backlog.add(put[:3])
    assert await desk.commit(1) == put[:1]
    desk.spool.room = 0
    await desk.backlog.add(put[3:])
    assert await desk.commit_all() == [put[3], *put[1:3]]


async def test_segment_that_cannot_be_done_with_is_not_given_out_again(desk: Desk) -> None:
    put = hits(2)
    await desk.backlog.add(put)
    desk.spool.is_kept = RuntimeError("can't start new thread")
    with pytest.raises(RuntimeError):
        await desk.commit()
    assert desk.backlog.pending()
    desk.spool.is_kept = None
    assert await desk.commit_all() == []
    assert desk.backlog.depth == 0


async def test_hit_that_was_put_aside_is_for_a_person_to_see(desk: Desk, tmp_path: Path) -> None:
    [hit] = hits(1)
    await desk.backlog.put_aside(hit)
    assert hit.id in (tmp_path / REJECTED).read_text()
    assert not desk.backlog.pending()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            asyncpg.CheckViolationError("Failing row contains (198.51.100.7)"),
            "the database refuses a hit with SQLSTATE 23514",
        ),
        (FileExistsError(errno.EEXIST, "File exists", "/a/secret/folder"), "File exists"),
        (OSError("a socket's own words"), "a socket's own words"),
        (RuntimeError("can't start new thread"), "can't start new thread"),
        (sqlite3.OperationalError("disk I/O error"), "disk I/O error"),
        (MemoryError(), "MemoryError"),
    ],
)
def test_why_tells_no_name_of_a_file_and_no_row(error: Exception, words: str) -> None:
    assert why(error) == words
