"""Listening: the port that is served on, or one line that says why there is none."""

from __future__ import annotations

import resource
import select
import signal
import socket
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from hub.config import Config
from hub.listening import address
from hub.server import serve
from tests.processes import wait_until
from tests.servers import HubProcess
from tests.test_server import make_nothing


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("127.0.0.1", "glimpse: port {port} is in use: stop what uses it, or give another with --port\n"),
        ("192.0.2.1", "glimpse: '192.0.2.1' is no address of this machine: give one that is with --host\n"),
        ("no such host", "glimpse: 'no such host' is no address of this machine: give one that is with --host\n"),
        ("ü..x", "glimpse: 'ü..x' is no address of this machine: give one that is with --host\n"),
    ],
)
def test_address_that_cannot_be_listened_on_is_told_in_one_line(
    host: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert serve(make_nothing, Config(port=port), host=host) == 1  # type: ignore[arg-type]
    assert capsys.readouterr() == ("", reason.format(port=port))


@pytest.mark.parametrize(
    ("host", "found_at"),
    [
        *(("127.0.0.1", "http://127.0.0.1:8000"), ("0.0.0.0", "http://127.0.0.1:8000"), ("::", "http://[::1]:8000")),
        *(("::1", "http://[::1]:8000"), ("192.0.2.7", "http://192.0.2.7:8000"), ("localhost", "http://localhost:8000")),
    ],
)
def test_address_is_one_at_which_the_machine_itself_finds_the_hub(host: str, found_at: str) -> None:
    assert address(host, 8000) == found_at


def test_clients_that_come_all_at_once_find_room_in_the_queue(
    start_hub: Callable[..., HubProcess], migrated_sqlite_url: str
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    number = min(3000, int(Path("/proc/sys/net/core/somaxconn").read_text()), hard - 200)
    hub = start_hub(migrated_sqlite_url)
    assert hub.process is not None
    with ExitStack() as clients:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, number + 200), hard))
        clients.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        hub.process.send_signal(signal.SIGSTOP)
        waiting = select.poll()
        for _ in range(number):
            client = clients.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(("127.0.0.1", hub.port))
            waiting.register(client, select.POLLOUT)
        wait_until(lambda: len(waiting.poll(0)) == number, what=f"room for {number} clients")
