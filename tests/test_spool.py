"""The spool: every hit that was put there comes back, once, in order, whatever cut its writer off."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from hub.model import Device, Evidence, Hit, Place
from hub.spool import REJECTED, Spool
from tests.factories import READER, T0, a_hit, a_visit, make_recorder, open_store
from tests.processes import PATIENCE_SECONDS, start_process
from tests.samples import a_message
from tests.servers import ROOT

MESSAGE = a_message()


def hits(number: int) -> list[Hit]:
    return [a_hit(MESSAGE, at=T0 + n) for n in range(number)]


async def drain(spool: Spool) -> list[Hit]:
    """The hits of all segments; each segment is taken, and done as if its hits were committed."""
    found: list[Hit] = []
    while taken := await spool.take():
        segment, spooled = taken
        found += spooled
        await spool.done(segment)
    return found


def segments(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.spool"))


async def test_hits_come_back_in_order_and_whole(tmp_path: Path) -> None:
    odd = a_hit(
        MESSAGE,
        evidence=Evidence("app", None, True, Place("Łódź\n", "a\rb", "\u2028", "PL"), Device("mobile", "it's\\", "🙂")),
    )
    put = [*hits(3), odd, *hits(2)]
    spool = Spool(tmp_path)
    for hit in put[:4]:
        await spool.append([hit])
    await spool.append(put[4:])
    assert spool.depth == 6
    assert await drain(spool) == put
    assert spool.depth == 0
    assert not spool.pending()
    assert segments(tmp_path) == []


async def test_segment_that_was_taken_is_there_until_it_is_done(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    put = hits(2)
    await spool.append(put)
    for _ in range(3):
        taken = await spool.take()
        assert taken == (segments(tmp_path)[0], put)
        assert spool.pending()
    await spool.done(segments(tmp_path)[0])
    assert await spool.take() is None


async def test_hits_that_come_while_a_segment_is_replayed_follow_it(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    first, second = hits(2), hits(2)
    await spool.append(first)
    taken = await spool.take()
    assert taken is not None
    await spool.append(second)
    await spool.done(taken[0])
    assert taken[1] + await drain(spool) == first + second


async def test_hits_that_come_while_many_segments_are_replayed_make_one(tmp_path: Path) -> None:
    """If there were a new segment for each one that is done, a busy hub would never come to the end."""
    old, new = Spool(tmp_path), Spool(tmp_path)
    first, second = hits(5), hits(6)
    for hit in first:
        await old.append([hit])
        old.close()
    found = []
    await new.append(second[:1])
    for hit in second[1:]:
        taken = await new.take()
        assert taken is not None
        await new.append([hit])
        found += taken[1]
        await new.done(taken[0])
    assert found == first
    assert len(segments(tmp_path)) == 1
    assert await drain(new) == second


async def test_segments_follow_each_other_though_the_clock_was_set_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool, put = Spool(tmp_path), hits(4)
    for hit, id_ in zip(put, ["d", "b", "a", "c"], strict=True):
        monkeypatch.setattr("hub.spool.new_id", lambda id_=id_: id_)
        await spool.append([hit])
        spool.close()
    assert await drain(spool) == put


@pytest.mark.parametrize("left", ["z", "z" * 26, "z" * 26 + "00", "z" * 26 + "x"])
async def test_names_of_segments_do_not_grow_while_the_clock_is_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: str
) -> None:
    """A file's name may have 255 bytes. A segment of an earlier process is from the time before the clock was set."""
    monkeypatch.setattr("hub.spool.SEGMENT_BYTES", 1)
    (tmp_path / f"{left}.spool").touch()
    spool, put = Spool(tmp_path), hits(12)
    for hit in put:
        await spool.append([hit])
    begun = [path.stem for path in segments(tmp_path)[1:]]
    assert len(begun) == 12
    assert len({len(name) for name in begun}) == 1
    assert await drain(spool) == put


