"""The recorder when its spool or its database's file is in trouble: hits that it answers from then on are safe."""

from __future__ import annotations

import logging
import subprocess
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hub.model import Device, Evidence, Hit, Message, Place
from hub.spool import REJECTED, Spool
from hub.store.away import DatabaseAway
from hub.store.urls import sqlite_path
from tests.absence import times
from tests.factories import BROWSER, T0, Store, a_hit, a_recorder, a_visit, audit, open_store
from tests.processes import eventually
from tests.servers import ROOT

EVIDENCE = (
    BROWSER,
    Evidence("app", None, True, Place("Łódź\n", "a\rb", "\u2028", "PL"), Device("mobile", "it's\\", "🙂")),
)


@pytest.fixture
def spool_dir(tmp_path: Path) -> Path:
    return tmp_path / "spool"


def fail_for_want_of_a_thread(*_: object) -> Any:
    raise RuntimeError("can't start new thread")


async def spooled(spool_dir: Path, *hits: Hit) -> None:
    """Leave hits in the spool, as a process that is gone would have."""
    dead = Spool(spool_dir)
    await dead.append(hits)
    dead.close()


async def test_replay_that_fails_for_any_reason_is_tried_again_and_says_so(
    store: Store, message: Message, spool_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await spooled(spool_dir, a_hit(message, at=T0))
    with monkeypatch.context() as out_of_threads:
        out_of_threads.setattr(Spool, "_take", fail_for_want_of_a_thread)
        async with a_recorder(store, spool_dir) as recorder:
            reason = "the spool cannot be replayed (can't start new thread); hits go to the spool"
            await eventually(lambda: recorder.trouble == reason)
            await recorder.record(a_visit(message, at=T0 + 1))
            out_of_threads.undo()
            await eventually(lambda: not recorder.spooling)
            assert recorder.trouble is None
    assert await times(store) == [T0, T0 + 1]
    await audit(store.database)


async def test_replay_holds_up_new_hits_and_says_why_it_failed_only_as_long_as_it_has_to(
    store: Store, message: Message, spool_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """New hits wait for a step of the replay only while the database answers."""
    for at in (T0, T0 + 1, T0 + 2):
        await spooled(spool_dir, a_hit(message, at=at))
    steps: list[tuple[bool, str | None]] = []
    with monkeypatch.context() as out_of_threads:
        out_of_threads.setattr(Spool, "_take", fail_for_want_of_a_thread)
        async with a_recorder(store, spool_dir) as recorder:
            reason = "the spool cannot be replayed (can't start new thread); hits go to the spool"
            await eventually(lambda: recorder.trouble == reason)
            replay = recorder._commits.replay

            async def fail_at_the_second(hits: Sequence[Hit]) -> Any:
                steps.append((recorder._gate.locked(), recorder.trouble))
                if len(steps) == 2:
                    raise DatabaseAway("gone")
                return await replay(hits)

            monkeypatch.setattr(recorder._commits, "replay", fail_at_the_second)
            out_of_threads.undo()
            await eventually(lambda: not recorder.spooling)
    away = "the database is away; hits go to the spool"
    assert steps[0] == (False, reason)
    assert steps[1] == (True, away)
    assert not steps[2][0]
    assert await times(store) == [T0, T0 + 1, T0 + 2]


async def test_hit_that_cannot_be_spooled_for_any_reason_is_kept_in_memory(
    store: Store, message: Message, spool_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_recorder(store, spool_dir) as recorder:
        monkeypatch.setattr(Spool, "_write", fail_for_want_of_a_thread)
        monkeypatch.setattr(recorder._commits, "commit", fail_for_want_of_a_thread)
        await recorder.record(a_visit(message, at=T0))
        await eventually(lambda: not recorder.spooling)
    assert await times(store) == [T0]


async def test_replayed_hits_on_a_message_that_is_not_there_are_put_aside(
    store: Store, message: Message, spool_dir: Path
) -> None:
    """The message may have been deleted, or this may not be the database that the hits were meant for."""
    gone = await store.message(await store.sender())
    await spooled(spool_dir, a_hit(gone, at=T0), a_hit(message, at=T0 + 1), a_hit(gone, at=T0 + 2))
    async with store.database.write() as tx:
        await tx.fetch("DELETE FROM messages WHERE id = $1", gone.id)
    async with a_recorder(store, spool_dir) as recorder:
        await eventually(lambda: not recorder.spooling)
    assert await times(store) == [T0 + 1]
    aside = [msgspec.json.decode(line, type=Hit).at for line in (spool_dir / REJECTED).read_bytes().splitlines()]
    assert aside == [T0, T0 + 2]


def replay_by_hand(folder: Path) -> None:
    """Run the commands that docs/deploy.md gives for this."""
    text = (ROOT / "docs" / "deploy.md").read_text()
    block = text[text.index("    python3 -c '\n") :]
    script = textwrap.dedent(block[: block.index("\n\n")])
    subprocess.run(["sh", "-ec", script], cwd=folder, check=True)


async def test_hits_that_were_put_aside_are_replayed_by_hand_as_documented(
    store: Store, message: Message, spool_dir: Path
) -> None:
    dead = Spool(spool_dir)
    dead.make_folder()
    put = [a_hit(message, at=T0 + n, evidence=evidence) for n, evidence in enumerate(EVIDENCE)]
    gone = a_hit(await store.message(await store.sender()), at=T0 + 9)
    for hit in (*put, gone, put[0]):
        await dead.put_aside(hit)
    async with store.database.write() as tx:
        await tx.fetch("DELETE FROM messages WHERE id = $1", gone.message_id)
    replay_by_hand(spool_dir)
    async with a_recorder(store, spool_dir) as recorder:
        await eventually(lambda: not recorder.spooling)
    assert await times(store) == [hit.at for hit in put]
    [again] = (spool_dir / REJECTED).read_bytes().splitlines()
    assert msgspec.json.decode(again, type=Hit).id == gone.id
    await audit(store.database)


def put_away(file: Path, another: bytes | None) -> None:
    file.rename(file.with_suffix(".kept"))
    if another is not None:
        file.write_bytes(another)


def put_back(file: Path) -> None:
    file.with_suffix(".kept").replace(file)


@pytest.mark.parametrize("another", [None, b""])
async def test_hits_while_the_databases_file_is_not_where_it_was_go_to_the_spool(
    migrated_sqlite_url: str, spool_dir: Path, caplog: pytest.LogCaptureFixture, another: bytes | None
) -> None:
    file = Path(sqlite_path(migrated_sqlite_url))
    caplog.set_level(logging.ERROR)
    async with open_store(migrated_sqlite_url) as store, a_recorder(store, spool_dir) as recorder:
        message = await store.message(await store.sender())
        await recorder.record(a_visit(message, at=T0))
        put_away(file, another)
        await recorder.record(a_visit(message, at=T0 + 1))
        assert recorder.trouble is not None
        assert "its file was removed or replaced" in recorder.trouble
        assert "put the file back" in caplog.text
        put_back(file)
        await eventually(lambda: not recorder.spooling)
        assert await times(store) == [T0, T0 + 1]
        await audit(store.database)
