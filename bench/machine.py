"""The machine, on which the figures depend: what it is, and what the processes on it took. Linux only."""

from __future__ import annotations

import os
import platform
import resource
import shutil
import statistics
import subprocess
import tempfile
import time
import timeit
from importlib import metadata
from pathlib import Path

PACKAGES = ("uvicorn", "starlette", "websockets", "httptools", "uvloop", "databases", "aiosqlite", "asyncpg", "msgspec")
TICKS = os.sysconf("SC_CLK_TCK")
SYNCS = 200
FILES = 20_000
"""Files that one process has open at the most: 10,000 sockets, and room for all else."""
MOUNTS = Path("/proc/self/mountinfo")
DAMON = Path("/sys/kernel/mm/damon/admin/kdamonds")
"""Where Linux says which memory it gives up though there is room (Documentation/admin-guide/mm/damon, 6.18)."""


def facts(folder: Path) -> dict[str, str]:
    """What the machine is and which versions run on it; `folder` is where the databases will be."""
    model = next((line for line in _read("/proc/cpuinfo").splitlines() if line.startswith("model name")), "")
    memory = next(line for line in _read("/proc/meminfo").splitlines() if line.startswith("MemTotal"))
    return {
        "processor": model.partition(":")[2].strip() or platform.processor() or platform.machine(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{int(memory.split()[1]) / 1048576:.0f} GiB",
        "page cache": kept_for(),
        "kernel": platform.release(),
        "an fsync of 4 KiB": f"{sync_seconds(folder) * 1000:.2f} ms",
        "Python": platform.python_version(),
        "ten million additions in Python": f"{additions_seconds():.2f} s",
        "nginx": _said("nginx", "-v").rpartition("/")[2] or "not installed",
        "wrk": _said("wrk", "-v").partition("\n")[0].partition(" [")[0].removeprefix("wrk ") or "not installed",
        **{name: metadata.version(name) for name in PACKAGES},
    }


def kept_for(damon: Path = DAMON) -> str:
    """How long the machine keeps in memory what it read from the disk; some virtual machines give it up soon."""
    for action in damon.glob("*/contexts/*/schemes/*/action"):
        if action.read_text().strip() == "pageout":
            intervals = int((action.parent / "access_pattern/age/min").read_text())
            micros = int((action.parents[2] / "monitoring_attrs/intervals/aggr_us").read_text())
            return f"what was not touched for {intervals * micros / 1e6:.0f} s is given up (DAMON)"
    return "kept while there is room"


def in_memory(folder: Path, mounts: Path = MOUNTS) -> bool:
    """Whether what is written into `folder` reaches no disk, so that an fsync costs nothing."""
    device = folder.stat().st_dev
    here = f"{os.major(device)}:{os.minor(device)}"
    lines = (line.partition(" - ") for line in mounts.read_text().splitlines())
    return any(mount.split()[2] == here and kind.split()[0] in ("tmpfs", "ramfs") for mount, _, kind in lines)


def sync_seconds(folder: Path) -> float:
    """The median time to write 4 KiB at the end of a file in `folder` and have it on disk."""
    times = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(SYNCS):
            began = time.perf_counter()
            file.write(bytes(4096))
            file.flush()
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - began)
    return statistics.median(times)


def additions_seconds() -> float:
    """The time of ten million additions, the least of three: how fast this machine runs this Python at the moment.

    A rented machine may be three times as slow a day later, which nothing else in the list would show.
    """
    return min(timeit.repeat("total += 1", "total = 0", number=10_000_000, repeat=3))


def processes_of(leader: int) -> list[int]:
    """The process `leader` and its descendants, as far as they still run."""
    parents = {
        int(entry.name): int(stat[1])
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and (stat := _stat(int(entry.name)))
    }
    found = {leader} & parents.keys()
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return sorted(found)


def cpu_seconds(leader: int) -> float:
    """The processor time that the process `leader` and its living descendants have taken so far."""
    taken = [_stat(pid) for pid in processes_of(leader)]
    return sum(int(stat[11]) + int(stat[12]) for stat in taken if stat) / TICKS


def busy_seconds() -> float:
    """The processor time that everything on this machine has taken so far."""
    user, nice, system, _idle, _wait, interrupts, soft = map(int, _read("/proc/stat").split()[1:8])
    return (user + nice + system + interrupts + soft) / TICKS


class Watch:
    """Watches the processor from now on; after `end` it says how many cores were taken.

    What one answer or delivery costs is a share of `taken`, the measured processes' whole time. It is not a share of
    `server`: the generators' start and the last wait are in `seconds`, and not in the time that a rate is of.
    """

    def __init__(self, *leaders: int) -> None:
        """`leaders` are measured, with their descendants."""
        self._leaders = leaders
        self.server = self.seconds = self.busy = self.taken = 0.0
        self._began = time.monotonic()
        self._taken, self._busy = self._now()

    def end(self) -> None:
        """Stop watching."""
        self.seconds = time.monotonic() - self._began
        taken, busy = self._now()
        self.taken = taken - self._taken
        self.server = self.taken / self.seconds
        self.busy = (busy - self._busy) / self.seconds

    def others(self, generator: float) -> float:
        """The cores that something else than the measured processes and the `generator` took."""
        return max(0.0, self.busy - self.server - generator)

    def _now(self) -> tuple[float, float]:
        return sum(cpu_seconds(leader) for leader in self._leaders), busy_seconds()


def own_cpu_seconds() -> float:
    """The processor time that this process has taken."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def most_files() -> int:
    """How many files a process may open here: `FILES`, or as many as the machine allows."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)


def allow_files() -> None:
    """Let this process and its children open `most_files`."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most_files(), hard))


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on, or nothing if the process is gone."""
    try:
        return _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    except OSError:
        return []


def _read(path: str) -> str:
    return Path(path).read_text()


def _said(program: str, option: str) -> str:
    found = shutil.which(program, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
    if found is None:
        return ""
    said = subprocess.run([found, option], capture_output=True, text=True, check=False, timeout=10)
    return (said.stdout + said.stderr).strip()
