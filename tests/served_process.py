"""`tests.served` in a process of its own, as the tests see it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.processes import PATIENCE_SECONDS, start_process, wait_until
from tests.servers import ROOT


class Served:
    """A server that was started."""

    def __init__(
        self, directory: Path, kind: str = "good", workers: int = 1, port: int = 0, through: Sequence[str] = ()
    ) -> None:
        """`through` is a command that is given the server's command as arguments, and runs it."""
        self.directory = directory
        self.out, self.log = directory / "out", directory / "log"
        with self.out.open("wb") as out, self.log.open("wb") as log:
            self.process = start_process(
                [*through, sys.executable, "-m", "tests.served", kind, str(workers), str(port)],
                cwd=directory,
                env={"PATH": os.environ.get("PATH", os.defpath), "PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=log,
            )

    def wait_ready(self) -> Served:
        wait_until(lambda: self.out.read_text().endswith("\n") or self.process.poll() is not None)
        assert self.process.poll() is None, self.log.read_text()
        return self

    @property
    def port(self) -> int:
        match = re.fullmatch(r"Glimpse is at http://127\.0\.0\.1:(\d+)\n", self.out.read_text())
        assert match is not None
        return int(match[1])

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def journal(self, what: str) -> list[str]:
        """The second words of the journal's lines that begin with `what`."""
        journal = self.directory / "journal"
        lines = journal.read_text().splitlines() if journal.exists() else []
        return [line.partition(" ")[2] for line in lines if line.partition(" ")[0] == what]

    def kill(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(PATIENCE_SECONDS)


Start = Callable[..., Served]
