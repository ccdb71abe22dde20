"""A database that is away: which of the drivers' errors tell of its state rather than of what it was asked.

Promise: those are always `DatabaseAway`, whichever driver and database; what breaks a rule of a table, or is no value
for a column, never is.
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
    asyncpg.ReadOnlySQLTransactionError,
    # A deadlock, or a server that isolates transactions more than was asked of it.
    asyncpg.TransactionRollbackError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.LockNotAvailableError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.InternalServerError,
    # A table, a column or a right that is not there (yet); the drivers tell it from wrong SQL by words alone.
    asyncpg.SyntaxOrAccessError,
    # A table that has another column since a statement was prepared.
    asyncpg.InvalidCachedStatementError,
    # What asyncpg says between a terminated session's farewell and the end of its connection.
    asyncpg.InternalClientError,
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
        """What `error`, a driver's, comes to. When `opening` an address it says what to do about it, too."""
        if isinstance(error, DatabaseAway):
            return cls(why_not_opened(opening, error), lasting=error.lasting) if opening else error
        no_database = isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError)
        reason = why_not_opened(opening, error) if opening else str(error) or type(error).__name__
        return cls(reason, lasting=no_database or isinstance(error, _PG_LASTING))


def is_away(error: BaseException) -> bool:
    """Whether `error` tells of the database's state rather than of what it was asked."""
    if isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError | sqlite3.DataError):
        return False
    return isinstance(error, (DatabaseAway, sqlite3.Error, OSError, TimeoutError, *_PG_AWAY)) or (
        # aiosqlite says so when its thread is gone.
        isinstance(error, ValueError) and "no active connection" in str(error)
    )
