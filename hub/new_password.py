"""A new password, as a command is given it: typed twice on the terminal, or as a line of standard input."""

from __future__ import annotations

import getpass
import sys

import click

from hub.api.passwords import password_problem


def read_new_password(from_stdin: bool) -> str:
    """The password. Raises `click.UsageError` if there is none, or it is not one that an account may have."""
    try:
        password = _line() if from_stdin else _asked()
        password.encode()
    except UnicodeError:
        raise click.UsageError("the password is not in UTF-8") from None
    if problem := password_problem(password):
        raise click.UsageError(f"the password {problem}")
    return password


def _line() -> str:
    return "" if sys.stdin is None else sys.stdin.readline().rstrip("\r\n")


def _asked() -> str:
    if sys.stdin is None or not sys.stdin.isatty():
        raise click.UsageError("there is no terminal to ask on: give the password with --password-stdin")
    password = getpass.getpass("Password: ")
    if password != getpass.getpass("Once more: "):
        raise click.UsageError("the two passwords differ")
    return password
