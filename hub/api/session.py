"""Logging in and out.

Promise: guessing is slow. Failed log-ins are limited for an account and for an address; a wrong address
and a wrong password cannot be told apart, not even by how long the answer takes.
"""

from __future__ import annotations

import ipaddress

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from hub.actions import Actions
from hub.api.asked import MOST_ADDRESS, answer, read_body, read_nothing
from hub.api.attempts import Attempts, given_back_if_refused, too_many_attempts
from hub.api.auth import Auth, new_secret, secret_hash
from hub.api.passwords import MOST_CHARACTERS, Passwords
from hub.api.problems import Problem
from hub.model import Clock, User
from hub.store.credentials import Credentials
from hub.store.events import Events
from hub.store.users import Users
from hub.tracking.device import read_device
from hub.tracking.visit import TrustedProxies, client_address
from hub.wire import me_view

ACCOUNT_ATTEMPTS = 10
ADDRESS_ATTEMPTS = 50
"""Failed attempts allowed in five minutes. Many people may share an address."""


class LoginBody(Struct, forbid_unknown_fields=True):
    """Who wants to log in."""

    email: str
    password: str


class SessionApi:
    """The endpoint `/session`."""

    def __init__(
        self,
        auth: Auth,
        users: Users,
        credentials: Credentials,
        events: Events,
        actions: Actions,
        passwords: Passwords,
        attempts: Attempts,
        *,
        trusted_proxies: TrustedProxies,
        clock: Clock,
    ) -> None:
        self._auth = auth
        self._users = users
        self._credentials = credentials
        self._events = events
        self._actions = actions
        self._passwords = passwords
        self._attempts = attempts
        self._trusted_proxies = trusted_proxies
        self._clock = clock

    async def log_in(self, request: Request) -> Response:
        """`POST /session`."""
        self._auth.check_origin(request)
        body = await read_body(request, LoginBody)
        if len(body.password) > MOST_CHARACTERS:
            # No account has it, and it is not hashed. Counted, such attempts would soon drive others out of the memory.
            raise _wrong_password()
        # Looked up before anything is counted: while the database is away no password is tried.
        found = None if "\0" in body.email else await self._users.by_email(body.email)
        account = f"account:{body.email.lower()[:MOST_ADDRESS]}"
        address = f"address:{_site(client_address(request.scope, self._trusted_proxies))}"
        # The address comes first: attempts that are refused because of it must not use up what the account allows.
        wait = await self._attempts.begin(address, ADDRESS_ATTEMPTS)
        wait = wait or await self._attempts.begin(account, ACCOUNT_ATTEMPTS)
        if wait:
            raise too_many_attempts(wait)
        async with given_back_if_refused(self._attempts, account, address):
            fits = await self._passwords.verify(found[1] if found else None, body.password)
        if not fits or found is None:
            raise _wrong_password()
        await self._attempts.succeeded(account)
        # Given back, not forgotten: else somebody with an account of their own could guess at others for ever.
        await self._attempts.give_back(address)
        user, password_hash = found
        secret = new_secret()
        device = read_device(request.headers.get("user-agent", ""))
        label = " on ".join(filter(None, (device.client, device.os))) or None
        # Before the session is kept: if this fails, the browser does not get one, and nobody else would end it.
        response = await me_answer(self._events, user)
        if not await self._credentials.add_session(user.id, password_hash, secret_hash(secret), label, self._clock()):
            raise _wrong_password()
        self._auth.set_cookie(request, response, secret)
        return response

    async def log_out(self, request: Request) -> Response:
        """`DELETE /session`."""
        credential = await self._auth.require(request)
        await read_nothing(request)
        if credential.kind != "session":
            raise Problem(404, "not-found", "An API token has no session; revoke it under /tokens.")
        await self._credentials.remove_session(credential.user.id, credential.id)
        await self._actions.revoke([credential.key])
        response = Response(status_code=204)
        self._auth.clear_cookie(request, response)
        return response


async def me_answer(events: Events, user: User) -> Response:
    """The answer that shows users their own account, with how many notifications are unread. Raises `DatabaseAway`."""
    return answer(me_view(user, await events.unseen(user.id, user.seen_sequence, user.sequence)))


def _wrong_password() -> Problem:
    return Problem(401, "wrong-password", "The mail address or the password is wrong.")


def _site(address: str) -> str:
    """The address, or for IPv6 its /64, because one customer has a whole /64."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 6:
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return address
