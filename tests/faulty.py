"""The hub with a fault: `python -m tests.faulty SPEC COMMAND…` runs `python -m hub COMMAND…` with what SPEC asks for.

Promise: the hub's own code runs as it is, with nothing in it for the tests' sake; the faults are put around its calls
from here. SPEC is JSON: `folder`, where a fault is switched on while there is a file with its name; `crash`, one of
`POINTS`, at which the process is killed the `nth` time it is reached while `armed` is on; `migrations`, a folder with
later migrations; `spool`, the spool's folder.

For the spool, a crash here is like a power cut: what no fsync has confirmed is lost with the process.
"""

from __future__ import annotations

import asyncio
import errno
import functools
import inspect
import json
import os
import pkgutil
import signal
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import uuid_utils

import hub.app
from hub import preparation
from hub.batch import Batch
from hub.commits import Commits
from hub.live.bus import Bus
from hub.model import now
from hub.spool import Spool
from hub.store.away import DatabaseAway
from hub.store.database import Database, Held
from hub.store.opens import Opens

PRAGMAS = {"read-only": ("query_only", 1, 0), "full": ("max_page_count", 1, 2**30)}
READ_ONLY = OSError(errno.EROFS, os.strerror(errno.EROFS))
ANSWERS_LEAVE_SECONDS = 0.05
SENT_SECONDS = 0.001

When = Literal["before", "after", "sent", "answered", "torn"]
Whether = Callable[..., bool]


def always(*_: Any) -> bool:
    """Every call."""
    return True


def of_a_file(descriptor: int) -> bool:
    """An fsync of a file, not of a folder."""
    return stat.S_ISREG(os.fstat(descriptor).st_mode)


def of_a_folder(descriptor: int) -> bool:
    """An fsync of a folder."""
    return not of_a_file(descriptor)


def of_something(_bus: Bus, items: Any) -> bool:
    """A publication that is not empty."""
    return bool(items)


POINTS: dict[str, tuple[Any, str, When, Whether]] = {
    "after a batch is judged, before its statement is sent": (Batch, "events", "before", always),
    "as a batch's one statement is sent": (Held, "change_if", "sent", always),
    "after a correction's changes, before its commit": (Opens, "forget_seen", "after", always),
    "after a commit, before its answers": (Commits, "commit", "after", always),
    "after the answers, before they are published": (Bus, "publish", "answered", of_something),
    "before a spool segment has its name for good": (os, "fsync", "before", of_a_folder),
    "in the middle of a spool record": (Spool, "_write", "torn", always),
    "after the spool's write, before its fsync": (os, "fsync", "before", of_a_file),
    "after the spool's fsync, before its answers": (Spool, "append", "after", always),
    "before a replay's commit": (Held, "change", "after", always),
    "after a replay's commit, before its segment is removed": (Spool, "done", "before", always),
    "after a segment is removed": (Spool, "done", "after", always),
    "in the middle of a migration": ("alembic.operations:Operations", "invoke", "after", always),
    "before a migration's commit": ("alembic.command", "upgrade", "after", always),
}
"""Whose call it is, its name, when to kill, and for which arguments. Alembic is only named, not imported: a hub that
serves does without, and it would take a third of the time of a start."""

COMMITTING = (
    "as a batch's one statement is sent",
    "after a batch is judged, before its statement is sent",
    "after a correction's changes, before its commit",
    "after a commit, before its answers",
    "after the answers, before they are published",
)
SPOOLING = (
    "before a spool segment has its name for good",
    "in the middle of a spool record",
    "after the spool's write, before its fsync",
    "after the spool's fsync, before its answers",
)
REPLAYING = (
    "before a replay's commit",
    "after a replay's commit, before its segment is removed",
    "after a segment is removed",
)
"""The points that a running hub reaches, grouped by what it is doing."""

ONCE = (COMMITTING[2], SPOOLING[0], *REPLAYING)
"""Points that are reached too seldom to wait for the tenth time."""


