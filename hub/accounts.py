"""Accounts as an operator makes them: a sender's account, and a token for a plugin."""

from __future__ import annotations

from hub.api.auth import TOKEN_PREFIX, new_secret, secret_hash
from hub.api.passwords import Passwords
from hub.model import now
from hub.store.credentials import Credentials
from hub.store.database import Database
from hub.store.users import EmailTaken, Users


class AccountError(ValueError):
    """An account or token cannot be made as asked. The message is one line that says why."""


async def add_user(database: Database, email: str, name: str, role: str, password: str) -> None:
    """Make an account; `role` is "user" or "admin". Raises `AccountError` if there is one for `email` already."""
    passwords = Passwords()
    try:
        await Users(database).add(email, name, role, await passwords.hash(password), now())
    except EmailTaken:
        raise AccountError(f"there is an account for {email} already: log in to it, or give another address") from None
    finally:
        passwords.close()


async def create_token(database: Database, email: str, name: str, token: str | None = None) -> str:
    """Add an API token, `token` or a fresh one, to an account; return it. Raises `AccountError` if there is none."""
    found = await Users(database).by_email(email)
    if found is None:
        raise AccountError(f"there is no account for {email}: make one with `glimpse user add`")
    token = token or new_secret(TOKEN_PREFIX)
    await Credentials(database).add_token(found[0].id, name, secret_hash(token), now())
    return token
