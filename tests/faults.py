"""A hub that a test can make fail: it crashes at named points, and has faults that are switched on and off.

`tests.faulty` is the part of this inside the hub's process.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from hub.spool import REJECTED
from tests.servers import HubProcess


class FaultyHub(HubProcess):
    """A hub like any other, until it is given a fault."""

    def __init__(self, directory: Path, database_url: str, environ: Mapping[str, str] | None = None) -> None:
        super().__init__(directory, database_url, environ)
        self.faults = directory / f"faults-{self.port}"
        self.faults.mkdir()
        self.spool = Path(self.environ["HUB_SPOOL_DIR"])
        self.be()

    def be(self, **spec: Any) -> None:
        """Run all later processes with `spec`: `crash`, `nth`, `migrations`."""
        whole = {"folder": str(self.faults), "spool": str(self.spool), **spec}
        self.program = ("-m", "tests.faulty", json.dumps(whole))

    def open_log(self) -> BinaryIO:
        """A pipe: what the hub prints has to come through even when it can write no file."""
        ours, its = os.pipe()
        threading.Thread(target=self._keep, args=(ours,), daemon=True).start()
        return os.fdopen(its, "wb")

    def _keep(self, pipe: int) -> None:
        with os.fdopen(pipe, "rb") as lines, self.log.open("ab", buffering=0) as log:
            for line in lines:
                log.write(line)

    def set(self, fault: str, value: str | None = "") -> None:
        """Switch a fault on, with a value if it takes one; None switches it off."""
        if value is None:
            (self.faults / fault).unlink()
        else:
            fresh = self.faults / f".{fault}"
            fresh.write_text(value)
            fresh.rename(self.faults / fault)

    def clear(self) -> None:
        """Switch every fault off."""
        for fault in self.faults.iterdir():
            fault.unlink()

    @contextmanager
    def fault(self, name: str, value: str = "") -> Iterator[None]:
        """A fault for as long as the block."""
        self.set(name, value)
        try:
            yield
        finally:
            self.set(name, None)

    @contextmanager
    def limit(self, what: int, most: int) -> Iterator[None]:
        """A limit (`resource.RLIMIT_…`) of the running process, lowered for as long as the block."""
        soft, hard = resource.prlimit(self.pid, what)
        resource.prlimit(self.pid, what, (most, hard))
        try:
            yield
        finally:
            resource.prlimit(self.pid, what, (soft, hard))

    def crashed(self) -> bool:
        """Whether it has been killed, by itself or by another process."""
        return self.process is not None and self.process.poll() == -signal.SIGKILL

    def complaints(self) -> list[str]:
        """Log lines with a traceback, and hits that were put aside: a fault from outside must cause neither."""
        rejected = self.spool / REJECTED
        aside = rejected.read_text().splitlines() if rejected.exists() else []
        return [*(line for line in self.output().splitlines() if '"exception"' in line or "Traceback" in line), *aside]

    def segments(self) -> list[Path]:
        """The segments in its spool."""
        return sorted(self.spool.glob("*.spool"))
