"""Accounts as an operator makes them: a sender's account, another password for it, and a token for a plugin."""

from __future__ import annotations

from hub.api.auth import TOKEN_PREFIX, new_secret, secret_hash
from hub.api.passwords import Passwords
from hub.model import User, now
from hub.store.credentials import Credentials
from hub.store.database import Database
from hub.store.users import EmailTaken, Users


class AccountError(ValueError):
    """An account or token cannot be made as asked. The message is one line that says why."""


async def add_user(database: Database, email: str, name: str, role: str, password: str) -> None:
    """Make an account; `role` is "user" or "admin". Raises `AccountError` if there is one for `email` already."""
    try:
        await Users(database).add(email, name, role, await _hash(password), now())
    except EmailTaken:
        remedy = "give another address, or give that account a new password with `glimpse user password`"
        raise AccountError(f"there is an account for {email} already: {remedy}") from None


async def set_password(database: Database, email: str, password: str) -> None:
    """Give an account another password, and end all of its sessions; its tokens stay.

    A running hub closes the sockets of these sessions when it next looks at them. Raises `AccountError` if there is no
    account for `email`, or its password was just changed by another.
    """
    user, old = await _account(database, email)
    if await Credentials(database).replace_password(user.id, old, await _hash(password), keep_session=None) is None:
        raise AccountError(f"somebody else just changed the password of {email}: try again")


async def create_token(database: Database, email: str, name: str, token: str | None = None) -> str:
    """Add an API token, `token` or a fresh one, to an account; return it. Raises `AccountError` if there is none."""
    user, _ = await _account(database, email)
    token = token or new_secret(TOKEN_PREFIX)
    await Credentials(database).add_token(user.id, name, secret_hash(token), now())
    return token


async def _hash(password: str) -> str:
    passwords = Passwords()
    try:
        return await passwords.hash(password)
    finally:
        passwords.close()


async def _account(database: Database, email: str) -> tuple[User, str]:
    """The account of `email` and its password's hash."""
    found = await Users(database).by_email(email)
    if found is None:
        raise AccountError(f"there is no account for {email}: make one with `glimpse user add`")
    return found
