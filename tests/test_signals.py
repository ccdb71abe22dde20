"""Signals that come before there is a server to handle them."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hub_process import HubProcess
from tests.processes import PATIENCE_SECONDS

WHILE_IMPORTING = """
import importlib.abc, os, signal, sys

# As at a terminal: where the tests run in the background, it may be ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)

class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "{module}":
            os.kill(os.getpid(), {signal})

sys.meta_path.insert(0, Finder())
from hub.__main__ import main
main()
"""
BEFORE_THE_LOOP = """
import os
from hub import server
from hub.__main__ import main

settings = server._settings

def interrupted(app):
    os.kill(os.getpid(), {signal})
    return settings(app)

server._settings = interrupted
main()
"""


def importing(module: str) -> str:
    return WHILE_IMPORTING.replace("{module}", module)


def run(tmp_path: Path, program: str, how: signal.Signals, *arguments: str) -> subprocess.CompletedProcess[str]:
    hub = HubProcess(tmp_path, f"sqlite:///{tmp_path}/hub.db")
    return subprocess.run(
        [sys.executable, "-c", program.format(signal=int(how)), *arguments],
        cwd=tmp_path,
        env=hub.environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize(
    "program",
    [importing("hub.commands"), importing("hub.app"), BEFORE_THE_LOOP],
    ids=["importing commands", "importing the hub", "before the loop"],
)
def test_signal_during_a_start_ends_it_without_a_word(tmp_path: Path, program: str, how: signal.Signals) -> None:
    done = run(tmp_path, program, how, "serve", "--port", "0")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(("module", "said"), [("hub.commands", ""), ("hub.store.migrate", "glimpse: stopped")])
def test_signal_before_another_command_has_begun_is_no_success(tmp_path: Path, module: str, said: str) -> None:
    done = run(tmp_path, importing(module), signal.SIGINT, "migrate")
    assert (done.returncode, done.stderr.strip()) == (128 + signal.SIGINT, said)
