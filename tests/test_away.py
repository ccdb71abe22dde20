"""Away: which errors say that the database cannot do its work now, and which are about what it was asked."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

import asyncpg
import pytest

from hub.store.away import DatabaseAway, RowLocked, away, is_about_what_was_asked, is_away
from tests.notes import ODD_TEXTS

URL = "postgresql://hub:a-secret@db.example.com/hub"


def kinds(*bases: type[Exception]) -> list[type[Exception]]:
    """The errors of these kinds that asyncpg tells apart."""
    named = [each for each in vars(asyncpg).values() if isinstance(each, type) and issubclass(each, bases)]
    return sorted(set(named), key=lambda each: each.__name__)


@pytest.mark.parametrize("text", ODD_TEXTS)
async def test_is_away_is_false_for_a_wrong_question(text: str) -> None:
    assert not is_away(ValueError(text))
    assert not is_away(sqlite3.IntegrityError(text))


@pytest.mark.parametrize(
    "error",
    [sqlite3.OperationalError("database is locked"), ConnectionResetError(), TimeoutError(), OSError("disk full")],
)
def test_is_away_is_true_for_trouble_of_the_database(error: Exception) -> None:
    assert is_away(error)


@pytest.mark.parametrize("made", [away, DatabaseAway.because])
def test_database_that_does_not_answer_is_said_not_to(made: Callable[[Exception], DatabaseAway]) -> None:
    assert str(made(TimeoutError())) == "it does not answer"
    assert str(made(ConnectionResetError())) == "ConnectionResetError"
    assert str(made(OSError("disk full"))) == "disk full"


@pytest.mark.parametrize(
    ("error", "about"),
    [
        (asyncpg.NumericValueOutOfRangeError("out of range"), True),
        (asyncpg.ForeignKeyViolationError("no such message"), True),
        (asyncpg.NotNullViolationError("a newer column"), False),
        (asyncpg.UniqueViolationError("a sequence"), False),
        (asyncpg.RaiseError("in maintenance"), False),
        (asyncpg.ProgramLimitExceededError("too complex"), False),
        (asyncpg.InterfaceError("the connection is closed"), False),
        (sqlite3.IntegrityError("of no error code"), False),
        (sqlite3.ProgrammingError("Cannot operate on a closed database."), False),
        (sqlite3.DataError("string or blob too big"), True),
        (ValueError("no active connection"), False),
        (OSError("disk full"), False),
        (MemoryError(), False),
        (OverflowError("a fault of our own"), True),
    ],
)
def test_is_about_what_was_asked_is_true_only_for_errors_that_would_come_again(error: Exception, about: bool) -> None:
    assert is_about_what_was_asked(error) is about


@pytest.mark.parametrize("kind", kinds(asyncpg.IntegrityConstraintViolationError, asyncpg.DataError))
def test_value_that_breaks_a_rule_or_does_not_fit_is_never_the_database_being_away(kind: type[Exception]) -> None:
    assert not is_away(kind("of a value"))


@pytest.mark.parametrize(
    "kind",
    [
        *kinds(asyncpg.PostgresConnectionError, asyncpg.OperatorInterventionError, asyncpg.TransactionRollbackError),
        *kinds(asyncpg.InsufficientResourcesError, asyncpg.PostgresSystemError, asyncpg.InternalServerError),
        *kinds(asyncpg.InvalidTransactionStateError, asyncpg.InvalidAuthorizationSpecificationError),
        *(asyncpg.ReadOnlySQLTransactionError, asyncpg.LockNotAvailableError, asyncpg.InvalidCatalogNameError),
        asyncpg.InvalidSchemaNameError,
        *(asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError, asyncpg.InsufficientPrivilegeError),
        *(asyncpg.InvalidCachedStatementError, asyncpg.InvalidSQLStatementNameError, asyncpg.InternalClientError),
        *(asyncpg.InterfaceError, asyncpg.ClientConfigurationError),
    ],
)
def test_state_of_the_server_is_the_database_being_away_and_not_about_what_was_asked(kind: type[Exception]) -> None:
    error = kind("of the server")
    assert is_away(error)
    assert not is_about_what_was_asked(error)


@pytest.mark.parametrize("kind", kinds(asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError))
def test_no_error_is_both_of_the_database_and_about_what_was_asked(kind: type[Exception]) -> None:
    error = kind("an error")
    assert not (is_away(error) and is_about_what_was_asked(error))


@pytest.mark.parametrize(
    ("error", "is_of_the_state"),
    [
        (DatabaseAway("gone"), True),
        (RowLocked("locked"), True),
        (sqlite3.DatabaseError("file is not a database"), True),
        (sqlite3.InterfaceError("bad parameter or other API misuse"), True),
        (sqlite3.DataError("string or blob too big"), False),
        (sqlite3.ProgrammingError("Cannot operate on a closed database."), False),
        (ValueError("no active connection"), True),
        (MemoryError(), False),
        (RuntimeError("a fault of our own"), False),
    ],
)
def test_is_away_tells_the_drivers_words_from_our_own_faults(error: Exception, is_of_the_state: bool) -> None:
    assert is_away(error) is is_of_the_state


@pytest.mark.parametrize("error", [RowLocked("the server's words"), asyncpg.LockNotAvailableError("of table users")])
def test_row_that_is_locked_is_told_apart_in_words_that_name_nothing(error: Exception) -> None:
    made = away(error)
    assert isinstance(made, RowLocked)
    assert str(made) == "a row is locked by another session"
    assert not isinstance(away(asyncpg.DeadlockDetectedError("of two")), RowLocked)


@pytest.mark.parametrize(
    ("error", "lasting"),
    [
        (asyncpg.InvalidPasswordError("password authentication failed"), True),
        (asyncpg.InvalidCatalogNameError("there is no such database"), True),
        (sqlite3.DatabaseError("file is not a database"), True),
        (sqlite3.OperationalError("database is locked"), False),
        (asyncpg.CannotConnectNowError("the database system is starting up"), False),
        (ConnectionRefusedError(), False),
        (TimeoutError(), False),
    ],
)
def test_time_alone_mends_all_but_a_wrong_name_password_or_file(error: Exception, lasting: bool) -> None:
    assert DatabaseAway.because(error).lasting is lasting
    opened = DatabaseAway.because(error, URL)
    assert opened.lasting is lasting
    assert "db.example.com" in str(opened)
    assert "a-secret" not in str(opened)


@pytest.mark.parametrize("lasting", [False, True])
def test_because_keeps_what_is_known_already_and_adds_what_to_do(lasting: bool) -> None:
    known = DatabaseAway("gone", lasting=lasting)
    assert DatabaseAway.because(known) is known
    opened = DatabaseAway.because(known, URL)
    assert opened.lasting is lasting
    assert str(opened).startswith("DATABASE_URL is postgresql://")
    assert ": gone; " in str(opened)
