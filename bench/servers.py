"""What is measured and its yardsticks, each as a process of its own on 127.0.0.1.

Promise: whatever is started here ends with the block that started it, or with this process if that is killed. Unlike
in the tests, PostgreSQL keeps its default settings for durability.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from bench import machine
from bench.figures import BenchError
from bench.machine import Watch, most_files
from bench.world import SECRET
from tests.servers import ROOT, Postgres, free_port, start_process, wait_until

READY_SECONDS = 30.0
STOP_SECONDS = 30.0
LOGS = ROOT / "bench" / "results"
NCHAN = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")


@dataclass(frozen=True)
class Server:
    """A running server: its name in the table, its port, its process, and the processes of its database and bus."""

    name: str
    port: int
    pid: int
    log: Path
    helpers: tuple[int, ...] = ()

    def watch(self) -> Watch:
        """Watch what it takes of the machine from now on, with its workers and helpers."""
        return Watch(self.pid, *self.helpers)

    def resident_bytes(self) -> int:
        """The memory it has in use, with its workers."""
        pages = (int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in machine.processes_of(self.pid))
        return sum(pages) * os.sysconf("SC_PAGE_SIZE")

    def error(self) -> str:
        """The first error in a hub's log, as that its hits go to the spool; empty if there is none."""
        # Its last line may be on its way.
        whole, _, _ = self.log.read_text(errors="replace").rpartition("\n")
        lines = (line for line in whole.splitlines() if line.startswith("{"))
        return next((said["message"] for said in map(json.loads, lines) if said["level"] == "error"), "")


class DurablePostgres(Postgres):
    """PostgreSQL from its wheel with its own defaults: fsync, synchronous_commit and full_page_writes on."""

    settings: ClassVar[Mapping[str, str | int]] = {"shared_buffers": "256MB", "max_wal_size": "4GB"}


@contextmanager
def hub(
    name: str,
    folder: Path,
    database_url: str,
    *,
    redis_url: str | None = None,
    workers: int = 1,
    sockets_per_user: int = 20,
    sweep_seconds: float = 600.0,
    data: Path | None = None,
    helpers: tuple[int, ...] = (),
    strained: bool = False,
) -> Iterator[Server]:
    """The hub on a migrated database; `data` has its data sets, `helpers` are the processes that it depends on.

    Raises `BenchError` if it logged an error. One that is `strained` may: then the measure has to tell of it.
    """
    environ = {"DATABASE_URL": database_url, "HUB_DATA_DIR": str(data or folder / "data")}
    if redis_url:
        environ["REDIS_URL"] = redis_url
    arguments = ["hub", "--workers", str(workers), "--sockets-per-user", str(sockets_per_user)]
    arguments += ["--sweep-seconds", str(sweep_seconds)]
    with _python(name, folder, arguments, environ) as server:
        yield replace(server, helpers=helpers)
        if not strained and (said := server.error()):
            raise BenchError(f"{name} logged an error, so its figures are not those of a hub that is well: {said}")


@contextmanager
def bare(folder: Path) -> Iterator[Server]:
    """The bare ASGI application on the hub's own server."""
    with _python("bare ASGI app", folder, ["bare"], {}) as server:
        yield server


@contextmanager
def nginx(name: str, folder: Path, locations: str, modules: Sequence[Path] = ()) -> Iterator[Server]:
    """nginx with one worker process, an access log and these locations. Raises `BenchError` if it is not there."""
    if missing := lacking(modules):
        raise BenchError(missing)
    home, port = folder / f"nginx-{free_port()}", free_port()
    home.mkdir(parents=True)
    (home / "nginx.conf").write_text(
        "\n".join(f"load_module {path};" for path in modules)
        + f"""
user {"root" if os.geteuid() == 0 else "nobody"};
worker_processes 1;
worker_rlimit_nofile {most_files()};
pid {home}/pid;
error_log {home}/error.log;
events {{ worker_connections 16384; }}
http {{
    access_log {home}/access.log combined;
    keepalive_requests 100000000;
    {" ".join(f"{kind}_temp_path {home}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))}
    server {{
        listen 127.0.0.1:{port} backlog=2048;
        {locations}
    }}
}}
"""
    )
    command = [str(_nginx()), "-c", str(home / "nginx.conf"), "-p", str(home), "-g", "daemon off;"]
    # Its worker process outlives it if it is killed, and not if it is asked to end.
    with _process(name, home, command, port, {}, death=signal.SIGTERM) as server:
        yield server


def lacking(modules: Sequence[Path] = ()) -> str:
    """What is not installed of nginx and these modules, in one line; empty if all is there."""
    missing = ["nginx"] if _nginx() is None else [str(path) for path in modules if not path.exists()]
    return f"{', '.join(missing)}: not installed (apt install nginx libnginx-mod-nchan)" if missing else ""


def _nginx() -> str | None:
    return shutil.which("nginx", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")


@contextmanager
def _python(name: str, folder: Path, arguments: Sequence[str], environ: Mapping[str, str]) -> Iterator[Server]:
    port = free_port()
    home = folder / f"{arguments[0]}-{port}"
    home.mkdir(parents=True)
    environ = {
        "PATH": os.environ.get("PATH", os.defpath),
        "PYTHONPATH": str(ROOT),
        "DATABASE_URL": f"sqlite:///{home}/hub.db",
        "HUB_SECRET_KEY": SECRET,
        "HUB_SPOOL_DIR": str(home / "spool"),
        "HUB_LOG_LEVEL": "warning",
        **environ,
    }
    command = [sys.executable, "-m", "bench.serve", *arguments, "--port", str(port)]
    try:
        with _process(name, home, command, port, environ) as server:
            yield server
    finally:
        # Its log is worth a look when a figure is odd, and the folder is gone by then.
        LOGS.mkdir(parents=True, exist_ok=True)
        shutil.copy(home / "log", LOGS / f"{folder.name}-{name.replace(' ', '-')}.log")


@contextmanager
def _process(
    name: str,
    home: Path,
    command: Sequence[str],
    port: int,
    environ: Mapping[str, str],
    death: signal.Signals = signal.SIGKILL,
) -> Iterator[Server]:
    with (home / "log").open("ab") as log:
        process = start_process(
            command, death=death, cwd=home, env=dict(environ), stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        wait_until(lambda: _listens(process, port), READY_SECONDS, f"{name} listening")
        yield Server(name, port, process.pid, home / "log")
    except AssertionError as error:
        raise BenchError(f"{error}: {(home / 'log').read_text(errors='replace')[-500:]}") from None
    finally:
        _end(process)


def _listens(process: subprocess.Popen[bytes], port: int) -> bool:
    if process.poll() is not None:
        raise AssertionError(f"a server ended at its start with status {process.returncode}")
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as link:
            # The port is open before the application serves: only an answer shows that it does.
            link.settimeout(5)
            link.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return bool(link.recv(1))
    except OSError:
        return False


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(STOP_SECONDS)
