"""The server as a process of its own: its start, its end, its log, alone and as several workers."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from hub.config import Config, ConfigError
from hub.server import ANSWER_SECONDS, serve
from tests import served
from tests.hub_process import Start as StartHub
from tests.processes import PATIENCE_SECONDS, eventually, free_port, wait_until
from tests.served_process import Served, Start


async def sockets(server: Served, count: int) -> list[ClientConnection]:
    """Open WebSockets that have heard from the server."""
    opened = [await connect(server.url("/ws").replace("http", "ws")) for _ in range(count)]
    for each in opened:
        assert await each.recv() == "0", "the size of the transport's write buffer"
    return opened


def refuses(port: int) -> bool:
    """Whether nobody listens there."""
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return True
    return False


async def close_code(websocket: ClientConnection) -> int | None:
    try:
        await websocket.recv()
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else None
    return None


@pytest.mark.parametrize("workers", [1, 2])
def test_application_is_told_the_port_that_was_taken(start: Start, workers: int) -> None:
    server = start(workers=workers).wait_ready()
    assert server.journal("port") == [str(server.port)] * workers


def test_misspelt_setting_is_in_the_log_of_a_start(start_hub: StartHub, migrated_sqlite_url: str) -> None:
    hub = start_hub(migrated_sqlite_url, HUB_PUBLC_URL="https://hub.example.com")
    wait_until(lambda: "change nothing: HUB_PUBLC_URL (perhaps HUB_PUBLIC_URL)" in hub.output())


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
async def test_signal_ends_everything_in_order(start: Start, workers: int, how: signal.Signals) -> None:
    server = start(workers=workers).wait_ready()
    opened = await sockets(server, 6)
    sockets_held, answers_held = (server.directory / each for each in (served.HOLD_SOCKETS, served.HOLD_ANSWERS))
    sockets_held.touch()
    answers_held.touch()
    async with (
        httpx.AsyncClient(timeout=PATIENCE_SECONDS, verify=False) as client,
        client.stream("GET", server.url("/stream")) as stream,
    ):
        events = stream.aiter_text()
        assert await anext(events) == ": hello\n\n"
        waiting = asyncio.create_task(client.get(server.url("/waits")))
        await eventually(lambda: server.journal("waiting"))
        server.process.send_signal(how)
        await eventually(lambda: goes_down(server))
        server.process.send_signal(signal.SIGTERM)
        sockets_held.unlink()
        assert await asyncio.gather(*map(close_code, opened)) == [served.GOING_DOWN] * 6
        assert [text async for text in events] == [": goodbye\n\n"]
        await eventually(lambda: refuses(server.port))
        assert not waiting.done(), "the port is closed before the last answer"
        answers_held.unlink()
        assert (await waiting).text == "answered"
    assert server.process.wait(PATIENCE_SECONDS) == 0
    assert server.journal("drain") == [f"{served.DRAIN_SECONDS:g}"] * workers
    assert len(server.journal("stopped")) == workers


async def goes_down(server: Served) -> bool:
    """Whether it says that it goes down, asked on a new connection, which any worker may answer, and answers last."""
    async with httpx.AsyncClient(timeout=PATIENCE_SECONDS, verify=False) as client:
        answer = await client.get(server.url("/readyz"))
        return answer.status_code == 503 and answer.headers.get("connection") == "close"


@pytest.mark.parametrize("workers", [1, 2])
def test_signals_until_the_very_end_do_no_harm(start: Start, workers: int) -> None:
    server = start(workers=workers).wait_ready()

    def ended() -> bool:
        server.process.terminate()
        return server.process.poll() is not None

    wait_until(ended)
    assert server.process.returncode == 0
    assert len(server.journal("stopped")) == workers


@pytest.mark.parametrize("workers", [1, 2])
def test_client_that_got_through_before_the_port_closed_is_answered(start: Start, workers: int) -> None:
    """Some connections are accepted and their requests unread; others are still in the listener's queue."""
    server = start("busy", workers).wait_ready()
    port = server.port
    server.process.terminate()
    with ExitStack() as stack:
        clients = []
        for release in ("first", "second"):
            wait_until(lambda release=release: len(server.journal(f"blocked-{release}")) == workers)  # type: ignore[misc]
            for _ in range(5):
                clients.append(
                    stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_SECONDS))
                )
                clients[-1].sendall(b"GET /pid HTTP/1.1\r\nHost: hub.example.com\r\n\r\n")
            (server.directory / release).touch()
        answers = [client.recv(12) for client in clients]
    assert answers == [b"HTTP/1.1 200"] * 10
    assert server.process.wait(PATIENCE_SECONDS) == 0


