"""What is printed of a thread that ends by an exception."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from hub.__main__ import end_of_thread
from tests.servers import HubProcess


def test_database_that_fails_while_it_is_opened_leaves_no_traceback(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    hub = HubProcess(tmp_path, f"sqlite:///{tmp_path}/pipe")
    # Whether the driver's thread comes too late is a matter of luck: about every second time, in 2026-11.
    for _ in range(3):
        done = hub.command("migrate")
        assert done.returncode == 1
        assert done.stderr.startswith("glimpse: DATABASE_URL"), done.stderr
        assert done.stderr.count("\n") == 1, done.stderr


def test_thread_that_ends_by_a_defect_is_heard_of(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def end(error: Exception) -> str:
        def fail() -> None:
            raise error

        thread = threading.Thread(target=fail)
        thread.start()
        thread.join()
        return capsys.readouterr().err

    monkeypatch.setattr(threading, "excepthook", end_of_thread)
    assert end(RuntimeError("Event loop is closed")) == ""
    assert "RuntimeError: another" in end(RuntimeError("another"))