class Crash:
    """Kills the process at one of `POINTS`, the `nth` time that it is reached while `armed`."""

    def __init__(self, point: str, nth: int, spool: Path, armed: Callable[[], bool]) -> None:
        self._left = nth
        self._armed = armed
        self._spool = spool
        self._synced: dict[int, int] = {}
        self._named: set[str] = set()
        owner, name, when, whether = POINTS[point]
        owner = pkgutil.resolve_name(owner) if isinstance(owner, str) else owner
        if when == "after":
            around(owner, name, after=self._kill, whether=whether)
        else:
            before: dict[When, Callable[..., Any]] = {
                "before": self._kill,
                "sent": self._kill_when_sent,
                "answered": self._kill_when_answered,
                "torn": self._tear,
            }
            around(owner, name, before=before[when], whether=whether)
        around(os, "fsync", after=self._remember)

    def _remember(self, descriptor: int) -> None:
        """Note how much of a segment is safe on disk, and which segments' names are."""
        status = os.fstat(descriptor)
        if stat.S_ISREG(status.st_mode):
            self._synced[status.st_ino] = status.st_size
        else:
            self._named = {path.name for path in self._spool.glob("*.spool")}

    def _is_now(self) -> bool:
        self._left -= self._armed()
        return self._left == 0

    def _kill(self, *_: Any) -> None:
        if self._is_now():
            self._cut_power()

    def _tear(self, spool: Any, lines: bytes) -> None:
        """Write half of what is to be written, and make sure that this half reaches the disk."""
        if self._is_now():
            if spool._active is None:
                spool._active = spool._new_segment()
            spool._active.write(lines[: len(lines) // 2])
            os.fsync(spool._active.fileno())
            self._cut_power()

    async def _kill_when_answered(self, *_: Any) -> None:
        if self._is_now():
            await asyncio.sleep(ANSWERS_LEAVE_SECONDS)
            self._cut_power()

    def _kill_when_sent(self, *_: Any) -> None:
        """Kill while the statement is on its way: nobody knows how far it has come."""
        if self._is_now():
            asyncio.get_running_loop().call_later(SENT_SECONDS, self._cut_power)

    def _cut_power(self) -> None:
        for segment in self._spool.glob("*.spool"):
            inode = segment.stat().st_ino
            if segment.name in self._named and inode in self._synced:
                os.truncate(segment, min(self._synced[inode], segment.stat().st_size))
            else:
                segment.unlink()
        os.kill(os.getpid(), signal.SIGKILL)


class Switches:
    """Faults that are switched on and off while the hub runs.

    `away`: the database is away. `read-only`: neither the database nor the spool can be written; `full`: the disk is
    full for the database alone; both are for SQLite. `clock`: the hub's clock is off by `value` milliseconds.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._refusing: set[str] = set()
        around(Database, "write", before=self._away)
        around(Database, "at_once", before=self._away)
        around(Held, "begin", before=self._pragmas)
        around(Held, "change_if", before=self._pragmas)
        around(Spool, "_write", before=self._read_only_spool)
        uuid7 = uuid_utils.uuid7

        def shifted() -> int:
            return now() + self._clock_shift()

        vars(hub.app)["now"] = shifted

        def dated(**_: Any) -> Any:
            # Given a time, uuid7 ignores the ids it made before, just as after a restart.
            return uuid7(nanoseconds=shifted() * 1_000_000)

        uuid_utils.uuid7 = dated

    def on(self, fault: str) -> bool:
        """Whether a fault is switched on."""
        return (self._folder / fault).exists()

    def _away(self, *_: Any) -> None:
        if self.on("away"):
            raise DatabaseAway("it was told to be")

    async def _pragmas(self, held: Any, *_: Any) -> None:
        """Make SQLite itself refuse writes to the file, or take them again."""
        for fault, (pragma, bad, good) in PRAGMAS.items():
            if self.on(fault) or fault in self._refusing:
                (self._refusing.add if self.on(fault) else self._refusing.discard)(fault)
                await held.fetch(f"PRAGMA {pragma}={bad if self.on(fault) else good}")

    def _read_only_spool(self, *_: Any) -> None:
        if self.on("read-only"):
            raise READ_ONLY

    def _clock_shift(self) -> int:
        # Opened only if it is there, because this must work with no descriptor left. It may be removed in between.
        try:
            return int((self._folder / "clock").read_text()) if self.on("clock") else 0
        except FileNotFoundError:
            return 0


def around(
    owner: Any,
    name: str,
    *,
    before: Callable[..., Any] | None = None,
    after: Callable[..., Any] | None = None,
    whether: Whether = always,
) -> None:
    """Call `before` and `after` around each call of `owner.name`, with its arguments, if `whether` is true of them."""
    function = getattr(owner, name)

    @functools.wraps(function)
    def called(*args: Any, **options: Any) -> Any:
        if before is not None and whether(*args):
            before(*args)
        result = function(*args, **options)
        if after is not None and whether(*args):
            after(*args)
        return result

    @functools.wraps(function)
    async def awaited(*args: Any, **options: Any) -> Any:
        if before is not None and whether(*args):
            said = before(*args)
            if inspect.isawaitable(said):
                await said
        result = await function(*args, **options)
        if after is not None and whether(*args):
            after(*args)
        return result

    setattr(owner, name, awaited if inspect.iscoroutinefunction(function) else called)


def more_migrations(folder: str) -> None:
    """Add the migrations in `folder` after the hub's own."""
    from hub.store import migrate

    own = migrate._alembic_config

    def config() -> Any:
        both = own()
        script_location = both.get_main_option("script_location")
        both.set_main_option("version_path_separator", "newline")
        both.set_main_option("version_locations", f"{script_location}/versions\n{folder}".replace("%", "%%"))
        return both

    migrate._alembic_config = config
    vars(preparation)["NEEDED"] = migrate.head()


def main() -> None:
    """Put the faults in place, and run the hub."""
    spec = json.loads(sys.argv.pop(1))
    switches = Switches(Path(spec["folder"]))
    if (folder := spec.get("migrations")) and any(Path(folder).glob("*.py")):
        more_migrations(folder)
    if point := spec.get("crash"):
        Crash(point, spec.get("nth", 1), Path(spec["spool"]), lambda: switches.on("armed"))
    from hub.__main__ import main as hub_main

    hub_main()


if __name__ == "__main__":
    main()