async def test_drain_that_hangs_is_cut_off(start: Start) -> None:
    server = start("hasty").wait_ready()
    [websocket] = await sockets(server, 1)
    server.process.terminate()
    assert await close_code(websocket) == 1012
    assert server.process.wait(PATIENCE_SECONDS) == 0
    assert server.journal("stopped")
    assert "closing the sockets took too long" in server.log.read_text()


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
def test_second_interrupt_does_not_wait_for_the_drain(start: Start, first: signal.Signals) -> None:
    server = start("stuck").wait_ready()
    server.process.send_signal(first)
    wait_until(lambda: server.journal("drain"))
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(served.DRAIN_SECONDS / 2) == 0
    assert server.journal("stopped")
    assert "lifespan" not in server.log.read_text()


@contextmanager
def interrupted_twice(server: Served) -> Iterator[socket.socket]:
    """The connection of a client that waits for an answer, once the server was interrupted and again in its drain."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_SECONDS) as waiting:
        waiting.sendall(b"GET /waits HTTP/1.1\r\nHost: hub.example.com\r\n\r\n")
        wait_until(lambda: server.journal("waiting"))
        server.process.send_signal(signal.SIGINT)
        wait_until(lambda: server.journal("drain"))
        server.process.send_signal(signal.SIGINT)
        yield waiting


def test_second_interrupt_waits_for_the_answers(start: Start) -> None:
    server = start("slow").wait_ready()
    answers_held = server.directory / served.HOLD_ANSWERS
    answers_held.touch()
    with interrupted_twice(server) as waiting:
        wait_until(lambda: "Waiting for connections to close" in server.log.read_text())
        answers_held.unlink()
        assert waiting.recv(12) == b"HTTP/1.1 200"
    assert server.process.wait(PATIENCE_SECONDS) == 0


def test_third_interrupt_waits_for_no_answer_and_ends_the_application_all_the_same(start: Start) -> None:
    server = start("stuck").wait_ready()
    with interrupted_twice(server):
        wait_until(lambda: "Shutting down" in server.log.read_text())
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(ANSWER_SECONDS - 1) == 0
    told = (server.directory / "journal").read_text().splitlines()
    assert told.index("cut-off") < told.index("stopped"), "an answer needs what the application's end closes"
    assert "exception" not in server.log.read_text()


@pytest.mark.parametrize("workers", [1, 2])
def test_closed_terminal_is_no_end_under_nohup(start: Start, workers: int) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        server = start(workers=workers).wait_ready()
    finally:
        signal.signal(signal.SIGHUP, before)
    for pid in {server.process.pid, *map(int, server.journal("started"))}:
        ignored = re.search(r"^SigIgn:\s*([0-9a-f]+)$", Path(f"/proc/{pid}/status").read_text(), re.M)
        assert ignored is not None
        assert int(ignored[1], 16) & 1 << (signal.SIGHUP - 1)


async def test_log_has_no_secret_no_address_no_query(start: Start) -> None:
    server = start().wait_ready()
    secrets = {"Authorization": "Bearer s3cr3t", "Cookie": "session=s3cr3t"}
    websocket_url = server.url("/ws?token=s3cr3t").replace("http", "ws")
    async with connect(websocket_url, additional_headers=secrets) as websocket:
        await websocket.send('{"token":"s3cr3t"}')
    async with httpx.AsyncClient(headers=secrets, timeout=PATIENCE_SECONDS, verify=False) as client:
        assert (await client.get(server.url("/pid?token=s3cr3t"))).status_code == 200
        assert (await client.get(server.url("/boom?token=s3cr3t"))).status_code == 500
    with socket.create_connection(("127.0.0.1", server.port)) as garbage:
        garbage.sendall(b"s3cr3t garbage\r\n\r\n")
        garbage.recv(100)
    server.process.terminate()
    assert server.process.wait(PATIENCE_SECONDS) == 0
    text = server.log.read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert any("no luck for" in line.get("exception", "") for line in lines)
    assert not re.search(r"s3cr3t|127\.0\.0\.1|reader@|WebSocket /", text)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("misconfigured", "glimpse: SETTING is wrong: set it right"),
        ("unstartable", "glimpse: cannot start: OSError: the disk is on fire"),
        ("unwritable", "glimpse: the database that DATABASE_URL names cannot be used: it is read-only"),
    ],
)
def test_application_that_cannot_start_is_told_in_one_line(start: Start, workers: int, kind: str, reason: str) -> None:
    server = start(kind, workers)
    assert server.process.wait(PATIENCE_SECONDS) == 1
    lines = server.log.read_text().splitlines()
    assert [line for line in lines if not line.startswith("{")] == [reason]
    assert not [line for line in lines if line.startswith("{") and json.loads(line)["level"] == "error"]
    assert server.out.read_text() == ""


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("stdout", [">/dev/full", ">&-", "> >(true)"])
def test_announcement_that_cannot_be_written_does_not_hinder_the_start(start: Start, stdout: str, workers: int) -> None:
    port = free_port()
    server = start("good", workers, port, through=("/bin/bash", "-c", f'exec "$0" "$@" {stdout}'))

    def serves() -> bool:
        assert server.process.poll() is None, server.log.read_text()
        return len(server.journal("started")) == workers and not refuses(port)

    wait_until(serves)
    assert httpx.get(f"http://127.0.0.1:{port}/pid", timeout=PATIENCE_SECONDS, verify=False).status_code == 200
    server.process.terminate()
    assert server.process.wait(PATIENCE_SECONDS) == 0
    assert "Traceback" not in server.log.read_text()


@pytest.mark.parametrize("workers", [1, 2])
def test_application_that_finds_out_late_that_it_cannot_serve_ends_in_order(start: Start, workers: int) -> None:
    server = start(workers=workers).wait_ready()
    (server.directory / f"fail-{server.journal('started')[-1]}").touch()
    assert server.process.wait(PATIENCE_SECONDS) == 1
    lines = server.log.read_text().splitlines()
    assert [line for line in lines if not line.startswith("{")] == [f"glimpse: {served.FAILURE}"]
    assert len(server.journal("drain")) == len(server.journal("stopped")) == workers


def make_nothing(_: Config) -> None:
    raise AssertionError("not to be made")


def test_several_workers_on_an_in_process_bus_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"^2 processes \(--workers or WEB_CONCURRENCY\) need REDIS_URL"):
        serve(make_nothing, Config(port=0, workers=2), host="127.0.0.1")  # type: ignore[arg-type]


def test_worker_that_dies_is_replaced(start: Start) -> None:
    server = start(workers=2).wait_ready()
    first, second = map(int, server.journal("started"))
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: len(server.journal("started")) == 3)
    assert server.journal("started")[2] not in (str(first), str(second))
    os.kill(second, signal.SIGKILL)
    wait_until(lambda: len(server.journal("started")) == 4)
    assert httpx.get(server.url("/pid"), timeout=PATIENCE_SECONDS, verify=False).text in server.journal("started")[2:]
    assert "a worker is lost" in server.log.read_text()
    server.process.terminate()
    assert server.process.wait(PATIENCE_SECONDS) == 0
    assert len(server.journal("stopped")) == 2


async def test_workers_end_when_their_supervisor_is_killed(start: Start) -> None:
    server = start(workers=2).wait_ready()
    opened = await sockets(server, 4)
    server.process.kill()
    assert await asyncio.gather(*map(close_code, opened)) == [served.GOING_DOWN] * 4
    wait_until(lambda: len(server.journal("stopped")) == 2)


def test_port_is_free_as_soon_as_the_supervisor_is_killed(start: Start) -> None:
    server = start("stuck", workers=2).wait_ready()
    port = server.port
    server.process.kill()
    wait_until(lambda: server.journal("drain"))
    successor = start(port=port).wait_ready()
    assert successor.port == port
    assert not server.journal("stopped")
