"""Database addresses: from one that hosts hand out to what each driver understands."""

from __future__ import annotations

import ssl
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from hub.config import ConfigError, sqlite_path

__all__ = ["async_engine_url", "connect_arguments", "driver_options", "driver_url", "sqlite_path", "without_password"]

SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full", "true", "false")
SESSIONS = ("any", "read-write", "read-only", "primary", "standby", "prefer-standby")
"""What `target_session_attrs` may be; asyncpg's own refusal of anything else names an object of Python's."""
NAMES = {
    "host": "host",
    "user": "user",
    "password": "password",
    "target_session_attrs": "target_session_attrs",
    "dbname": "database",
}
"""The parameters of libpq that asyncpg takes as they are, each with asyncpg's name for it."""
UNUSABLE = ("hostaddr", "passfile", "service")
"""If these were ignored, another server would be asked, or as somebody else: so they are refused."""
SSL = ("ssl", "sslmode", "sslrootcert", "sslcompression", "sslsni")
"""What may be said of the encryption; the last two have no bearing on who can read along. Any other name that begins
so, like `sslcrl` or a misspelt `sslmod`, is refused: ignored, it would leave the connection less safe than asked."""
CONNECT_SECONDS = 3.0
COMMAND_SECONDS = 10.0
"""How long until a silent server is given up. TCP alone would wait for hours, and so would whoever holds the writer;
Heroku's router waits 30 s for an answer (devcenter.heroku.com, Request Timeout, 2026-11)."""


def driver_url(url: str) -> str:
    """The address without what the driver is told by other means."""
    if url.startswith("sqlite"):
        # Given a # or a %, the library that connects and the one that migrates would each name a different file.
        return f"sqlite:///{quote(sqlite_path(url))}"
    parts = urlsplit(url)
    return urlunsplit(parts._replace(query=""))


def async_engine_url(url: str) -> str:
    """The address as SQLAlchemy's asyncio engine wants it, for migrations."""
    scheme, _, rest = driver_url(url).partition("://")
    return f"{'sqlite+aiosqlite' if scheme == 'sqlite' else 'postgresql+asyncpg'}://{rest}"


def driver_options(url: str, connections: int) -> dict[str, Any]:
    """Keyword arguments for the pool: its size, and what libpq takes from the query.

    asyncpg opens ten connections unless told otherwise, and a hobby database allows twenty in all.
    """
    if url.startswith("sqlite"):
        # One thread at a time, but not always the same: see `held`.
        return {"check_same_thread": False}
    return {
        # Above 0, asyncpg would restore the size by itself, and in an outage log each failure with its traceback.
        "min_size": 0,
        "max_size": connections,
        "timeout": CONNECT_SECONDS,
        "command_timeout": COMMAND_SECONDS,
        **connect_arguments(url),
    }


def connect_arguments(url: str) -> dict[str, Any]:
    """What asyncpg is told beside the address, from the query that libpq's tools understand.

    Hosted databases present certificates of their own making, so `require` encrypts without verifying, unless
    `sslrootcert` names what to verify by, as in libpq (its "Parameter Key Words", sslmode, 2026-11); `verify-ca` and
    `verify-full` verify.
    Other parameters are left out. Raises `ConfigError` for a value that cannot be used, for what is in `UNUSABLE`, and
    for what is not in `SSL` but sounds so.
    """
    query = dict(parse_qsl(urlsplit(url).query))
    arguments: dict[str, Any] = {NAMES[name]: value for name, value in query.items() if name in NAMES}
    for name in query:
        if name in UNUSABLE or (name.startswith("ssl") and name not in SSL):
            raise ConfigError(f"DATABASE_URL has {name[:40]!r}, which the hub cannot use: leave it out")
    if "port" in query:
        if not query["port"].isdecimal():
            raise ConfigError(f"DATABASE_URL has port={query['port'][:40]!r}: make it a number")
        arguments["port"] = int(query["port"])
    if (session := query.get("target_session_attrs", "any")) not in SESSIONS:
        raise ConfigError(
            f"DATABASE_URL has target_session_attrs={session[:40]!r}: make it one of {', '.join(SESSIONS)}"
        )
    if "options" in query:
        arguments["server_settings"] = {"options": query["options"]}
    mode = query.get("sslmode") or query.get("ssl")
    if mode and mode not in SSL_MODES:
        raise ConfigError(f"DATABASE_URL has sslmode={mode[:40]!r}: make it one of {', '.join(SSL_MODES[:6])}")
    if mode in ("require", "verify-ca", "verify-full") and "sslrootcert" in query:
        try:
            context = ssl.create_default_context(cafile=query["sslrootcert"])
        except OSError:
            named = query["sslrootcert"][:120]
            raise ConfigError(f"DATABASE_URL has sslrootcert={named!r}: name a file of certificates in PEM") from None
        context.check_hostname = mode == "verify-full"
        arguments["ssl"] = context
    elif mode:
        arguments["ssl"] = {"true": "require", "false": "disable"}.get(mode, mode)
    return arguments


def without_password(url: str) -> str:
    """The address as it may be shown in a message."""
    parts = urlsplit(url)
    query = parse_qsl(parts.query)
    kept = [(name, value) for name, value in query if "password" not in name.lower()]
    if not parts.password and kept == query:
        return url
    secret = ":***" if parts.password else ""
    netloc = f"{parts.username or ''}{secret}@{parts.netloc.rpartition('@')[2]}"
    return urlunsplit(parts._replace(netloc=netloc, query=urlencode(kept)))
