"""A run of the bench: where its files are, what it refuses beforehand, and what is left when it is ended."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from bench import __main__ as bench_main
from bench import hostile, idle, ledger, load, machine, report, servers, wrk
from bench.crowd import Status
from bench.figures import BenchError, Figure, Setting
from bench.load import Load
from bench.mixture import Hit
from bench.servers import DurablePostgres
from bench.sockets import Clients
from bench.world import a_world, build, pixel_path
from tests.processes import PATIENCE_SECONDS, wait_until
from tests.servers import ROOT

HITS = [Hit("/o/x.gif", "A browser", "192.0.2.1")]


@pytest.fixture(autouse=True)
def _as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A run changes where temporary files are and what signals do: both are as before after the test."""
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(bench_main, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(bench_main, "facts", lambda _folder: {})
    # The tests' own files may well be in memory.
    monkeypatch.setattr(bench_main, "in_memory", lambda _folder: False)
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    # What is run in the background may have been told to ignore it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["bench", *arguments])
    return bench_main.main()


def test_bench_puts_the_files_of_all_its_servers_into_the_folder_it_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place := tmp_path / "a disk").mkdir()
    made: list[Path] = []

    def measure(setting: Setting) -> list[Figure]:
        made.extend((setting.folder, (postgres := DurablePostgres()).directory))
        postgres.close()
        return []

    monkeypatch.setitem(bench_main.MEASURES, "hits", measure)
    assert run(monkeypatch, "--temporary", str(place), "hits") == 0
    assert all(place in folder.parents for folder in made)
    assert not list(place.iterdir())


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_bench_that_is_ended_leaves_no_file_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], how: signal.Signals
) -> None:
    (place := tmp_path / "disk").mkdir()

    def measure(setting: Setting) -> list[Figure]:
        (setting.folder / "hub.db").touch()
        signal.raise_signal(how)
        return []

    monkeypatch.setitem(bench_main.MEASURES, "hits", measure)
    assert run(monkeypatch, "--temporary", str(place), "hits") == 130
    assert not list(place.iterdir())
    assert "ended before it was done" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--temporary", "{}/nowhere"], "there is no folder"),
        (["--save", "{}/page"], "the page has no"),
        (["--save", "{}/page/performance.md"], "cannot be written into"),
        (["--save", "{}/page", "hits"], "--save replaces the whole page"),
        (["--save", "{}/page", "--quick"], "the page has no"),
        (["--ledger", "hits"], "--ledger measures nothing"),
        (["--ledger", "--quick"], "--ledger measures nothing"),
        (["--hostile", "hits"], "--hostile measures nothing"),
        (["--ledger", "--hostile"], "--ledger measures nothing"),
    ],
)
def test_bench_refuses_before_it_measures_what_would_fail_later(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / report.PAGE).write_text("no markers\n")
    monkeypatch.setattr(bench_main, "MEASURES", {"hits": pytest.fail})
    monkeypatch.setattr(servers, "lacking", lambda _modules: "")
    with pytest.raises(SystemExit) as ended:
        run(monkeypatch, *(each.format(tmp_path) for each in arguments))
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_bench_refuses_to_measure_in_memory_what_has_to_reach_a_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench_main, "MEASURES", {"hits": pytest.fail})
    monkeypatch.setattr(bench_main, "in_memory", (place := tmp_path / "place").__eq__)
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(place))
    place.mkdir()
    for arguments in ([], ["--temporary", str(place)]):
        with pytest.raises(SystemExit):
            run(monkeypatch, *arguments)
        assert f"{place} is in memory" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argument", "instead", "runs"),
    [("--ledger", ledger, [["--database", "sqlite"], ["--database", "postgresql"]]), ("--hostile", hostile, [[]])],
)
def test_bench_that_counts_measures_nothing_and_fails_if_a_run_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, argument: str, instead: ModuleType, runs: list[list[str]]
) -> None:
    begun: list[list[str]] = []

    def counted(arguments: list[str]) -> int:
        begun.append(arguments)
        assert tempfile.gettempdir() == str(tmp_path)
        return int(len(begun) == 1)

    monkeypatch.setattr(bench_main, "MEASURES", {"hits": pytest.fail})
    monkeypatch.setattr(instead, "main", counted)
    assert run(monkeypatch, argument, "--temporary", str(tmp_path)) == 1
    assert begun == runs
    assert not bench_main.RESULTS.exists()


def test_page_needs_every_yardstick(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench_main, "MEASURES", {"hits": pytest.fail})
    monkeypatch.setattr(servers, "_nginx", lambda: "nginx")
    monkeypatch.setattr(servers, "NCHAN", tmp_path / "nchan.so")
    with pytest.raises(SystemExit):
        run(monkeypatch, "--save", str(tmp_path))
    assert "nchan.so: not installed" in capsys.readouterr().err


@pytest.mark.parametrize("fails", [False, True])
def test_page_is_written_only_if_every_measure_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fails: bool
) -> None:
    def measure(_setting: Setting) -> list[Figure]:
        if fails:
            raise BenchError("the hub did not start")
        return []

    page = tmp_path / report.PAGE
    page.write_text(before := f"{report.BEGIN}\n{report.END}\n")
    monkeypatch.setattr(bench_main, "MEASURES", {"hits": measure})
    monkeypatch.setattr(servers, "lacking", lambda _modules: "")
    assert run(monkeypatch, "--save", str(tmp_path)) == fails
    assert (page.read_text() == before) == fails
    assert ("not written into" in capsys.readouterr().err) == fails