@pytest.mark.parametrize("call", ["iterdir", "open"])
async def test_spool_that_cannot_be_read_is_not_taken_for_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    spool, put = Spool(tmp_path), hits(2)
    await spool.append(put)
    spool.close()
    with monkeypatch.context() as used_up:

        def fail(*_: object, **__: object) -> None:
            raise OSError(errno.EMFILE, "too many open files")

        used_up.setattr(Path, call, fail)
        assert spool.pending()
        with pytest.raises(OSError, match="too many"):
            await spool.take()
    assert await drain(spool) == put


async def test_appends_at_once_are_all_kept_and_none_is_torn(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    put = [hits(3) for _ in range(40)]
    await asyncio.gather(*(spool.append(batch) for batch in put))
    assert await drain(spool) == [hit for batch in put for hit in batch]


async def test_append_is_on_disk_when_it_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file's bytes and the folder's entry are synced, in that order, before anybody is answered."""
    synced: list[str] = []
    fsync = os.fsync

    def spy(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        synced.append("folder" if path.is_dir() else f"{path.stat().st_size} bytes")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", spy)
    spool = Spool(tmp_path)
    await spool.append(hits(1))
    [segment] = segments(tmp_path)
    assert synced == ["folder", f"{segment.stat().st_size} bytes"]
    spool.close()


Step = tuple[str, int]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, 4)),
        st.tuples(st.just("crash"), st.integers(0, 10_000)),
        st.tuples(st.just("take"), st.integers(0, 3)),
        st.just(("restart", 0)),
    ),
    max_size=12,
)


@settings(max_examples=40)
@given(STEPS)
def test_hits_that_were_answered_come_back_once_and_in_order_whatever_happens(steps: list[Step]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(_live_through(steps, Path(directory)))


async def _live_through(steps: Sequence[Step], directory: Path) -> None:
    """A model of the spool: `kept` are the hits that were answered and not yet committed."""
    spool, kept = Spool(directory), []
    for step, number in steps:
        if step == "append":
            put = hits(number)
            await spool.append(put)
            kept += put
        elif step == "restart":
            spool.close()
            spool = Spool(directory)
        elif step == "crash":
            # Killed inside an append: some of its bytes are written, and no answer was given.
            before = {path: path.stat().st_size for path in segments(directory)}
            await spool.append(hits(2))
            spool.close()
            last = segments(directory)[-1]
            least = before.get(last, 0)
            os.truncate(last, least + number % (last.stat().st_size - least))
            found = await _read(directory)
            assert found[: len(kept)] == kept
            # A hit may have reached the disk whole though its append did not return: that hit may come back.
            kept = found
            spool = Spool(directory)
        elif taken := await spool.take():
            segment, spooled = taken
            assert spooled == kept[: len(spooled)]
            if number:
                await spool.done(segment)
                del kept[: len(spooled)]
    assert await drain(spool) == kept
    spool.close()


async def _read(directory: Path) -> list[Hit]:
    """What another process would find."""
    found: list[Hit] = []
    for segment in segments(directory):
        copy = Spool(directory / segment.stem)
        copy.make_folder()
        (directory / segment.stem / segment.name).write_bytes(segment.read_bytes())
        found += await drain(copy)
        (directory / segment.stem).rmdir()
    return found


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.integers(1, 255))
def test_damage_to_one_byte_costs_at_most_the_hits_of_its_lines(place: int, flip: int) -> None:
    async def live() -> None:
        with tempfile.TemporaryDirectory() as directory:
            spool = Spool(Path(directory))
            put = hits(4)
            await spool.append(put)
            spool.close()
            [segment] = segments(Path(directory))
            raw = bytearray(segment.read_bytes())
            raw[place % len(raw)] ^= flip
            segment.write_bytes(raw)
            found = await drain(spool)
            assert len(found) >= 2
            assert found == [hit for hit in put if hit in found]

    asyncio.run(live())


async def test_segment_cut_off_says_so_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    spool = Spool(tmp_path)
    await spool.append(hits(2))
    spool.close()
    [segment] = segments(tmp_path)
    os.truncate(segment, segment.stat().st_size - 1)
    assert len(await drain(Spool(tmp_path))) == 1
    assert "line 2 of spool segment" in caplog.text


def start_python(program: str, directory: Path) -> subprocess.Popen[bytes]:
    environ = {"PATH": os.environ.get("PATH", os.defpath), "PYTHONPATH": str(ROOT)}
    pipe = subprocess.PIPE
    return start_process([sys.executable, "-c", program, str(directory)], env=environ, stdin=pipe, stdout=pipe)


@pytest.mark.parametrize("place", ["a file where the folder should be", "a folder inside a file"])
def test_folder_that_cannot_be_written_is_refused_at_the_start(tmp_path: Path, place: str) -> None:
    (tmp_path / "spool").write_text("")
    directory = tmp_path / "spool" if place.startswith("a file") else tmp_path / "spool" / "inside"
    with pytest.raises(OSError, match="spool"):
        Spool(directory).make_folder()
    assert not Spool(directory).pending()


async def test_append_where_nothing_can_be_written_raises_and_works_again_later(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("")
    spool = Spool(tmp_path / "spool")
    with pytest.raises(OSError, match="spool"):
        await spool.append(hits(1))
    assert spool.depth == 0
    (tmp_path / "spool").unlink()
    put = hits(1)
    await spool.append(put)
    assert await drain(spool) == put


LIMITED = """
import asyncio, resource, sys
from pathlib import Path
from hub.spool import Spool
from tests.test_spool import drain, hits, segments

async def main():
    spool = Spool(Path(sys.argv[1]))
    answered, failed = [], 0
    for number in range(40):
        # No file may grow beyond this: a disk that fills up in the middle of a line, and has room again.
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000 if number % 3 else 200, resource.RLIM_INFINITY))
        put = hits(3)
        try:
            await spool.append(put)
            answered += put
        except OSError:
            failed += 1
    assert failed > 10 and len(answered) > 30, (failed, len(answered))
    assert all(path.stat().st_size for path in segments(Path(sys.argv[1])))
    assert await drain(spool) == answered

