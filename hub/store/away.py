"""A database that is away: which of the drivers' errors tell of its state rather than of what it was asked.

Promise: errors that tell of its state are always `DatabaseAway`, whichever driver and database. An error about a value
that breaks a rule of a table, or does not fit its column, never is. `is_about_what_was_asked` tells the errors that
concern nothing but what was asked.
"""

from __future__ import annotations

import sqlite3

import asyncpg

from hub.store.remedies import why_not_opened

_PG_AWAY = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.PostgresSystemError,
    # Read-only, ended for its silence, or begun by another client to whom a pooler lent the same session.
    asyncpg.InvalidTransactionStateError,
    # A pooler lent another session, which has not prepared the statement.
    asyncpg.InvalidSQLStatementNameError,
    # A deadlock, or a server that isolates transactions more strictly than it was asked to.
    asyncpg.TransactionRollbackError,
    # A lock that cannot be had, or an object that is in use.
    asyncpg.ObjectNotInPrerequisiteStateError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    # There is no schema to make a table in: that of the address's `options`, or of the role, is not there (yet).
    asyncpg.InvalidSchemaNameError,
    asyncpg.InternalServerError,
    # A table, column or right that is not there (yet); only the words of the error tell it from wrong SQL.
    asyncpg.SyntaxOrAccessError,
    # A table got another column after the statement was prepared.
    asyncpg.InvalidCachedStatementError,
    # asyncpg raises this between a terminated session's last message and the end of its connection.
    asyncpg.InternalClientError,
)

_FOREIGN_KEY = "23503"
_VALUES = "22"
"""The class of SQLSTATEs that are about a value."""

_SQLITE_VALUES = (sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY, sqlite3.SQLITE_MISMATCH)
_DRIVERS = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    sqlite3.Error,
    OSError,
    MemoryError,
)
_PG_LASTING = (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError)


class DatabaseAway(Exception):
    """The database cannot be reached, or cannot do its work now. What was asked may be asked again.

    `lasting` says that time alone will not mend it: the name, the password or the file is wrong.
    """

    def __init__(self, reason: str, *, lasting: bool = False) -> None:
        super().__init__(reason)
        self.lasting = lasting

    @classmethod
    def because(cls, error: BaseException, opening: str = "") -> DatabaseAway:
        """The `DatabaseAway` for a driver's `error`. With the address that was `opening`, it also says what to do."""
        if isinstance(error, DatabaseAway):
            return cls(why_not_opened(opening, error), lasting=error.lasting) if opening else error
        no_database = isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError)
        reason = why_not_opened(opening, error) if opening else said(error)
        return cls(reason, lasting=no_database or isinstance(error, _PG_LASTING))


class RowLocked(DatabaseAway):
    """On PostgreSQL another session keeps a needed row locked; other rows may be had."""


def away(error: BaseException) -> DatabaseAway:
    """The `DatabaseAway` for an `error` that tells of the database's state while it is used."""
    if isinstance(error, RowLocked | asyncpg.LockNotAvailableError):
        return RowLocked("a row is locked by another session")
    return DatabaseAway(said(error))


def said(error: BaseException) -> str:
    """The words of an error. Most timeouts have none of their own."""
    return str(error) or ("it does not answer" if isinstance(error, TimeoutError) else type(error).__name__)


def is_away(error: BaseException) -> bool:
    """Whether `error` tells of the database's state rather than of what it was asked."""
    if isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError | sqlite3.DataError) or _is_no_value(error):
        return False
    return isinstance(error, (DatabaseAway, sqlite3.Error, OSError, TimeoutError, *_PG_AWAY)) or (
        # aiosqlite says so when its thread is gone.
        isinstance(error, ValueError) and "no active connection" in str(error)
    )


def is_about_what_was_asked(error: BaseException) -> bool:
    """Whether `error` is about what was asked, so that nothing else need fail: a value that the database does not take,
    a reference to a row that is not there, or a fault of our own. A trigger that raises, or a column that this code
    does not know, is the database's own fault.
    """
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        return state.startswith(_VALUES) or state == _FOREIGN_KEY
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", None)
        return isinstance(error, sqlite3.DataError) or code in _SQLITE_VALUES
    return _is_no_value(error) or not (is_away(error) or isinstance(error, _DRIVERS))


def _is_no_value(error: BaseException) -> bool:
    """Whether asyncpg could not send a value; it has no public name for that error."""
    interface = isinstance(error, asyncpg.InterfaceError) and isinstance(error, ValueError)
    return interface and not isinstance(error, asyncpg.ClientConfigurationError)
