"""Commands run in the tests' own process, which saves the start of another."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from hub.__main__ import main

Done = subprocess.CompletedProcess[str]
Command = Callable[..., Done]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command: `command(*arguments, typed="", **environ)`."""

    def run(*arguments: str, typed: str = "", **environ: str) -> Done:
        with monkeypatch.context() as here:
            here.chdir(tmp_path)
            here.setattr(sys, "argv", ["glimpse", *arguments])
            # A command sets it for the rest of its process, which here is the tests'.
            here.setattr(threading, "excepthook", threading.excepthook)
            here.setattr(sys, "stdin", io.StringIO(typed))
            for name in [name for name in os.environ if name.startswith(("HUB_", "DATABASE_", "REDIS_"))]:
                here.delenv(name)
            for name, value in environ.items():
                here.setenv(name, value)
            try:
                main()
                status: str | int | None = 0
            except SystemExit as end:
                status = end.code
        out, err = capsys.readouterr()
        assert isinstance(status, int)
        return Done(arguments, status, out, err)

    return run
