"""Who is asking: an API token, or the session cookie with an Origin of ours.

Promise: a credential is looked up at every request, so a revoked one is refused at once. A cookie is
believed only where a foreign page cannot have sent it.
"""

from __future__ import annotations

import hashlib
import secrets
from urllib.parse import urljoin, urlsplit

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from hub.api.asked import read_bytes
from hub.api.problems import Problem
from hub.model import Clock, User
from hub.store.credentials import SESSION_MS, Credential, Credentials
from hub.tracking.address import authority
from hub.tracking.visit import TrustedProxies, forwarded_proto

TOKEN_PREFIX = "glimpse_"
HTTPS_COOKIE = "__Host-glimpse"
HTTP_COOKIE = "glimpse"
"""A browser keeps a `__Host-` cookie only over https, so that plain http and subdomains cannot plant it."""
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
TOUCH_MS = 60_000
"""How long after one use of a credential the next is written down: the last use is shown to the minute."""

DEFAULT_PORTS = {"http": 80, "https": 443}


def new_secret(prefix: str = "") -> str:
    """A new secret of 256 random bits."""
    return prefix + secrets.token_urlsafe(32)


def secret_hash(secret: str) -> str:
    """The hash that is kept of a secret, and by which it is found."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


class Auth:
    """Tells who is asking, and at what address they see the hub."""

    def __init__(
        self,
        credentials: Credentials,
        *,
        public_url: str | None,
        trusted_proxies: TrustedProxies,
        clock: Clock,
    ) -> None:
        self._credentials = credentials
        self._public_url = public_url
        self._public_origin = None if public_url is None else _origin(urljoin(public_url, "/"))
        self._public_is_https = self._public_origin is not None and self._public_origin[0] == "https"
        self._trusted_proxies = trusted_proxies
        self._clock = clock

    async def require(self, request: Request) -> Credential:
        """Who is asking. Raises a 401 or 403 `Problem`, and those of `read_bytes`."""
        header = self._authorization(request)
        cookie = self._cookie(request)
        if request.method not in SAFE_METHODS and (header, cookie) != (None, None):
            # The client decides how long its body takes. A credential revoked meanwhile has to be refused.
            await read_bytes(request)
        if header is not None:
            credential = await self.by_header(header)
        elif cookie is not None:
            if request.method not in SAFE_METHODS:
                self.check_origin(request)
            credential = await self.by_cookie(cookie)
        else:
            credential = None
        if credential is None:
            raise Problem(
                401,
                "unauthenticated",
                "Log in, or send a valid API token as `Authorization: Bearer …`.",
                headers={"www-authenticate": "Bearer"},
            )
        return credential

    async def require_user(self, request: Request) -> User:
        """The user who is asking. Raises as `require` does."""
        return (await self.require(request)).user

    async def by_header(self, header: str) -> Credential | None:
        """Whose `Authorization` header this is."""
        scheme, _, token = header.partition(" ")
        return await self.by_token(token.strip()) if scheme.lower() == "bearer" else None

    async def by_token(self, token: str) -> Credential | None:
        """Whose API token this is."""
        return self._used(await self._credentials.by_token(secret_hash(token)))

    async def by_cookie(self, cookie: str) -> Credential | None:
        """Whose session cookie this is."""
        return self._used(await self._credentials.by_session(secret_hash(cookie), self._clock()))

    async def again(self, credential: Credential) -> Credential | None:
        """The same credential as it is now, or None if it has been revoked."""
        return await self._credentials.reload(credential, self._clock())

    async def of_socket(self, connection: HTTPConnection) -> tuple[Credential | None, bool]:
        """Who opens a socket, as far as its headers say, and whether there was an `Authorization` header. If that names
        nobody, the caller has to refuse the socket, whatever its first frame says.

        Raises a 403 `Problem` for a cookie with an Origin that is not ours, or without one.
        """
        header = self._authorization(connection)
        if header is not None:
            return await self.by_header(header), True
        cookie = self._cookie(connection)
        if cookie is None:
            return None, False
        if not self._is_ours(connection.headers.get("origin"), connection):
            raise _wrong_origin()
        return await self.by_cookie(cookie), False

    def check_origin(self, request: Request) -> None:
        """Raise a 403 `Problem` if a foreign page sent this.

        Browsers send `Origin` with every unsafe request, and `Sec-Fetch-Site` with all; a client that sends neither
        is no browser, and sends only a cookie that it was given on purpose.
        """
        origin = request.headers.get("origin")
        if origin is None and request.headers.get("sec-fetch-site", "same-origin") in ("same-origin", "none"):
            return
        if not self._is_ours(origin, request):
            raise _wrong_origin()

    def set_cookie(self, request: Request, response: Response, secret: str) -> None:
        """Give the browser its session."""
        name = HTTPS_COOKIE if self._speaks_https(request) else HTTP_COOKIE
        _write_cookie(response, name, secret, SESSION_MS // 1000)

    def clear_cookie(self, request: Request, response: Response) -> None:
        """Take the browser's session away."""
        for name in self._cookie_names(request):
            _write_cookie(response, name, "", 0)

    def base_url(self, connection: HTTPConnection) -> str:
        """What addresses of the hub begin with: as configured, or as the asker sees it."""
        if self._public_url is not None:
            return self._public_url
        host = connection.headers.get("host", "")
        if not host or any(c in host for c in "\"'<>\\/@?# \t"):
            host = authority(*(connection.scope.get("server") or ("localhost", 80)))
        return f"{self._scheme(connection)}://{host}"

    def _scheme(self, connection: HTTPConnection) -> str:
        return forwarded_proto(connection.scope, self._trusted_proxies)

    def _is_ours(self, origin: str | None, connection: HTTPConnection) -> bool:
        own = _origin(f"{self._scheme(connection)}://{connection.headers.get('host', '')}")
        ours = {own, self._public_origin}
        return origin is not None and _origin(origin) in ours - {None}

    def _cookie_names(self, connection: HTTPConnection) -> tuple[str, ...]:
        """The names that a browser's session may have here, the better one first."""
        if self._scheme(connection) == "https":
            return (HTTPS_COOKIE,)
        return (HTTPS_COOKIE, HTTP_COOKIE) if self._public_is_https else (HTTP_COOKIE,)

    def _speaks_https(self, request: Request) -> bool:
        """Whether the browser speaks https. If a proxy that is not trusted ends that, only `Origin` tells so."""
        if self._scheme(request) == "https":
            return True
        return self._public_is_https and _origin(request.headers.get("origin", "")) == self._public_origin

    def _authorization(self, connection: HTTPConnection) -> str | None:
        """The `Authorization` header. Beside our cookie, one of another scheme is not for us: a browser that has logged
        in to a proxy before the hub, by Basic for instance, sends that with every request.
        """
        header = connection.headers.get("authorization")
        if header is None or header.lower().startswith("bearer") or self._cookie(connection) is None:
            return header
        return None

    def _cookie(self, connection: HTTPConnection) -> str | None:
        """The session's cookie. Not as Starlette reads it, which strips every blank of Unicode from a name: a browser
        lets any page of the domain, and plain http, plant a cookie whose name is `__Host-…` behind a byte of 0xA0.
        """
        pairs = [each.strip(" \t").partition("=") for each in ";".join(connection.headers.getlist("cookie")).split(";")]
        given = {name: value for name, _, value in pairs}
        return next((given[name] for name in self._cookie_names(connection) if name in given), None)

    def _used(self, credential: Credential | None) -> Credential | None:
        now = self._clock()
        if credential is not None and (credential.last_used_at or 0) < now - TOUCH_MS:
            self._credentials.note_use(credential, now)
        return credential


def _write_cookie(response: Response, name: str, value: str, max_age: int) -> None:
    response.set_cookie(
        name,
        value,
        max_age=max_age,
        path="/",
        secure=name == HTTPS_COOKIE,
        httponly=True,
        samesite="Lax",  # type: ignore[arg-type]  # As RFC 6265bis writes it.
    )


def _origin(text: str) -> tuple[str, str, int] | None:
    # An origin is a scheme, a host and a port, and nothing else (RFC 6454, 6.2).
    if any(c in text for c in "@?#"):
        return None
    try:
        parts = urlsplit(text)
        port = parts.port or DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return None
    if not parts.hostname or port is None or parts.path not in ("", "/"):
        return None
    return parts.scheme, parts.hostname, port


def _wrong_origin() -> Problem:
    return Problem(403, "wrong-origin", "This came from a page that is not the hub's own.")
