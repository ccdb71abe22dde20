"""The command line on a terminal, where a password is asked for and not shown, and with no room for its output."""

from __future__ import annotations

import contextlib
import os
import pty
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hub.store.urls import sqlite_path
from tests.processes import PATIENCE_SECONDS, start_process
from tests.servers import HubProcess

PASSWORD = "a long enough password"
ADD = [sys.executable, "-m", "hub", "user", "add", "sender@example.com", "--name", "Sender"]


@pytest.fixture
def hub(tmp_path: Path, migrated_sqlite_url: str) -> HubProcess:
    """A hub that is not running, on a database with the current schema."""
    return HubProcess(tmp_path, migrated_sqlite_url)


def shown_by(terminal: int) -> Iterator[bytes]:
    """What is shown on a terminal, until its program has ended."""
    try:
        while more := os.read(terminal, 1000):
            yield more
    except OSError:
        # On Linux this error says that nobody has the other end open any more.
        return


def add_account(hub: HubProcess, typed: bytes) -> tuple[int, bytes]:
    """Make an account, typing `typed` at each prompt. Returns the exit status, and all that was shown."""
    ours, theirs = pty.openpty()
    process = start_process(ADD, cwd=hub.directory, env=hub.environ, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    for more in shown_by(ours):
        shown += more
        if shown.endswith((b"Password: ", b"Once more: ")):
            os.write(ours, typed + b"\n")
    os.close(ours)
    return process.wait(PATIENCE_SECONDS), shown


def test_password_is_asked_for_twice_on_a_terminal_and_not_shown(hub: HubProcess) -> None:
    status, shown = add_account(hub, PASSWORD.encode())
    assert status == 0
    assert shown.index(b"Password: ") < shown.index(b"Once more: ")
    assert PASSWORD.encode() not in shown
    assert b"can log in now" in shown
    assert hub.create_token("sender@example.com")


@pytest.mark.parametrize("locale", ["C.UTF-8", "C"])
def test_password_on_a_terminal_that_is_not_utf_8_is_bad_usage(hub: HubProcess, locale: str) -> None:
    hub.environ["LC_ALL"] = locale
    status, shown = add_account(hub, b"\xff\xfe a long password")
    assert status == 2
    assert b"the password is not in UTF-8" in shown
    assert b"defect" not in shown


def test_output_that_finds_no_room_is_one_line_and_a_failure(hub: HubProcess) -> None:
    with Path("/dev/full").open("wb") as full:
        command = [sys.executable, "-m", "hub", "data", "status"]
        done = subprocess.run(command, env=hub.environ, cwd=hub.directory, stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 1
    assert done.stderr.decode().splitlines() == ["glimpse: [Errno 28] No space left on device"]


def refused_token(hub: HubProcess, redirected: str) -> str:
    """What `token create` says on stderr, as a failure, where the shell has its stdout `redirected`."""
    hub.add_user("sender@example.com", "Sender", PASSWORD)
    command = [
        "sh",
        "-c",
        f'exec "$0" -m hub token create sender@example.com --name Plugin {redirected}',
        sys.executable,
    ]
    done = subprocess.run(command, env=hub.environ, cwd=hub.directory, stderr=subprocess.PIPE)
    assert done.returncode == 1
    (line,) = done.stderr.decode().splitlines()
    return line


def test_token_is_not_made_where_stdout_is_closed(hub: HubProcess, migrated_sqlite_url: str) -> None:
    assert "stdout, which is closed" in refused_token(hub, ">&-")
    with contextlib.closing(sqlite3.connect(sqlite_path(migrated_sqlite_url))) as database:
        assert database.execute("SELECT count(*) FROM tokens").fetchone() == (0,)


def test_token_that_could_not_be_printed_is_named_to_be_deleted(hub: HubProcess) -> None:
    line = refused_token(hub, ">/dev/full")
    assert "not printed (No space left on device): delete 'Plugin' from your tokens, and make another" in line
