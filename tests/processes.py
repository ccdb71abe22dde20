"""Processes for the tests, and waiting for them: for a condition, never for a time.

Promise: what is started here ends with the process that started it, even if that one is killed.
"""

from __future__ import annotations

import asyncio
import errno
import inspect
import os
import pwd
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar, overload

T = TypeVar("T")

POLL_SECONDS = 0.01
POLL_SHARE = 0.05
"""A condition is asked again after POLL_SECONDS or, if that is longer, after this share of the time already waited:
what takes half a minute must not keep a core busy with questions."""

PATIENCE_SECONDS = 60.0
"""How long to wait for what comes soon if nothing is wrong: a machine that runs the tests may be ten times slower."""

PORTS = range(20_000, 32_000)
"""Below the ports that systems assign by themselves. Test processes that run side by side divide these up."""
CHANCE = random.SystemRandom()
"""Not Python's shared generator, which Hypothesis seeds alike in each process."""

GUARD = """
import ctypes, os, sys
death, uid, gid, *command = sys.argv[1:]
if os.geteuid() != int(uid):
    os.setgroups([]), os.setgid(int(gid)), os.setuid(int(uid))
if sys.platform == "linux":
    PR_SET_PDEATHSIG = 1
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(death))
os.execv(command[0], command)
"""
"""Becomes the program it is given, under the user it is given. On Linux the program ends with the thread that started
it (prctl(2))."""


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nothing listens on, and that the system assigns to nobody by itself.

    A port that the system assigns could go to another process, even as the local end of a connection, while the
    server that is to listen on it is about to start, or has been killed and is to come back.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    while True:
        port = CHANCE.choice(PORTS[worker % workers :: workers])
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                continue
            return port


def wait_until(condition: Callable[[], T], seconds: float = PATIENCE_SECONDS, what: str = "") -> T:
    """Ask `condition` until its answer is true, and return that answer.

    Raises AssertionError, naming `what`, if that takes longer than `seconds`.
    """
    began = time.monotonic()
    while not (result := condition()):
        time.sleep(_pause(began, seconds, what or condition))
    return result


def _pause(began: float, seconds: float, what: str | Callable[[], Any]) -> float:
    """How long to wait before the condition `what` is asked again. Raises AssertionError after `seconds`."""
    waited = time.monotonic() - began
    if waited > seconds:
        words = what if isinstance(what, str) else inspect.getsource(what).strip()
        raise AssertionError(f"not within {seconds} s: {words}")
    return max(POLL_SECONDS, waited * POLL_SHARE)


@overload
async def eventually(condition: Callable[[], Awaitable[T]], seconds: float = ..., what: str = ...) -> T: ...
@overload
async def eventually(condition: Callable[[], T], seconds: float = ..., what: str = ...) -> T: ...
async def eventually(condition: Callable[[], Any], seconds: float = PATIENCE_SECONDS, what: str = "") -> Any:
    """`wait_until` for asynchronous tests; `condition` may be a coroutine function."""
    began = time.monotonic()
    while True:
        answer = condition()
        result = await answer if inspect.isawaitable(answer) else answer
        if result:
            return result
        await asyncio.sleep(_pause(began, seconds, what or condition))


def start_process(
    command: Sequence[str | Path],
    *,
    death: signal.Signals = signal.SIGKILL,
    owner: pwd.struct_passwd | None = None,
    **options: Any,
) -> subprocess.Popen[bytes]:
    """Start a program, by its full path, in a process group of its own.

    On Linux it gets the signal `death` when the thread that called this ends, so call it from the main one.
    """
    uid, gid = (owner.pw_uid, owner.pw_gid) if owner else (os.geteuid(), os.getegid())
    guard = [sys.executable, "-I", "-S", "-c", GUARD, str(int(death)), str(uid), str(gid)]
    return subprocess.Popen([*guard, *map(str, command)], start_new_session=True, **options)
