"""What a process holds, as Linux tells it."""

from __future__ import annotations

import os
import re
from pathlib import Path

PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def descriptors(pid: int) -> int:
    """How many files and sockets the process `pid` has open."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def resident_bytes(pid: int) -> int:
    """How much memory the process `pid` has in use."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_BYTES


def connections_to(port: int) -> set[str]:
    """The clients' addresses of the TCP connections to `port` of 127.0.0.1 that are open at the client's end."""
    established = "01"
    end = f"0100007F:{port:04X} {established}"
    return set(re.findall(rf" (\S+) {end} ", Path("/proc/net/tcp").read_text()))


def children(pid: int) -> list[int]:
    """The processes that `pid` has started and that still run."""
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
