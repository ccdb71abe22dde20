"""The asker's own account: who they are, what they decided, their tokens and where they are logged in."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Struct, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from hub.actions import Actions, BeyondTheLog
from hub.api.asked import MOST_NAME, Checks, Query, answer, length, path_id, read_body, read_nothing
from hub.api.attempts import Attempts, given_back_if_refused, too_many_attempts
from hub.api.auth import TOKEN_PREFIX, Auth, new_secret, secret_hash
from hub.api.passwords import LEAST_CHARACTERS, MOST_CHARACTERS, Passwords, password_problem
from hub.api.problems import Problem, invalid, not_found
from hub.api.session import ACCOUNT_ATTEMPTS, me_answer
from hub.model import Clock, SequenceNumber
from hub.store.credentials import Credential, Credentials, SessionRow, TokenRow, key_of
from hub.store.events import Events
from hub.store.users import Users
from hub.wire import Time, rfc3339, rfc3339_or_none, settings_view


class SettingsPatch(Struct, forbid_unknown_fields=True):
    """The settings that can be changed."""

    realtime_notifications: bool | UnsetType = UNSET


class PasswordBody(Struct, forbid_unknown_fields=True):
    """A change of password."""

    current: str
    new: Annotated[str, length(MOST_CHARACTERS, LEAST_CHARACTERS)]


class MePatch(Struct, forbid_unknown_fields=True):
    """The fields of an account that can be changed."""

    name: Annotated[str, length(MOST_NAME, 1)] | UnsetType = UNSET
    password: PasswordBody | UnsetType = UNSET


class SeenBody(Struct, forbid_unknown_fields=True):
    """Up to where notifications are read."""

    sequence: SequenceNumber


class TokenBody(Struct, forbid_unknown_fields=True):
    """A token to make."""

    name: Annotated[str, length(MOST_NAME, 1)]


class TokenView(Struct):
    """An API token; `token` is there only in the answer that made it."""

    id: str
    name: str
    created_at: Time
    last_used_at: Time | None
    token: str | UnsetType = UNSET


class SessionView(Struct):
    """A place where the user is logged in; `current` is true for the session that asks."""

    id: str
    created_at: Time
    last_used_at: Time
    device: str | None
    current: bool


class TokenPage(Struct):
    """All the user's tokens."""

    items: list[TokenView]


class SessionPage(Struct):
    """All the user's sessions."""

    items: list[SessionView]


