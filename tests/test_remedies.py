"""Remedies: each way in which a database cannot be opened says in one line what it is and what to do."""

from __future__ import annotations

import socket
import sqlite3
import ssl
from pathlib import Path

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.store.away import DatabaseAway
from hub.store.database import Database
from hub.store.migrate import migrate
from hub.store.remedies import why_not_opened
from tests.processes import free_port
from tests.servers import Postgres

SERVER = "postgresql://me:hunter2@db.example.com/hub"
FILE = "sqlite:///hub.db"


@pytest.mark.parametrize(
    ("url", "error", "said", "remedy"),
    [
        (SERVER, ConnectionRefusedError(111, "refused"), "no database answers at db.example.com port 5432", "start"),
        (SERVER, TimeoutError(), "no database answers at db.example.com port 5432", "start the server"),
        (SERVER, socket.gaierror(-2, "not known"), "there is no host db.example.com", "correct the host"),
        (SERVER, ssl.SSLError(1, "bad certificate"), "bad certificate", "sslrootcert"),
        (SERVER, ConnectionError("the server rejected SSL upgrade"), "rejected SSL upgrade", "sslmode"),
        (SERVER, asyncpg.InvalidPasswordError("password authentication failed"), "password", "correct the user or"),
        (SERVER, asyncpg.InvalidCatalogNameError('database "hub" does not exist'), "does not exist", "create it"),
        (SERVER, asyncpg.InvalidSchemaNameError("no schema has been selected"), "no schema", "search_path"),
        (SERVER, asyncpg.InsufficientPrivilegeError("permission denied"), "permission denied", "grant"),
        (SERVER, asyncpg.InterfaceError("no root.crt\nHINT:  see there"), "no root.crt;", "correct the address"),
        (SERVER, asyncpg.ReadOnlySQLTransactionError("cannot execute"), "cannot execute", "may be written"),
        (SERVER, asyncpg.TooManyConnectionsError("too many clients"), "too many clients", "close other"),
        (SERVER, asyncpg.DataCorruptedError("bad page\n  here"), "bad page here", "log of the database server"),
        ("postgresql:///hub", FileNotFoundError(2, "none"), "no database answers there", "start"),
        ("postgresql:///hub?host=/run/pg", FileNotFoundError(2, "none"), "answers at /run/pg port 5432", "start"),
        ("postgresql:///hub?host=no.example", socket.gaierror(-2, "not known"), "no host no.example", "the host"),
        (f"{SERVER}?port=5433", ConnectionRefusedError(111, "refused"), "db.example.com port 5433", "start"),
        (FILE, OSError("unable to open database file"), "unable to open", "hub.db and its folder can be written"),
        (FILE, sqlite3.OperationalError("database or disk is full"), "disk is full", "make room"),
        (FILE, sqlite3.OperationalError("disk I/O error"), "disk I/O error", "make room on its disk or"),
        (FILE, OSError("database is locked"), "locked", "stop what holds it"),
        (FILE, ValueError("whatever"), "whatever", "name another file"),
    ],
)
def test_failure_to_open_is_told_with_its_remedy(url: str, error: Exception, said: str, remedy: str) -> None:
    told = why_not_opened(url, error)
    assert told.startswith("DATABASE_URL is ")
    reason, _, advice = told.partition("; ")
    assert said in f"{reason};"
    assert remedy in advice
    assert "\n" not in told
    assert len(told) < 450
    assert "hunter2" not in told


def test_cause_of_an_error_is_told_and_not_the_error_it_led_to() -> None:
    away = DatabaseAway("somehow")
    away.__cause__ = asyncpg.InvalidCatalogNameError("there is none")
    assert "there is none; create it" in why_not_opened(SERVER, away)


async def test_schema_that_is_not_there_is_told_by_a_migration(postgres: Postgres) -> None:
    url = f"{postgres.url('postgres')}?options=-csearch_path%3Dnone"
    with pytest.raises(DatabaseAway, match=r"no schema has been selected .*; create the schema"):
        await migrate(url)


@given(st.from_regex(r"[0-9]{4,20}", fullmatch=True), st.text(st.characters(categories=["L", "Z"]), max_size=200))
def test_password_is_never_repeated(password: str, text: str) -> None:
    for url in (f"postgresql://u:{password}@h/d", f"postgresql://u@h/d?password={password}"):
        assert password not in why_not_opened(url, Exception(f"{text}{password}{text}"))


async def test_server_that_never_answers_is_told_as_one_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub.store.migrate.CONNECT_SECONDS", 0.2)
    monkeypatch.setattr("hub.store.urls.CONNECT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://u@127.0.0.1:{silent.getsockname()[1]}/hub"
        for opening in (migrate(url), Database(url).connect()):
            with pytest.raises(DatabaseAway, match=r"no database answers at 127\.0\.0\.1 port .*; start the server"):
                await opening


async def test_database_that_is_not_there_is_told_by_all_who_open_it(postgres: Postgres, tmp_path: Path) -> None:
    letter = tmp_path / "letter.txt"
    letter.write_text("Dear Glimpse, this is no database. " * 100)
    secret = "very-secret"
    ways = {
        postgres.url("none").replace("postgres@", f"postgres:{secret}@"): "create it",
        postgres.url("postgres").replace("postgres@", f"nobody:{secret}@"): "correct the user",
        f"postgresql://u:{secret}@127.0.0.1:{free_port()}/hub": "start the server",
        postgres.url("postgres") + "?sslmode=require": "correct sslmode",
        f"sqlite:///{tmp_path}": "is a folder; name a file in it",
        f"sqlite:///{tmp_path}/none/hub.db": "there is no folder",
        f"sqlite:///{letter}": "is not a database; name another file",
    }
    for url, told in ways.items():
        for opening in (migrate(url), Database(url).connect()):
            with pytest.raises(DatabaseAway, match=rf"^DATABASE_URL is .*{told}") as caught:
                await opening
            assert secret not in str(caught.value)
            assert caught.value.lasting is not ("start" in told or "sslmode" in told)
