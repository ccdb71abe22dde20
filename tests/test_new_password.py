"""A new password: typed twice, or a line of standard input; nothing that no account may have."""

from __future__ import annotations

import getpass
import io
import sys

import click
import pytest

from hub.new_password import read_new_password

PASSWORD = "correct horse battery"


class Terminal(io.StringIO):
    """A terminal on which somebody types these lines when asked."""

    def isatty(self) -> bool:
        return True


def at_a_terminal(monkeypatch: pytest.MonkeyPatch, *typed: str) -> list[str]:
    """Somebody types these passwords. Returns what they are asked."""
    lines, asked = iter(typed), []

    def ask(prompt: str) -> str:
        asked.append(prompt)
        return next(lines)

    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr(getpass, "getpass", ask)
    return asked


def test_password_is_asked_for_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = at_a_terminal(monkeypatch, PASSWORD, PASSWORD)
    assert read_new_password(from_stdin=False) == PASSWORD
    assert asked == ["Password: ", "Once more: "]


def test_passwords_that_differ_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    at_a_terminal(monkeypatch, PASSWORD, PASSWORD + "!")
    with pytest.raises(click.UsageError, match="the two passwords differ"):
        read_new_password(from_stdin=False)


@pytest.mark.parametrize("stdin", [None, io.StringIO(PASSWORD)])
def test_password_is_not_asked_for_where_there_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch, stdin: io.StringIO | None
) -> None:
    monkeypatch.setattr(sys, "stdin", stdin)
    with pytest.raises(click.UsageError, match="--password-stdin"):
        read_new_password(from_stdin=False)


@pytest.mark.parametrize("typed", [PASSWORD, f"{PASSWORD}\n", f"{PASSWORD}\r\n", f"{PASSWORD}\nmore\n"])
def test_password_on_standard_input_is_its_first_line(monkeypatch: pytest.MonkeyPatch, typed: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(typed, newline=""))
    assert read_new_password(from_stdin=True) == PASSWORD


def test_password_keeps_its_blanks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(f" {PASSWORD} \n"))
    assert read_new_password(from_stdin=True) == f" {PASSWORD} "


@pytest.mark.parametrize(
    ("stdin", "reason"),
    [
        (None, "must have at least 8 characters"),
        (io.StringIO("short\n"), "must have at least 8 characters"),
        (io.StringIO("x" * 257), "may have 256 characters at the most"),
        (io.StringIO("passw\udcffrd"), "is not in UTF-8"),
    ],
)
def test_password_that_no_account_may_have_is_refused(
    monkeypatch: pytest.MonkeyPatch, stdin: io.StringIO | None, reason: str
) -> None:
    monkeypatch.setattr(sys, "stdin", stdin)
    with pytest.raises(click.UsageError, match=reason):
        read_new_password(from_stdin=True)
