"""The spool whose folder is meddled with: hits that are put there afterwards come back, and bad files stop nothing."""

from __future__ import annotations

import errno
import time
from pathlib import Path

import pytest

from hub.model import Hit
from hub.spool import DAMAGED, LOOK_AGAIN_SECONDS, Spool
from tests.test_spool import drain, hits, segments


async def one_segment(directory: Path, number: int) -> tuple[Spool, list[Hit], Path]:
    """A spool, so many hits that were put there, and the closed segment with them."""
    spool, put = Spool(directory), hits(number)
    await spool.append(put)
    spool.close()
    [segment] = segments(directory)
    return spool, put, segment


@pytest.mark.parametrize("remove", ["segment", "folder", "name"])
async def test_segment_that_was_removed_takes_nothing_more(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, remove: str
) -> None:
    directory = tmp_path / "spool"
    spool, [before, *after] = Spool(directory), hits(3)
    await spool.append([before])
    if remove == "name":
        directory.rename(tmp_path / "elsewhere")
    else:
        segments(directory)[0].unlink()
    if remove == "folder":
        directory.rmdir()
    await spool.append(after)
    assert await drain(spool) == after
    assert "was removed, and with it hits that were answered" in caplog.text


async def test_append_to_a_segment_that_is_removed_meanwhile_raises_and_the_next_goes_to_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool, put = Spool(tmp_path), hits(1)

    def sync_and_remove(_: int) -> None:
        for segment in segments(tmp_path):
            segment.unlink()

    with monkeypatch.context() as meddling:
        meddling.setattr("hub.spool.os.fsync", sync_and_remove)
        with pytest.raises(FileNotFoundError):
            await spool.append(put)
    await spool.append(put)
    assert await drain(spool) == put


async def test_long_spool_is_many_segments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub.spool.SEGMENT_BYTES", 1000)
    spool, put = Spool(tmp_path), hits(20)
    for hit in put:
        await spool.append([hit])
    assert len(segments(tmp_path)) > 5
    assert await drain(spool) == put


async def test_segment_that_cannot_be_read_is_told_once_and_hinders_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "00000000-alien.spool").mkdir()
    spool, put = Spool(tmp_path), hits(2)
    await spool.append(put)
    assert await drain(spool) == put
    assert not spool.pending()
    assert await spool.take() is None
    assert caplog.text.count("00000000-alien.spool cannot be read") == 1


async def test_segment_that_fails_as_it_is_read_hinders_nothing_and_is_tried_again_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.monotonic()
    monkeypatch.setattr("hub.spool.time.monotonic", lambda: now)
    spool, put, broken = await one_segment(tmp_path, 2)
    broken.rename(tmp_path / "kept")
    # This file can be opened and locked, but reading its first byte is an input/output error.
    broken.symlink_to("/proc/self/mem")
    assert spool.pending()
    assert await spool.take() is None
    assert not spool.pending()
    broken.unlink()
    (tmp_path / "kept").rename(broken)
    assert not spool.pending()
    now += LOOK_AGAIN_SECONDS
    assert spool.pending()
    assert await drain(spool) == put


async def test_segment_that_could_be_read_meanwhile_is_told_anew_when_it_cannot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now = time.monotonic()
    monkeypatch.setattr("hub.spool.time.monotonic", lambda: now)
    spool, put, segment = await one_segment(tmp_path, 2)
    for times in (1, 2):
        segment.rename(tmp_path / "kept")
        segment.mkdir()
        for _ in range(2):
            assert await spool.take() is None
            now += LOOK_AGAIN_SECONDS
        assert caplog.text.count(f"{segment.name} cannot be read") == times
        segment.rmdir()
        (tmp_path / "kept").rename(segment)
        assert await spool.take() == (segment, put)


async def test_folder_that_could_be_read_meanwhile_is_told_anew_when_it_cannot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    spool = Spool(tmp_path)

    def refuse(_: Path) -> None:
        raise PermissionError(errno.EACCES, "not allowed")

    for times in (1, 2):
        with monkeypatch.context() as closed:
            closed.setattr(Path, "iterdir", refuse)
            for _ in range(2):
                assert not spool.pending()
        assert caplog.text.count(f"{tmp_path.name} cannot be read") == times
        assert not spool.pending()


async def test_segment_that_cannot_be_removed_is_taken_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    spool, put = Spool(tmp_path), hits(2)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "not allowed")

    await spool.append(put)
    monkeypatch.setattr(Path, "unlink", refuse)
    assert await drain(spool) == put
    assert not spool.pending()
    assert spool.depth == 0
    assert "cannot be removed" in caplog.text


async def test_damaged_line_is_put_aside_without_its_client_once_its_segment_is_done(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spool, put, segment = await one_segment(tmp_path, 3)
    lines = segment.read_bytes().splitlines(keepends=True)
    lines[1] = lines[1].replace(b'"position":1', b'"position":7')
    segment.write_bytes(b"".join(lines))
    for _ in range(2):
        taken = await spool.take()
        assert taken == (segment, [put[0], put[2]])
        assert not (tmp_path / DAMAGED).exists(), "the line is still in the segment"
    await spool.done(segment)
    [aside] = (tmp_path / DAMAGED).read_bytes().splitlines()
    assert put[1].id.encode() in aside
    assert put[1].clients[0].encode() not in aside
    assert segments(tmp_path) == []
    assert f"line 2 of spool segment {segment.name} is damaged, and is put aside in {DAMAGED}" in caplog.text


async def test_segment_whose_damaged_line_cannot_be_put_aside_stays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    spool, put, segment = await one_segment(tmp_path, 1)
    segment.write_bytes(b"no hit\n" + segment.read_bytes())
    (tmp_path / DAMAGED).mkdir()
    assert await drain(spool) == put
    assert segments(tmp_path) == [segment]
    assert not spool.pending()
    assert "cannot be removed" in caplog.text


async def test_hits_still_wait_though_nobody_can_look_into_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    spool, put = Spool(folder), hits(2)
    await spool.append(put)
    folder.rename(tmp_path / "elsewhere")
    # A link to itself is closed for root as well.
    folder.symlink_to(folder)
    assert spool.depth == 2
    folder.unlink()
    (tmp_path / "elsewhere").rename(folder)
    assert spool.depth == 2
    assert await drain(spool) == put
    assert spool.depth == 0