asyncio.run(main())
"""


async def test_disk_that_fills_up_loses_no_answered_hit_and_brings_back_no_other(tmp_path: Path) -> None:
    process = start_python(LIMITED, tmp_path)
    with process:
        assert await asyncio.to_thread(process.wait, PATIENCE_SECONDS) == 0


async def test_failed_sync_is_a_failed_append(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(tmp_path)
    put = hits(1)
    await spool.append(put)

    def fail(_: int) -> None:
        raise OSError(errno.EIO, "the disk is broken")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="the disk is broken"):
            await spool.append(hits(1))
    assert await drain(spool) == put


async def test_hits_are_put_aside_for_a_person_to_see_without_their_clients(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    put = hits(2)
    for hit in put:
        await spool.put_aside(hit)
    lines = (tmp_path / REJECTED).read_bytes().splitlines()
    assert [msgspec.json.decode(line, type=Hit) for line in lines] == [replace(hit, clients=()) for hit in put]
    assert not spool.pending()
    assert await spool.take() is None


async def test_spool_contains_no_address_and_no_user_agent(tmp_path: Path, migrated_sqlite_url: str) -> None:
    async with open_store(migrated_sqlite_url) as store:
        spool = Spool(tmp_path / "spool")
        recorder = make_recorder(store, spool)
        visit = a_visit(MESSAGE, address="198.18.77.66", user_agent=READER + " of-a-certain/1")
        await spool.append([recorder.hit(visit)])
        await spool.put_aside(recorder.hit(visit))
        spool.close()
    raw = b"".join(path.read_bytes() for path in (tmp_path / "spool").iterdir())
    assert MESSAGE.id.encode() in raw
    for secret in (b"198.18", b"77.66", b"Mozilla", b"Thunderbird/140", b"of-a-certain"):
        assert secret not in raw
