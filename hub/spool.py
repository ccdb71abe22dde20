"""The spool: hits that could not be committed, kept on disk until they can be.

Promise: when `append` returns, the hits are on disk (fsynced), and every one of them will be read back, in
the order it came, by this process or the next that starts. A hit cut off by a crash in the middle of its
own append was never answered, and is dropped; a line that was damaged later is put aside. The spool holds neither
addresses nor User-Agents.

A spool is a folder of segments, `<id>.spool`, in the order of their ids. A line is a CRC-32 in hex, a
space, and a hit in JSON. The process that writes a segment holds a lock on it, so that other processes, and the next
to start, take only segments that nobody writes any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import logging
import os
import re
import time
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, TypeVar

import msgspec
from msgspec.structs import replace

from hub.config import out_of_reach
from hub.model import Hit, new_id

logger = logging.getLogger(__name__)

REJECTED = "rejected.jsonl"
DAMAGED = "damaged.txt"
NO_DESCRIPTOR = (errno.EMFILE, errno.ENFILE)
SEGMENT_BYTES = 4 * 1024 * 1024
"""A segment ends once it is this long: some 10,000 hits. It is read whole."""

LOOK_AGAIN_SECONDS = 60.0
"""How long until the spool tries again to read what could not be read."""

_CLIENTS = re.compile(rb'("clients":)[^]]*]?')
"""The client hashes of a hit, in its line."""

_NUMBERED = re.compile(r"(.+)_([0-9]{9})")
"""The name of a segment that was begun while the clock was behind the one before."""

_decode = msgspec.json.Decoder(Hit).decode

T = TypeVar("T")


class Spool:
    """The spool in `directory`. One process may use it beside others."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._active: BinaryIO | None = None
        self._path = directory
        """The path of the segment begun last, which is `_active` while it is open; before the first, the folder's."""
        self._appending = asyncio.Lock()
        self._thread: ThreadPoolExecutor | None = None
        self._waiting: dict[Path, int] = {}
        """How many hits are in each segment that this process has written or taken."""
        self._over: set[Path] = set()
        """Segments whose hits are all committed, but that could not be removed."""
        self._damaged: dict[Path, list[bytes]] = {}
        """The damaged lines of each segment taken, which are no hits any more."""
        self._unreadable: dict[Path, float] = {}
        """When to look again, by `time.monotonic`, at each path that could not be read."""

    def start(self) -> None:
        """Begin the thread that does all the work: later, when it is needed, the system may have none to give."""
        self._worker().submit(int).result()

    def make_folder(self) -> None:
        """Make the folder and see that it can be written. Raises OSError."""
        self._directory.mkdir(parents=True, exist_ok=True)
        probe = self._directory / f".{new_id()}.probe"
        probe.touch()
        probe.unlink()

    @property
    def depth(self) -> int:
        """How many hits wait here, of those that this process has written or taken."""
        # Another process may have taken what this one wrote, and be done with it. In a folder that is closed all wait.
        self._waiting = {
            segment: hits for segment, hits in self._waiting.items() if out_of_reach(segment) or segment.exists()
        }
        return sum(self._waiting.values())

    def pending(self) -> bool:
        """Whether there is, or is about to be, anything for this process to replay."""
        if self._appending.locked() or self._active is not None:
            return True
        try:
            return any(map(_is_free, self._readable()))
        except OSError:
            # No descriptor is left to look with: better to look again than to say that there is nothing.
            return True

    async def append(self, hits: Sequence[Hit]) -> None:
        """Put hits on disk. If it raises OSError, none of them is safe."""
        lines = b"".join(_line(hit) for hit in hits)
        async with self._appending:
            await self._run(self._write, lines)
            self._waiting[self._path] = self._waiting.get(self._path, 0) + len(hits)

    async def take(self) -> tuple[Path, list[Hit]] | None:
        """The oldest segment that nobody writes, and its hits; None if there is none. Raises OSError if no descriptor
        is left to look with; a segment that cannot be read for another reason is left out and logged.

        If there is no other, this ends the segment being written and takes that; later appends go to a new one.
        Another process may take the same segment: whoever replays it leaves out the ids that are recorded.
        """
        # If each take ended the segment being written, a busy hub would begin a new one for each that it replays.
        taken = await self._run(self._take)
        if taken is None:
            async with self._appending:
                self._close_active()
            taken = await self._run(self._take)
        if taken is not None:
            segment, spooled = taken
            self._waiting[segment] = len(spooled)
        return taken

    async def done(self, segment: Path) -> None:
        """Remove a segment whose hits are all committed; its damaged lines are put aside first."""
        self._waiting.pop(segment, None)
        try:
            await self._run(self._forget, segment)
        except OSError as error:
            # It is replayed once more after the next start, which finds all of its hits recorded.
            self._over.add(segment)
            logger.error("the spool segment %s is replayed and cannot be removed: %s", segment.name, error)

    async def put_aside(self, hit: Hit) -> None:
        """Put aside, for a person to see, a hit that the database will not take for a reason of the hit's own.

        Nothing is replayed from there, and it stays as long as that person likes: so its client hashes are left out.
        """
        await self._run(self._put_aside, REJECTED, msgspec.json.encode(replace(hit, clients=())) + b"\n")

    def close(self) -> None:
        """Let go of the segment being written; what is in it stays for the next start."""
        self._close_active()
        if self._thread is not None:
            self._thread.shutdown(wait=False)
            self._thread = None

    async def _run(self, work: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._worker(), work, *args)

    def _worker(self) -> ThreadPoolExecutor:
        self._thread = self._thread or ThreadPoolExecutor(1, "spool")
        return self._thread

    def _segments(self) -> list[Path]:
        """Every segment that is not over, oldest first. Raises OSError if there is no descriptor left to look with."""
        try:
            found = (path for path in self._directory.iterdir() if path.suffix == ".spool")
            segments = sorted(path for path in found if path not in self._over)
        except FileNotFoundError:
            return []
        except OSError as error:
            if error.errno in NO_DESCRIPTOR:
                raise
            self._complain(self._directory, error)
            return []
        self._unreadable.pop(self._directory, None)
        return segments

    def _readable(self) -> list[Path]:
        """The segments, without those that lately could not be read: new hits are spooled as long as one is tried."""
        now = time.monotonic()
        return [path for path in self._segments() if self._unreadable.get(path, now) <= now]

    def _complain(self, path: Path, error: OSError) -> None:
        if path not in self._unreadable:
            logger.error("%s cannot be read, and what was spooled there waits: %s", path.name, error)
        self._unreadable[path] = time.monotonic() + LOOK_AGAIN_SECONDS

    def _write(self, lines: bytes) -> None:
        self._let_go_if_removed()
        self._active = self._active or self._new_segment()
        start = self._active.tell()
        try:
            rest = memoryview(lines)
            while rest:
                # A full disk may take a part at first; only the next write says why it takes no more.
                rest = rest[self._active.write(rest) :]
            os.fsync(self._active.fileno())
            if self._let_go_if_removed():
                raise FileNotFoundError(errno.ENOENT, "the segment was removed while it was written")
        except OSError:
            self._abandon(start)
            raise
        if self._active.tell() >= SEGMENT_BYTES:
            self._close_active()

    def _let_go_if_removed(self) -> bool:
        """Close the segment being written if its file is no longer found by its name. Returns whether that was so."""
        if self._active is None:
            return False
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            if os.path.samestat(os.fstat(self._active.fileno()), self._path.stat()):
                return False
        logger.critical("the spool segment %s was removed, and with it hits that were answered", self._path.name)
        self._close_active()
        return True

    def _new_segment(self) -> BinaryIO:
        """Begin a segment, locked before it gets the name by which other processes look for it."""
        self._directory.mkdir(parents=True, exist_ok=True)
        # It comes after the last one, even if the clock was set back since.
        name = max([new_id(), *(_after(path.stem) for path in self._segments()[-1:])])
        unnamed, self._path = self._directory / f".{name}", self._directory / f"{name}.spool"
        segment = unnamed.open("xb", buffering=0)
        try:
            fcntl.flock(segment, fcntl.LOCK_EX | fcntl.LOCK_NB)
            unnamed.rename(self._path)
            _sync_directory(self._directory)
        except OSError:
            segment.close()
            unnamed.unlink(missing_ok=True)
            self._path.unlink(missing_ok=True)
            raise
        return segment

    def _abandon(self, start: int) -> None:
        """Cut off a half-written append: its hits were not answered, and would be replayed beside their retry."""
        if self._active is None:
            return
        try:
            self._active.truncate(start)
            if start == 0:
                # Otherwise a disk that stays full would be littered with an empty segment for every attempt.
                self._path.unlink(missing_ok=True)
        except OSError as error:
            logger.error("a spool segment could not be cut back: %s", error)
        self._close_active()

    def _close_active(self) -> None:
        if self._active is not None:
            self._active.close()
            self._active = None

    def _take(self) -> tuple[Path, list[Hit]] | None:
        for path in self._readable():
            try:
                with path.open("rb") as segment:
                    fcntl.flock(segment, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    spooled, self._damaged[path] = _hits(path, segment)
                    self._unreadable.pop(path, None)
                    return path, spooled
            except (FileNotFoundError, BlockingIOError):
                continue
            except OSError as error:
                if error.errno in NO_DESCRIPTOR:
                    raise
                self._complain(path, error)
        return None

    def _forget(self, segment: Path) -> None:
        if damaged := self._damaged.pop(segment, None):
            self._put_aside(DAMAGED, b"".join(damaged))
        segment.unlink(missing_ok=True)

    def _put_aside(self, name: str, lines: bytes) -> None:
        with (self._directory / name).open("ab") as file:
            file.write(lines)
            file.flush()
            os.fsync(file.fileno())


def _after(name: str) -> str:
    """A name that comes right after that of a segment. It has a number, so that names do not grow with each segment."""
    if match := _NUMBERED.fullmatch(name):
        return f"{match[1]}_{int(match[2]) + 1:09}"
    return f"{name}_{1:09}"


def _is_free(segment: Path) -> bool:
    """Whether no process is writing the segment. Raises OSError if there is no descriptor left to look with."""
    try:
        with segment.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in NO_DESCRIPTOR:
            raise
        return False
    return True


def _line(hit: Hit) -> bytes:
    body = msgspec.json.encode(hit)
    return b"%08x %s\n" % (zlib.crc32(body), body)


def _hits(path: Path, lines: BinaryIO) -> tuple[list[Hit], list[bytes]]:
    """The hits of a segment, and its damaged lines. A last line that is cut off is neither."""
    hits: list[Hit] = []
    damaged: list[bytes] = []
    for number, line in enumerate(lines, 1):
        if not line.endswith(b"\n"):
            logger.warning("line %d of spool segment %s is cut off and was left out", number, path.name)
        elif (hit := _hit(line)) is not None:
            hits.append(hit)
        else:
            logger.error("line %d of spool segment %s is damaged, and is put aside in %s", number, path.name, DAMAGED)
            damaged.append(_CLIENTS.sub(rb"\1[]", line))
    return hits, damaged


def _hit(line: bytes) -> Hit | None:
    """The hit in a whole line, as `_line` made it; None if it was damaged."""
    checksum, _, body = line.rstrip(b"\n").partition(b" ")
    try:
        return _decode(body) if int(checksum, 16) == zlib.crc32(body) else None
    except (ValueError, msgspec.ValidationError):
        return None


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