class AccountApi:
    """The endpoints about the asker."""

    def __init__(
        self,
        auth: Auth,
        users: Users,
        credentials: Credentials,
        events: Events,
        actions: Actions,
        passwords: Passwords,
        attempts: Attempts,
        clock: Clock,
    ) -> None:
        self._auth = auth
        self._users = users
        self._credentials = credentials
        self._events = events
        self._actions = actions
        self._passwords = passwords
        self._attempts = attempts
        self._clock = clock

    async def me(self, request: Request) -> Response:
        """`GET /me`."""
        credential = await self._auth.require(request)
        Query(request)
        return await me_answer(self._events, credential.user)

    async def change_me(self, request: Request) -> Response:
        """`PATCH /me`."""
        credential = await self._auth.require(request)
        body = await read_body(request, MePatch)
        checks = Checks()
        if body.name is not UNSET:
            checks.name("name", body.name)
        if body.password is not UNSET and (problem := password_problem(body.password.new)):
            checks.wrong("password.new", problem)
        checks.done()
        name = None if body.name is UNSET else body.name
        if body.password is not UNSET:
            await self._change_password(credential, body.password, name)
        elif name is not None:
            await self._users.rename(credential.user.id, name)
        current = await self._auth.again(credential)
        if current is None:
            raise Problem(401, "unauthenticated", "The session ended meanwhile; log in again.")
        return await me_answer(self._events, current.user)

    async def change_settings(self, request: Request) -> Response:
        """`PATCH /settings`."""
        user = await self._auth.require_user(request)
        body = await read_body(request, SettingsPatch)
        settings = user.settings
        if body.realtime_notifications is not UNSET:
            settings = await self._actions.set_realtime(user.id, body.realtime_notifications)
        return answer(settings_view(settings))

    async def seen(self, request: Request) -> Response:
        """`POST /seen`."""
        user = await self._auth.require_user(request)
        body = await read_body(request, SeenBody)
        try:
            await self._actions.mark_seen(user.id, body.sequence)
        except BeyondTheLog:
            raise invalid("sequence", "is beyond the end of the log") from None
        return Response(status_code=204)

    async def tokens(self, request: Request) -> Response:
        """`GET /tokens`."""
        user = await self._auth.require_user(request)
        Query(request)
        return answer(TokenPage([_token_view(row) for row in await self._credentials.tokens_of(user.id)]))

    async def add_token(self, request: Request) -> Response:
        """`POST /tokens`."""
        user = await self._auth.require_user(request)
        body = await read_body(request, TokenBody)
        checks = Checks()
        checks.name("name", body.name)
        checks.done()
        token = new_secret(TOKEN_PREFIX)
        row = await self._credentials.add_token(user.id, body.name, secret_hash(token), self._clock())
        view = _token_view(row)
        view.token = token
        return answer(view, 201)

    async def remove_token(self, request: Request) -> Response:
        """`DELETE /tokens/{id}`."""
        user = await self._auth.require_user(request)
        token_id = path_id(request, "token")
        await read_nothing(request)
        if not await self._credentials.remove_token(user.id, token_id):
            raise not_found("token")
        await self._actions.revoke([key_of("token", token_id)])
        return Response(status_code=204)

    async def sessions(self, request: Request) -> Response:
        """`GET /sessions`."""
        credential = await self._auth.require(request)
        Query(request)
        rows = await self._credentials.sessions_of(credential.user.id, self._clock())
        return answer(SessionPage([_session_view(row, credential) for row in rows]))

    async def remove_session(self, request: Request) -> Response:
        """`DELETE /sessions/{id}`."""
        user = await self._auth.require_user(request)
        session_id = path_id(request, "session")
        await read_nothing(request)
        if not await self._credentials.remove_session(user.id, session_id):
            raise not_found("session")
        await self._actions.revoke([key_of("session", session_id)])
        return Response(status_code=204)

    async def _change_password(self, credential: Credential, body: PasswordBody, name: str | None) -> None:
        # Looked up before the attempt is counted, as in `SessionApi.log_in`.
        found = await self._users.by_email(credential.user.email)
        # Counted apart from log-ins: only somebody who is logged in can use this up.
        key = f"password:{credential.user.id}"
        if wait := await self._attempts.begin(key, ACCOUNT_ATTEMPTS):
            raise too_many_attempts(wait)
        async with given_back_if_refused(self._attempts, key):
            fits = found is not None and await self._passwords.verify(found[1], body.current)
        if found is None or not fits:
            raise _not_the_current()
        await self._attempts.succeeded(key)
        kept = credential.id if credential.kind == "session" else None
        password_hash = await self._passwords.hash(body.new)
        ended = await self._credentials.replace_password(credential.user.id, found[1], password_hash, kept, name)
        if ended is None:
            raise _not_the_current()
        await self._actions.revoke([key_of("session", session_id) for session_id in ended])


def _not_the_current() -> Problem:
    return invalid("password.current", "is not the current password")


def _token_view(row: TokenRow) -> TokenView:
    return TokenView(row.id, row.name, rfc3339(row.created_at), rfc3339_or_none(row.last_used_at))


def _session_view(row: SessionRow, asking: Credential) -> SessionView:
    current = asking.kind == "session" and asking.id == row.id
    return SessionView(row.id, rfc3339(row.created_at), rfc3339(row.last_used_at), row.device, current)
