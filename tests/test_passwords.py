"""Passwords: argon2id, off the event loop, and never more than a few at once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest
from argon2 import PasswordHasher

from hub.api.passwords import AT_ONCE, MOST_WAITING, Passwords, password_problem
from hub.api.problems import Problem
from tests.processes import PATIENCE_SECONDS, eventually


@pytest.fixture(scope="module")
def passwords() -> Iterator[Passwords]:
    made = Passwords()
    yield made
    made.close()


@pytest.mark.parametrize(
    ("password", "good"),
    [
        ("", False),
        ("1234567", False),
        ("12345678", True),
        ("ä" * 8, True),
        ("x" * 256, True),
        ("x" * 257, False),
        ("with\0nul and more", True),
    ],
)
def test_password_is_accepted_by_its_length_alone(password: str, good: bool) -> None:
    problem = password_problem(password)
    assert (problem is None) is good
    assert problem is None or "characters" in problem


async def test_hash_is_argon2id_and_fits_only_its_password(passwords: Passwords) -> None:
    kept = await passwords.hash("correct horse")
    assert kept.startswith("$argon2id$")
    assert "correct" not in kept
    assert await passwords.verify(kept, "correct horse")
    assert not await passwords.verify(kept, "correct horsf")
    assert await passwords.hash("correct horse") != kept


async def test_password_that_is_too_long_never_fits(passwords: Passwords) -> None:
    assert not await passwords.verify(await passwords.hash("x" * 300), "x" * 300)


@pytest.mark.parametrize("kept", ["", "plain", "$argon2id$v=19$broken"])
async def test_hash_that_is_broken_fits_nothing(passwords: Passwords, kept: str) -> None:
    assert not await passwords.verify(kept, "anything")


async def test_password_of_nobody_never_fits_and_takes_a_hash_to_find_out(monkeypatch: pytest.MonkeyPatch) -> None:
    passwords = Passwords()
    verified: list[str] = []

    def fits(kept: str, _password: str) -> bool:
        verified.append(kept)
        return True

    monkeypatch.setattr(passwords, "_verify", fits)
    assert not await passwords.verify(None, "nobody's password")
    assert len(verified) == 1
    assert not PasswordHasher().check_needs_rehash(verified[0]), "its parameters are those of a new hash"
    passwords.close()


async def test_hashes_run_off_the_event_loop_and_a_few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    passwords = Passwords()
    enough, running, most, threads = threading.Event(), 0, 0, set()
    lock = threading.Lock()

    def slow(_kept: str, _password: str) -> bool:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
            threads.add(threading.current_thread())
        enough.wait(PATIENCE_SECONDS)
        with lock:
            running -= 1
        return True

    monkeypatch.setattr(passwords, "_verify", slow)
    attempts = [asyncio.create_task(passwords.verify("kept", "password")) for _ in range(AT_ONCE * 3)]
    await eventually(lambda: running == AT_ONCE)
    enough.set()
    assert await asyncio.gather(*attempts) == [True] * len(attempts)
    assert most == AT_ONCE
    assert threading.main_thread() not in threads
    passwords.close()


async def test_password_is_refused_while_too_many_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    passwords = Passwords()
    enough = threading.Event()
    monkeypatch.setattr(passwords, "_verify", lambda *_: enough.wait(PATIENCE_SECONDS))
    attempts = [asyncio.create_task(passwords.verify("kept", "password")) for _ in range(MOST_WAITING)]
    await asyncio.sleep(0)
    for refused in (passwords.verify("kept", "password"), passwords.verify(None, "password"), passwords.hash("new")):
        with pytest.raises(Problem) as problem:
            await refused
        assert problem.value.status == 503
        assert "retry-after" in problem.value.headers
    attempts.pop().cancel()
    await asyncio.sleep(0)
    attempts.append(asyncio.create_task(passwords.verify("kept", "password")))
    enough.set()
    assert await asyncio.gather(*attempts) == [True] * MOST_WAITING
    passwords.close()
