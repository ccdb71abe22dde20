"""A spool that several processes use: each takes the segments that nobody writes any more, and counts its own hits."""

from __future__ import annotations

import asyncio
from pathlib import Path

from hub.spool import Spool
from tests.test_spool import drain, hits, start_python

WRITER = """
import asyncio, sys
from pathlib import Path
from hub.spool import Spool
from tests.test_spool import hits

async def main():
    spool = Spool(Path(sys.argv[1]))
    await spool.append(hits(3))
    print("ready", flush=True)
    sys.stdin.read()

asyncio.run(main())
"""


async def test_segment_of_a_living_process_is_left_to_it_and_of_a_dead_one_is_taken(tmp_path: Path) -> None:
    process = start_python(WRITER, tmp_path)
    with process:
        assert process.stdout is not None
        assert await asyncio.to_thread(process.stdout.readline) == b"ready\n"
        spool = Spool(tmp_path)
        assert not spool.pending()
        assert await spool.take() is None
        own = hits(1)
        await spool.append(own)
        assert await drain(spool) == own
        process.kill()
        await asyncio.to_thread(process.wait)
        assert spool.pending()
        assert len(await drain(spool)) == 3


async def test_spool_taken_by_several_at_once_is_whole_or_empty_for_each(tmp_path: Path) -> None:
    """Several may find all of its hits: the database sees to it that each hit is recorded once."""
    dead = Spool(tmp_path)
    put = hits(5)
    await dead.append(put)
    dead.close()
    found = await asyncio.gather(*(drain(Spool(tmp_path)) for _ in range(4)))
    assert put in found
    assert all(each in ([], put) for each in found)


async def test_depth_counts_hits_that_are_found_and_not_those_that_another_has_replayed(tmp_path: Path) -> None:
    dead = Spool(tmp_path)
    await dead.append(hits(3))
    dead.close()
    spool = Spool(tmp_path)
    await spool.append(hits(2))
    assert spool.depth == 2
    taken = await spool.take()
    assert taken is not None
    assert spool.depth == 5
    await spool.done(taken[0])
    assert spool.depth == 2
    spool.close()
    assert len(await drain(Spool(tmp_path))) == 2
    assert spool.depth == 0
