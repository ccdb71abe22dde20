"""Database addresses: one that hosts hand out in, what each driver understands out."""

from __future__ import annotations

import ssl
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from hub.config import ConfigError

SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full", "true", "false")
CONNECT_SECONDS = 3.0
COMMAND_SECONDS = 10.0
"""A server that fell silent is given up after so long. TCP alone would wait for hours, and whoever holds
the writer with it; a router waits 30 s for an answer."""


def sqlite_path(url: str) -> str:
    """The file behind `sqlite:///FILE`."""
    return url.removeprefix("sqlite:///").partition("?")[0]


def driver_url(url: str) -> str:
    """The address without what the driver is told by other means."""
    if url.startswith("sqlite"):
        return f"sqlite:///{sqlite_path(url)}"
    parts = urlsplit(url)
    return urlunsplit(parts._replace(query=""))


def async_engine_url(url: str) -> str:
    """The address as SQLAlchemy's asyncio engine wants it, for migrations."""
    scheme, _, rest = driver_url(url).partition("://")
    return f"{'sqlite+aiosqlite' if scheme == 'sqlite' else 'postgresql+asyncpg'}://{rest}"


def driver_options(url: str, connections: int) -> dict[str, Any]:
    """Keyword arguments for the pool: its size, and libpq's `sslmode` and `host` from the query.

    asyncpg opens ten connections unless told otherwise, and a hobby database allows twenty in all.
    """
    if url.startswith("sqlite"):
        # One thread at a time, but not always the same: see `held`.
        return {"check_same_thread": False}
    return {
        # With a floor, asyncpg would restore it by itself, and log each failure in an outage with its traceback.
        "min_size": 0,
        "max_size": connections,
        "timeout": CONNECT_SECONDS,
        "command_timeout": COMMAND_SECONDS,
        **connect_arguments(url),
    }


def connect_arguments(url: str) -> dict[str, Any]:
    """What asyncpg is told beside the address, from the query that libpq's tools understand.

    Hosted databases present certificates of their own making, so `require` encrypts without
    verifying, as libpq does; `verify-ca` and `verify-full` verify. Raises `ConfigError`.
    """
    query = dict(parse_qsl(urlsplit(url).query))
    arguments: dict[str, Any] = {}
    mode = query.get("sslmode") or query.get("ssl")
    if mode and mode not in SSL_MODES:
        raise ConfigError(f"DATABASE_URL has sslmode={mode[:40]!r}: make it one of {', '.join(SSL_MODES[:6])}")
    if mode in ("verify-ca", "verify-full") and "sslrootcert" in query:
        try:
            context = ssl.create_default_context(cafile=query["sslrootcert"])
        except OSError:
            named = query["sslrootcert"][:120]
            raise ConfigError(f"DATABASE_URL has sslrootcert={named!r}: name a file of certificates in PEM") from None
        context.check_hostname = mode == "verify-full"
        arguments["ssl"] = context
    elif mode:
        arguments["ssl"] = {"true": "require", "false": "disable"}.get(mode, mode)
    if "host" in query:
        arguments["host"] = query["host"]
    return arguments


def without_password(url: str) -> str:
    """The address as it may be shown in a message."""
    parts = urlsplit(url)
    query = parse_qsl(parts.query)
    kept = [(name, value) for name, value in query if name != "password"]
    if not parts.password and kept == query:
        return url
    secret = ":***" if parts.password else ""
    netloc = f"{parts.username or ''}{secret}@{parts.netloc.rpartition('@')[2]}"
    return urlunsplit(parts._replace(netloc=netloc, query=urlencode(kept)))
