"""Passwords: argon2id, off the event loop, and never more than a few at once.

A hash takes tens of milliseconds and 64 MiB by design (RFC 9106, second recommended option): on the event
loop it would stop every socket, and without a bound anybody could exhaust the machine.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from hub.api.problems import unavailable

AT_ONCE = 2
MOST_WAITING = 100
"""How many may be under way or wait: some seconds' work. One whose client has left is done all the same: without a
limit, whoever asks from many addresses would have all others wait for ever, in more and more memory."""

LEAST_CHARACTERS = 8
MOST_CHARACTERS = 256

NOBODYS_HASH = "$argon2id$v=19$m=65536,t=3,p=4$iB/Da0RCHmE9wBGRuNTAtQ$XQ4uGTbwc4a6Yw0xZ0UevYcCkGvqgUzLUbK3FYHIZEo"
"""The hash of a password that nobody knows, which takes as long to verify as any other. To make one anew would take a
tenth of each start."""

T = TypeVar("T")


def password_problem(password: str) -> str | None:
    """What is wrong with a new password, or None."""
    if len(password) < LEAST_CHARACTERS:
        return f"must have at least {LEAST_CHARACTERS} characters"
    if len(password) > MOST_CHARACTERS:
        return f"may have {MOST_CHARACTERS} characters at the most"
    return None


class Passwords:
    """Hashes and verifies passwords in a few threads of its own; a 503 `Problem` while too many wait for that."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher()
        self._threads = ThreadPoolExecutor(AT_ONCE, "passwords")
        self._waiting = 0

    async def hash(self, password: str) -> str:
        """The hash to keep."""
        return await self._run(self._hasher.hash, password)

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """Whether the password fits. With no hash it is False and takes as long: nobody learns who has an account."""
        if len(password) > MOST_CHARACTERS:
            return False
        return await self._run(self._verify, password_hash or NOBODYS_HASH, password) and password_hash is not None

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=False)

    def _verify(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, function: Callable[..., T], *args: str) -> T:
        if self._waiting >= MOST_WAITING:
            raise unavailable("Too many passwords wait to be checked; try again in a moment.")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, function, *args)
        finally:
            self._waiting -= 1
