"""The hub as its own process, for the tests."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO, Self, TypeAlias, TypeVar, cast

from argon2 import PasswordHasher
from msgspec.structs import replace

from hub import accounts
from hub.model import new_id, now
from hub.store.database import Database
from hub.store.messages import Messages
from hub.store.users import Users
from tests.processes import PATIENCE_SECONDS, free_port, start_process, wait_until

T = TypeVar("T")

ROOT = Path(__file__).resolve().parent.parent

weak_hash: Callable[[str], str] = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash
"""As weak as argon2 allows, so that a log-in takes no time; the hub's own hashes have tests of their own."""


class HubProcess:
    """The hub as a user runs it: `python -m hub serve`, in an environment with nothing else in it.

    `directory` is where it runs and keeps its spool and what it prints (`log`). `environ` adds variables
    (`DATABASE_URL`, `REDIS_URL`, `HUB_…`), `arguments` adds options of `serve`. A killed one can be started
    again: same port, same database. `program` is what Python runs.
    """

    def __init__(
        self,
        directory: Path,
        database_url: str,
        environ: Mapping[str, str] | None = None,
        arguments: Sequence[str] = (),
        port: int | None = None,
    ) -> None:
        self.directory = directory
        self.port = port or free_port()
        self.arguments = tuple(arguments)
        self.program: tuple[str, ...] = ("-m", "hub")
        self.log = directory / f"hub-{self.port}.log"
        self._said_before = 0
        self.process: subprocess.Popen[bytes] | None = None
        self.environ = {
            "PATH": os.environ.get("PATH", os.defpath),
            "PYTHONPATH": str(ROOT),
            "DATABASE_URL": database_url,
            "HUB_SPOOL_DIR": str(directory / f"spool-{self.port}"),
            "HUB_DATA_DIR": str(directory / "data"),
            **(environ or {}),
        }

    @property
    def base_url(self) -> str:
        """Where it answers, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        """The address of its WebSocket."""
        return f"ws://127.0.0.1:{self.port}/api/v1/ws"

    @property
    def pid(self) -> int:
        """The process id of the running hub."""
        assert self.process is not None
        return self.process.pid

    def start(self) -> Self:
        """Start it and wait until it is ready. Raises AssertionError, with its output, if it is not."""
        self.launch()
        try:
            wait_until(lambda: self.ready() and self.serves(), what="the hub ready")
        except AssertionError as error:
            raise AssertionError(f"{error}; it said:\n{self.output()}") from None
        return self

    def launch(self) -> None:
        """Start it without waiting."""
        self._said_before = len(self.output())
        command = [sys.executable, *self.program, "serve", "--host", "127.0.0.1", "--port", str(self.port)]
        with self.open_log() as log:
            self.process = start_process(
                [*command, *self.arguments],
                cwd=self.directory,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def open_log(self) -> BinaryIO:
        """The file that it prints into; this process closes it once the hub has been started."""
        return self.log.open("ab")

    def ready(self) -> bool:
        """Whether `/readyz` says 200. Raises AssertionError if the process has ended."""
        assert self.process is None or self.process.poll() is None, "the hub ended by itself"
        try:
            with urllib.request.urlopen(f"{self.base_url}/readyz", timeout=PATIENCE_SECONDS) as answer:
                return cast(int, answer.status) == 200
        except urllib.error.HTTPError as error:
            error.close()
            return False
        except OSError:
            return False

    def serves(self) -> bool:
        """Whether all its workers serve: the first answers `/readyz` while the others may still be starting."""
        return self.base_url in self.output()[self._said_before :]

    def output(self) -> str:
        """What it printed so far, both streams."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def command(self, *arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        """Run `python -m hub ARGUMENTS` in the same environment, with `typed` on its standard input."""
        return subprocess.run(
            [sys.executable, *self.program, *arguments],
            cwd=self.directory,
            env=self.environ,
            input=typed,
            capture_output=True,
            text=True,
            check=False,
            timeout=3 * PATIENCE_SECONDS,
        )

    def add_user(self, email: str, name: str, password: str, admin: bool = False) -> None:
        """Make an account as the command line would, but without a process and with a weak hash: that saves minutes."""
        role, kept = "admin" if admin else "user", weak_hash(password)
        self._in_database(lambda database: Users(database).add(email, name, role, kept, now()))

    def create_token(self, email: str, name: str = "test") -> str:
        """A new API token of the account `email`, as from the command line."""
        return self._in_database(lambda database: accounts.create_token(database, email, name))

    def copy_message(self, message_id: str, times: int) -> None:
        """Add copies of a message, without events: to register as many as ten thousand would take most of a minute."""

        async def copy(database: Database) -> None:
            messages = Messages(database)
            async with database.write(quick=True) as tx:
                message = await messages.read(tx, message_id)
                for _ in range(times):
                    await messages.add(tx, replace(message, id=new_id()))

        self._in_database(copy)

    def _in_database(self, work: Callable[[Database], Coroutine[Any, Any, T]]) -> T:
        async def connected() -> T:
            database = Database(self.environ["DATABASE_URL"])
            await database.connect()
            try:
                return await work(database)
            finally:
                await database.disconnect()

        # In a thread: the caller may be inside a running event loop.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(asyncio.run, connected()).result()

    def kill(self) -> None:
        """End it as a crash would, with all its workers."""
        if self.process is not None:
            self._signal_group(signal.SIGKILL)
            self.process.wait(PATIENCE_SECONDS)
            self.process = None

    def terminate(self, timeout: float = PATIENCE_SECONDS) -> int:
        """End it as a deployment does (SIGTERM) and wait; its exit status."""
        assert self.process is not None
        self.process.terminate()
        status = self.process.wait(timeout)
        self.process = None
        return status

    def _signal_group(self, how: signal.Signals) -> None:
        assert self.process is not None
        try:
            os.killpg(self.process.pid, how)
        except ProcessLookupError:
            return

    def __enter__(self) -> Self:
        return self if self.process is not None else self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()


Start: TypeAlias = Callable[..., HubProcess]
"""Starts a hub, as the fixture `start_hub` does."""
