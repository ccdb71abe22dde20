"""A place on disk that a test fills up and makes read-only: a real file system, or one that is only made believe.

A real one is a small tmpfs, which on Linux root can mount, and nearly everywhere each user in a namespace of his own.
"""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.faults import FaultyHub

MEGABYTES = 24
"""Enough for a database with a few thousand hits and SQLite's log, and soon filled up."""

MOUNT = f"""
mount --make-rprivate / && mount -t tmpfs -o size={MEGABYTES}m none "$1" && mount --bind "$1" "$2" && echo mounted
while read -r line; do eval "$line" && echo done || echo failed; done
"""
RUN = "import os, sys; os.execv(sys.argv[1], sys.argv[1:])"


class SmallDisk:
    """A small tmpfs in a mount namespace of its own, which is gone with this process. Raises OSError if there can be
    none.

    A file system that is being written to is never remounted read-only, so a read-only view of it is laid over it:
    each file opened from then on is read-only, in the kernel's own words. So fill it first: then SQLite opens anew.
    """

    full = "No space left on device"

    def __init__(self, directory: Path) -> None:
        self.path, behind = directory / "disk", directory / "behind"
        """Where a hub finds it."""
        self.path.mkdir()
        behind.mkdir()
        unshare, nsenter = _program("unshare"), _program("nsenter")
        for ours, theirs in (((), ()), (("-Ur",), ("-U", "--preserve-credentials"))):
            self._shell = subprocess.Popen(
                [unshare, *ours, "-m", "sh", "-c", MOUNT, "sh", str(self.path), str(behind)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            inside = (nsenter, "-t", str(self._shell.pid), "-m", *theirs, sys.executable)
            self.files = Path(f"/proc/{self._shell.pid}/root{behind}")
            """Where this process finds its files, and may always write."""
            if self._answer() == "mounted" and self._is_within_reach(inside):
                break
            self.close()
        else:
            raise OSError("no file system can be mounted here")
        self._program = ("-c", RUN, *inside)
        self._filling = self.files / "filling"

    def take(self, hub: FaultyHub) -> None:
        """Have `hub`, not started yet, run where the disk is."""
        hub.program = (*self._program, *hub.program)

    def fill_and_launch(self, hub: FaultyHub) -> None:
        """Fill, and start the hub without waiting."""
        self.fill()
        hub.launch()

    def fill(self) -> None:
        """Leave no room at all."""
        try:
            with self._filling.open("wb", buffering=0) as file:
                while True:
                    file.write(bytes(4096))
        except OSError:
            return

    def make_room(self) -> None:
        """Undo `fill`."""
        self._filling.unlink()

    def make_read_only(self) -> None:
        """Have nobody write who does not already."""
        self._run(f"mount --bind '{self.path}' '{self.path}' && mount -o remount,bind,ro '{self.path}'")

    def make_writable(self) -> None:
        """Undo `make_read_only`. Files opened since stay read-only."""
        self._run(f"umount -l '{self.path}'")

    def close(self) -> None:
        """End the namespace, and with it the disk."""
        self._shell.communicate()

    def _is_within_reach(self, inside: Sequence[str]) -> bool:
        """Whether a program can be run there, and the files be used from here: some systems forbid the one or other."""
        try:
            (self.files / "probe").touch()
        except OSError:
            return False
        look = ("-c", "import os, sys; sys.exit(not os.path.exists(sys.argv[1]))", str(self.path / "probe"))
        return subprocess.run([*inside, *look], capture_output=True, check=False).returncode == 0

    def _run(self, line: str) -> None:
        assert self._shell.stdin is not None
        self._shell.stdin.write(f"{line}\n")
        self._shell.stdin.flush()
        assert self._answer() == "done"

    def _answer(self) -> str:
        assert self._shell.stdout is not None
        return self._shell.stdout.readline().strip()


class NoDisk:
    """A folder in which `hub` is made to believe the same: where no file system can be mounted."""

    full = "File too large"

    def __init__(self, directory: Path) -> None:
        self.path = self.files = directory / "folder"
        self.path.mkdir()
        self._hub: FaultyHub | None = None
        self._limit, self._read_only = ExitStack(), ExitStack()

    def take(self, hub: FaultyHub) -> None:
        """As `SmallDisk.take`."""
        self._hub = hub

    def fill_and_launch(self, hub: FaultyHub) -> None:
        """As `SmallDisk.fill_and_launch`, but only a hub that has started can be made to believe."""
        hub.start()
        self.fill()

    def fill(self) -> None:
        """As `SmallDisk.fill`."""
        assert self._hub is not None
        self._limit.enter_context(self._hub.limit(resource.RLIMIT_FSIZE, 100))

    def make_room(self) -> None:
        """As `SmallDisk.make_room`."""
        self._limit.close()

    def make_read_only(self) -> None:
        """As `SmallDisk.make_read_only`."""
        assert self._hub is not None
        self._read_only.enter_context(self._hub.fault("read-only"))

    def make_writable(self) -> None:
        """As `SmallDisk.make_writable`."""
        self._read_only.close()

    def close(self) -> None:
        """As `SmallDisk.close`."""


def a_place(directory: Path) -> SmallDisk | NoDisk:
    """A real disk, or else one that is made believe; says which."""
    try:
        place: SmallDisk | NoDisk = SmallDisk(directory)
    except OSError as error:
        place = NoDisk(directory)
        sys.stdout.write(f"{error}: full and read-only are made believe\n")
    return place


def _program(name: str) -> str:
    if (found := shutil.which(name)) is None:
        raise FileNotFoundError(f"there is no {name}")
    return found
