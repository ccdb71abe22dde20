"""Database addresses: what hosts hand out, and what each driver is told."""

from __future__ import annotations

import re
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest

from hub.config import ConfigError
from hub.store.urls import (
    COMMAND_SECONDS,
    CONNECT_SECONDS,
    async_engine_url,
    connect_arguments,
    driver_options,
    driver_url,
    sqlite_path,
    without_password,
)


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///hub.db", "hub.db"),
        ("sqlite:////var/lib/hub/hub.db", "/var/lib/hub/hub.db"),
        ("sqlite:///./a folder/hub.db", "./a folder/hub.db"),
        ("sqlite:///hub.db?mode=rwc", "hub.db"),
        ("sqlite:///my%20hub.db", "my hub.db"),
        ("sqlite:///100%25%3F#1.db", "100%?#1.db"),
    ],
)
def test_sqlite_path_is_the_file(url: str, path: str) -> None:
    assert sqlite_path(url) == path


@pytest.mark.parametrize(
    ("url", "driver", "engine"),
    [
        ("sqlite:///hub.db", "sqlite:///hub.db", "sqlite+aiosqlite:///hub.db"),
        ("sqlite:////var/hub.db?x=1", "sqlite:////var/hub.db", "sqlite+aiosqlite:////var/hub.db"),
        (
            "postgresql://me:p%40ss@db.example.com:5433/hub?sslmode=require",
            "postgresql://me:p%40ss@db.example.com:5433/hub",
            "postgresql+asyncpg://me:p%40ss@db.example.com:5433/hub",
        ),
    ],
)
def test_address_for_a_driver_has_no_query(url: str, driver: str, engine: str) -> None:
    assert driver_url(url) == driver
    assert async_engine_url(url) == engine


@pytest.mark.parametrize(
    ("query", "arguments"),
    [
        ("", {}),
        ("?sslmode=disable", {"ssl": "disable"}),
        ("?sslmode=prefer", {"ssl": "prefer"}),
        ("?sslmode=require", {"ssl": "require"}),
        ("?sslmode=verify-full", {"ssl": "verify-full"}),
        ("?ssl=true", {"ssl": "require"}),
        ("?ssl=false", {"ssl": "disable"}),
        ("?host=/var/run/postgresql&port=5433", {"host": "/var/run/postgresql", "port": 5433}),
        ("?user=me&password=secret&dbname=hub", {"user": "me", "password": "secret", "database": "hub"}),
        ("?target_session_attrs=read-write", {"target_session_attrs": "read-write"}),
        ("?options=-csearch_path%3Dhub", {"server_settings": {"options": "-csearch_path=hub"}}),
        ("?channel_binding=require&pgbouncer=true", {}),
        ("?sslmode=prefer&sslsni=0&sslcompression=0", {"ssl": "prefer"}),
        ("?sslmode=require&application_name=hub", {"ssl": "require"}),
    ],
)
def test_connect_arguments_come_from_the_query(query: str, arguments: dict[str, Any]) -> None:
    assert connect_arguments(f"postgresql://db.example.com/hub{query}") == arguments


@pytest.mark.parametrize(("mode", "names_host"), [("require", False), ("verify-ca", False), ("verify-full", True)])
def test_certificate_is_verified_against_the_given_authority(tmp_path: Path, mode: str, names_host: bool) -> None:
    authority = tmp_path / "ca.pem"
    files = ["-keyout", str(tmp_path / "key.pem"), "-out", str(authority)]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=ca.example.com", *files],
        check=True,
        capture_output=True,
    )
    context = connect_arguments(f"postgresql://db.example.com/hub?sslmode={mode}&sslrootcert={authority}")["ssl"]
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname is names_host
    assert [dict(pair[0] for pair in each["subject"]) for each in context.get_ca_certs()] == [
        {"commonName": "ca.example.com"}
    ]


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("sslmode=perhaps", "sslmode='perhaps'"),
        ("target_session_attrs=master", "target_session_attrs='master': make it one of any, read-write, "),
        ("sslmode=verify-full&sslrootcert=/nowhere/at/all.pem", "sslrootcert='/nowhere/at/all.pem'"),
        (f"sslmode=verify-ca&sslrootcert={__file__}", "sslrootcert="),
        ("port=many", "port='many'"),
        ("sslcert=client.pem&sslkey=client.key", "'sslcert'"),
        ("hostaddr=192.0.2.1", "'hostaddr'"),
        ("sslmod=verify-full", "'sslmod'"),
        ("sslmode=verify-full&sslcrl=revoked.pem", "'sslcrl'"),
    ],
)
def test_query_that_cannot_be_used_is_refused_by_name(query: str, named: str) -> None:
    with pytest.raises(ConfigError, match=f"^DATABASE_URL has {re.escape(named)}"):
        connect_arguments(f"postgresql://me:secret@db.example.com/hub?{query}")


def test_pool_is_small_on_postgresql_and_there_is_none_on_sqlite() -> None:
    options = driver_options("postgresql://db.example.com/hub?sslmode=require", 5)
    assert options == {
        "min_size": 0,
        "max_size": 5,
        "timeout": CONNECT_SECONDS,
        "command_timeout": COMMAND_SECONDS,
        "ssl": "require",
    }
    assert driver_options("sqlite:///hub.db", 5) == {"check_same_thread": False}


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:secret@db.example.com/hub", "postgresql://me:***@db.example.com/hub"),
        ("postgresql://me:s@cret@db.example.com:5433/hub", "postgresql://me:***@db.example.com:5433/hub"),
        ("postgresql://me@db.example.com/hub", "postgresql://me@db.example.com/hub"),
        ("postgresql://me@db.example.com/hub?password=secret", "postgresql://me@db.example.com/hub"),
        (
            "postgresql://me:secret@db.example.com/hub?password=secret&sslmode=require",
            "postgresql://me:***@db.example.com/hub?sslmode=require",
        ),
        ("postgresql://me@db.example.com/hub?sslpassword=s&Password=s", "postgresql://me@db.example.com/hub"),
        ("sqlite:///hub.db", "sqlite:///hub.db"),
    ],
)
def test_address_is_shown_without_its_password(url: str, shown: str) -> None:
    assert without_password(url) == shown
