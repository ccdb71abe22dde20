"""The spool on a disk that fails: an append that fails leaves nothing behind, and the next try adds its hits once."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hub.spool import Spool
from tests.test_spool import drain, hits, segments


@contextmanager
def full_disk(call: str) -> Iterator[None]:
    """One call fails: to "rename" a file, or to sync the "folder", the new "file" that is synced after the folder, or
    the "segment" that was there before.
    """
    fsync, calls = os.fsync, 0

    def no_space(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def sync(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        (no_space if calls == (2 if call == "file" else 1) else fsync)(descriptor)

    with pytest.MonkeyPatch.context() as patch:
        if call == "rename":
            patch.setattr(Path, "rename", no_space)
        else:
            patch.setattr(os, "fsync", sync)
        yield


def left_in(directory: Path) -> list[Path]:
    """The files in a folder, and those that this process has open there."""
    links = [link.readlink() for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    return [*directory.iterdir(), *(path for path in links if directory in path.parents)]


@pytest.mark.parametrize("call", ["rename", "folder", "file"])
async def test_segment_that_cannot_be_begun_leaves_nothing_behind(tmp_path: Path, call: str) -> None:
    spool, put = Spool(tmp_path), hits(2)
    for _ in range(2):
        with full_disk(call), pytest.raises(OSError, match="No space"):
            await spool.append(put)
        assert left_in(tmp_path) == []
    assert spool.depth == 0
    await spool.append(put)
    assert await drain(spool) == put


async def test_append_that_fails_leaves_what_was_there_and_is_not_doubled_by_the_next_try(tmp_path: Path) -> None:
    spool, [before, *put] = Spool(tmp_path), hits(3)
    await spool.append([before])
    with full_disk("segment"), pytest.raises(OSError, match="No space"):
        await spool.append(put)
    assert left_in(tmp_path) == segments(tmp_path), "closed, so that the next append begins another"
    assert spool.depth == 1
    await spool.append(put)
    assert await drain(spool) == [before, *put]
    assert segments(tmp_path) == []
