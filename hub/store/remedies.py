"""Remedies: what is wrong with a database that cannot be opened, and what to do about it.

Promise: one line that names DATABASE_URL and shows where it leads, never a password.
"""

from __future__ import annotations

import socket
import sqlite3
import ssl
from urllib.parse import parse_qsl, unquote, urlsplit

import asyncpg

from hub.store.urls import sqlite_path, without_password

SHOWN_CHARACTERS = 160
SHORTEST_SECRET = 4

SQLITE_REMEDIES = (
    ("no folder", "make it, or name another file"),
    ("is a folder", "name a file in it"),
    ("not a database", "name another file"),
    ("malformed", "put back a copy of it"),
    ("locked", "stop what holds it, and try again"),
    ("full", "make room"),
    # What SQLite says of a full disk if it finds no room for the index of its log.
    ("disk I/O error", "make room on its disk or, if there is room, look at the log of the system"),
    ("already exists", "name another file, for this one is another program's"),
)
ASYNCPG_REMEDIES: tuple[tuple[type[BaseException], str], ...] = (
    (asyncpg.InvalidAuthorizationSpecificationError, "correct the user or the password in the address"),
    (asyncpg.InvalidCatalogNameError, "create it, or name another in the address"),
    (asyncpg.InvalidSchemaNameError, "create the schema that search_path names, or correct that"),
    (asyncpg.InsufficientPrivilegeError, "grant that to the user in the address, or name another"),
    (asyncpg.ReadOnlySQLTransactionError, "name a server and a database that may be written"),
    (asyncpg.InsufficientResourcesError, "close other connections, or allow more"),
    (asyncpg.DuplicateTableError, "name another database, for this one is another program's"),
    (asyncpg.InterfaceError, "correct the address"),
    (socket.gaierror, "correct the host in the address"),
    (OSError, "start the server, or correct the host and the port"),
)


def why_not_opened(url: str, error: BaseException | str) -> str:
    """In one line, why the database at `url` could not be opened, told from `error` or its cause, and what to do."""
    if isinstance(error, str):
        error = OSError(error)
    # Only an `Exception`: the cause of a timeout is the cancellation that ended the wait, which tells nothing.
    while isinstance(error.__cause__, Exception):
        error = error.__cause__
    reason, remedy = _of_file(url, error) if url.startswith("sqlite") else _of_server(url, error)
    said = " ".join(reason.partition("\nHINT:")[0].split())[:SHOWN_CHARACTERS].rstrip(".")
    return f"DATABASE_URL is {without_password(url)[:SHOWN_CHARACTERS]}: {_without_secret(url, said)}; {remedy}"


def _of_file(url: str, error: BaseException) -> tuple[str, str]:
    reason = str(error) or type(error).__name__
    for words, remedy in SQLITE_REMEDIES:
        if words in reason:
            return reason, remedy
    own = isinstance(error, sqlite3.Error | OSError)
    return reason, f"see that {sqlite_path(url)[:80]} and its folder can be written" if own else "name another file"


def _of_server(url: str, error: BaseException) -> tuple[str, str]:
    parts = urlsplit(url)
    # The driver goes by these in the query, whatever stands before it.
    query = dict(parse_qsl(parts.query))
    host, port = query.get("host") or parts.hostname, query.get("port") or parts.port or 5432
    reason = str(error) or type(error).__name__
    if isinstance(error, socket.gaierror):
        reason = f"there is no host {host}"
    elif isinstance(error, OSError) and ("SSL" in reason or isinstance(error, ssl.SSLError)):
        return reason, "correct sslmode or sslrootcert in the address"
    elif isinstance(error, OSError):
        where = f"at {host} port {port}" if host else "there"
        reason = f"no database answers {where}"
    for kind, remedy in ASYNCPG_REMEDIES:
        if isinstance(error, kind):
            return reason, remedy
    return reason, "see the log of the database server"


def _without_secret(url: str, text: str) -> str:
    """`text` without the password of `url`, should a library ever repeat it."""
    parts = urlsplit(url)
    password = parts.password or ""
    for secret in {password, unquote(password), dict(parse_qsl(parts.query)).get("password", "")}:
        if len(secret) >= SHORTEST_SECRET:
            text = text.replace(secret, "***")
    return text