def timers() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if isinstance(each, threading.Timer)]


def test_wrk_that_is_interrupted_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # It says nothing for as long as it is let.
    (program := tmp_path / "wrk").write_text("#!/bin/sh\nexec sleep 1000\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    def interrupt() -> None:
        wait_until(lambda: bool(timers()), PATIENCE_SECONDS, "wrk is waited for")
        os.kill(os.getpid(), signal.SIGINT)

    (other := threading.Thread(target=interrupt)).start()
    with pytest.raises(KeyboardInterrupt):
        wrk.rate(1, HITS, 1, 100, tmp_path)
    other.join()
    for timer in timers():
        timer.join(PATIENCE_SECONDS)
        assert not timer.is_alive()


def test_hub_whose_hits_are_spooled_instead_of_committed_is_no_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "LOGS", tmp_path / "logs")
    world, url = a_world(1, 1), f"sqlite:///{tmp_path}/hub.db"
    asyncio.run(build(url, world))
    request = Hit(pixel_path(world.messages[0].id), "A browser", "192.0.2.1").request()

    def spooled() -> None:
        with (
            servers.hub("hub", tmp_path, url) as server,
            closing(sqlite3.connect(tmp_path / "hub.db", isolation_level=None)) as other,
        ):
            other.execute("BEGIN IMMEDIATE")
            assert len(load.run(Load(server.port, [request], 1, 20.0, once=True)).latencies) == 1

    with pytest.raises(BenchError, match="hits go to the spool"):
        spooled()
    with servers.hub("hub", tmp_path, url) as server:
        load.run(Load(server.port, [request], 1, 20.0, once=True))


def test_idle_sockets_that_were_closed_are_no_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Fewer(Clients):
        def status(self) -> Status:
            said = super().status()
            return replace(said, live=said.live - 1)

        def open(self, seconds: float) -> None:
            self._size -= 1
            super().open(seconds)

    for name, value in (("SOCKETS", 4), ("PER_USER", 2), ("SETTLE_SECONDS", 0), ("QUICK_SECONDS", 0.1)):
        monkeypatch.setattr(idle, name, value)
    monkeypatch.setattr(idle, "Clients", Fewer)
    monkeypatch.setattr(servers, "LOGS", tmp_path / "logs")
    with pytest.raises(BenchError, match="only 3 of 4 sockets"):
        idle.measure(Setting(tmp_path, True, False))


NGINX = """
import os, re, signal, socket, sys
if not (worker := os.fork()):
    signal.pause()
signal.signal(signal.SIGTERM, lambda *_: (os.kill(worker, signal.SIGKILL), sys.exit()))
port = re.search(r"listen 127.0.0.1:([0-9]+)", open(sys.argv[2]).read())[1]
listener = socket.create_server(("127.0.0.1", int(port)))
while True:
    listener.accept()[0].sendall(b"HTTP/1.1 404 Not Found\\r\\n\\r\\n")
"""
"""Like nginx it has a worker, which outlives it if it is killed."""

BENCH = """
import sys, time
from pathlib import Path
from bench import servers
servers._nginx = lambda: sys.argv[2]
with servers.nginx("nginx", Path(sys.argv[1]), "location /o/ { empty_gif; }") as server:
    print(server.pid, flush=True)
    time.sleep(1000)
"""


def test_nginx_ends_with_a_bench_that_is_killed(tmp_path: Path) -> None:
    (program := tmp_path / "nginx").write_text(f"#!{sys.executable}\n{NGINX}")
    program.chmod(0o755)
    with subprocess.Popen(
        [sys.executable, "-c", BENCH, tmp_path, program], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as bench:
        assert bench.stdout is not None
        pids = machine.processes_of(int(bench.stdout.readline()))
        assert len(pids) == 2
        bench.kill()
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), what="nginx and its worker have ended")


@pytest.mark.parametrize("kills", [ledger.LONG_RUN - 1, ledger.LONG_RUN])
def test_ledger_that_never_saw_what_it_is_for_fails_if_it_was_long(
    kills: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    none: Any = None
    world = ledger.World(none, none, none, [], none, random.Random(), none, ledger.SHORT)
    world.kills.update([*(scene.__name__ for scene in ledger.SCENES), *ledger.POINTS[1:]])

    async def ran(*_: Any) -> ledger.World:
        return world

    monkeypatch.setattr(ledger, "run", ran)
    monkeypatch.setattr(ledger, "report", lambda *_: None)
    assert ledger.main(["--kills", str(kills)]) == (kills >= ledger.LONG_RUN)
    missed = "; ".join((ledger.POINTS[0], ledger.LEAVING_A_SPOOL, ledger.RESUMED_OVER_REST))
    assert (f"SOME OF IT NEVER HAPPENED: {missed}\n" in capsys.readouterr().out) == (kills >= ledger.LONG_RUN)
