"""The command line: what each command prints, and that what goes wrong is one line and an exit status."""

from __future__ import annotations

import errno
import importlib.metadata
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from hub.spool import Spool
from tests.commands import Command, Done
from tests.hub_process import Start
from tests.processes import PATIENCE_SECONDS, free_port, start_process, wait_until
from tests.servers import ROOT, HubProcess, Postgres

PASSWORD = "correct horse battery"


@pytest.fixture
def hub(tmp_path: Path, migrated_sqlite_url: str) -> HubProcess:
    """A hub that is not running, on a database with the current schema."""
    return HubProcess(tmp_path, migrated_sqlite_url)


def assert_refused(done: Done, status: int, *words: str) -> None:
    """Check that a command failed with this status, nothing on stdout, and one line with these words on stderr."""
    assert done.returncode == status, done.stderr
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.endswith("\n")
    assert done.stderr.startswith("glimpse: ")
    assert done.stderr[:-1].isprintable()
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr


# Accounts and tokens


def test_account_and_token_made_by_commands_work_over_the_api(hub: HubProcess) -> None:
    done = hub.command(
        *("user", "add", "Sender@example.com", "--name", "Sender", "--admin", "--password-stdin"),
        typed=PASSWORD + "\n",
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "Sender@example.com" in done.stdout
    made = hub.command("token", "create", "SENDER@example.com", "--name", "plugin")
    assert (made.returncode, made.stderr) == (0, "")
    assert re.fullmatch(r"glimpse_[A-Za-z0-9_-]{43}\n", made.stdout), "the token is alone on stdout"
    token = made.stdout.strip()
    kept = b"".join(path.read_bytes() for path in hub.directory.glob("hub.db*"))
    assert token.encode() not in kept
    assert PASSWORD.encode() not in kept
    with hub.start():
        api = f"{hub.base_url}/api/v1"
        who = {"email": "sender@example.com", "password": PASSWORD}
        login = httpx.post(f"{api}/session", json=who, timeout=PATIENCE_SECONDS, verify=False)
        assert login.status_code == 200
        assert (login.json()["name"], login.json()["role"]) == ("Sender", "admin")
        bearer = {"authorization": f"Bearer {token}"}
        listed = httpx.get(f"{api}/tokens", headers=bearer, timeout=PATIENCE_SECONDS, verify=False)
        assert [each["name"] for each in listed.json()["items"]] == ["plugin"]


@pytest.mark.parametrize(
    ("arguments", "typed", "words"),
    [
        (["user", "add"], "", ["EMAIL"]),
        (["user", "add", "sender@example.com"], "", ["--name"]),
        (["user", "add", "nobody", "--name", "N", "--password-stdin"], PASSWORD, ["nobody", "mail address"]),
        (["user", "add", "@example.com", "--name", "N", "--password-stdin"], PASSWORD, ["mail address"]),
        (["user", "add", "a b@example.com", "--name", "N", "--password-stdin"], PASSWORD, ["mail address"]),
        (["user", "add", "a@example.com", "--name", "", "--password-stdin"], PASSWORD, ["--name"]),
        (["user", "add", "a@example.com", "--name", "x\ny", "--password-stdin"], PASSWORD, ["--name"]),
        (["user", "add", "a@example.com", "--name", "N", "--password-stdin"], "short\n", ["password", "8"]),
        (["user", "password", "a@example.com"], PASSWORD, ["--password-stdin"]),
        (["user", "password", "\udcff", "--password-stdin"], PASSWORD, ["mail address"]),
        (["token", "create", "a@example.com"], "", ["--name"]),
        (["token", "create", "a@example.com", "--name", " "], "", ["--name"]),
        (["nothing"], "", ["nothing"]),
        (["--nothing"], "", ["--nothing"]),
        (["serve", "--port", "x"], "", ["--port"]),
        (["serve", "--port", "65536"], "", ["--port"]),
        (["serve", "--workers", "0"], "", ["--workers"]),
        (["explain", "--ip", "192.0.2.1"], "", ["--user-agent"]),
        (["explain", "--user-agent", "x", "--ip", "nowhere"], "", ["nowhere", "address"]),
        (["explain", "--user-agent", "x", "--ip", "192.0.2.1", "--header", "nothing"], "", ["--header", "nothing"]),
        (["explain", "--user-agent", "x", "--ip", "192.0.2.1", "--after-send", "soon"], "", ["--after-send"]),
        (["explain", "--user-agent", "x", "--ip", "192.0.2.1", "--after-send", "nan"], "", ["--after-send"]),
        (["explain", "--user-agent", "x", "--ip", "192.0.2.1", "--after-send", "-1e300"], "", ["--after-send"]),
        (["explain", "--user-agent", "x", "--ip", "192.0.2.1", "--method", "G T"], "", ["--method"]),
        (["explain", "--user-agent", "x", "--ip", "192.0.2.1", "--header", "a b: c"], "", ["--header", "a b"]),
        ([], "", ["say what to do: data, demo, explain, migrate, serve, token, user", "glimpse --help"]),
        (["data"], "", ["say what to do: status, update", "glimpse data --help"]),
        (["user"], "", ["say what to do: add, password", "glimpse user --help"]),
        (["token"], "", ["say what to do: create", "glimpse token --help"]),
        (["data", "nothing"], "", ["nothing", "glimpse data --help"]),
        (["user", "add", "\udcff@example.com", "--name", "N", "--password-stdin"], PASSWORD, ["mail address"]),
        (["token", "create", "\udcff", "--name", "N"], "", ["mail address"]),
        (["user", "add", "\x1b[31m@", "--name", "N", "--password-stdin"], PASSWORD, ["mail address"]),
    ],
)
def test_bad_usage_is_one_line_and_status_2(
    command: Command, arguments: list[str], typed: str, words: list[str]
) -> None:
    assert_refused(command(*arguments, typed=typed), 2, *words)


@pytest.mark.parametrize("arguments", [["--help"], ["serve", "--help"], ["user", "add", "-h"], ["explain", "--help"]])
def test_help_is_on_stdout(command: Command, arguments: list[str]) -> None:
    done = command(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Usage:" in done.stdout


def test_version_is_that_of_what_is_installed(command: Command) -> None:
    assert command("--version").stdout == f"glimpse {importlib.metadata.version('glimpse-hub')}\n"


def test_account_that_is_there_already_is_a_failure(command: Command) -> None:
    more = ["--name", "Sender", "--password-stdin"]
    assert command("user", "add", "sender@example.com", *more, typed=PASSWORD).returncode == 0
    again = command("user", "add", "SENDER@example.com", *more, typed=PASSWORD)
    assert_refused(again, 1, "SENDER@example.com", "already", "user password")


def test_password_that_was_forgotten_is_replaced(command: Command) -> None:
    more = ("--name", "Sender", "--password-stdin")
    assert command("user", "add", "sender@example.com", *more, typed=PASSWORD).returncode == 0
    done = command("user", "password", "Sender@example.com", "--password-stdin", typed="another password\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "Sender@example.com can log in with the new password now; sessions of the old one are over\n"


@pytest.mark.parametrize("act", [("token", "create", "--name", "x"), ("user", "password", "--password-stdin")])
def test_account_that_is_not_there_is_a_failure(command: Command, act: tuple[str, ...]) -> None:
    assert_refused(command(*act, "nobody@example.com", typed=PASSWORD), 1, "nobody@example.com", "no file", "user add")
    assert command("migrate").returncode == 0
    assert_refused(command(*act, "nobody@example.com", typed=PASSWORD), 1, "nobody@example.com", "user add")


def test_token_where_there_is_no_database_makes_none(command: Command, tmp_path: Path) -> None:
    missing = tmp_path / "missing.db"
    done = command("token", "create", "a@example.com", "--name", "x", DATABASE_URL=f"sqlite:///{missing}")
    assert_refused(done, 1, "a@example.com", str(missing))
    assert not missing.exists()


# The environment


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "mysql://localhost/x"),
        ("DATABASE_URL", "sqlite:///%00"),
        ("DATABASE_URL", f"sqlite:////{'x/' * 2500}hub.db"),
        ("REDIS_URL", "http://localhost"),
        ("REDIS_URL", "redis://localhost:notaport"),
        ("REDIS_URL", "redis://[bad"),
        ("REDIS_URL", "redis://localhost?socket_timeout=soon"),
        ("REDIS_URL", "redis://localhost?no_such_option=1"),
        ("PORT", "many"),
        ("WEB_CONCURRENCY", "-1"),
        ("HUB_PUBLIC_URL", "hub.example.com"),
        ("HUB_SECRET_KEY", "short"),
        ("HUB_TRUSTED_PROXIES", "everybody"),
        ("HUB_GEOIP_DB", "/nowhere/at-all.mmdb"),
        ("HUB_GEOIP_DB", __file__),
        ("HUB_GEOIP_DB", "/"),
        ("HUB_GEOIP_DB", "x" * 300),
        ("HUB_DATA_DIR", f"{__file__}/data"),
        ("HUB_DATA_DIR", "x" * 300),
        ("HUB_SECRET_KEY", "\udcff" * 20),
        ("HUB_SPOOL_DIR", __file__),
        ("HUB_REPEAT_SECONDS", "soon"),
        ("HUB_LOG_LEVEL", "loud"),
        ("HUB_REDIS_INSECURE_TLS", "perhaps"),
    ],
)
def test_variable_that_is_wrong_stops_the_start_and_is_named(command: Command, name: str, value: str) -> None:
    assert_refused(command("serve", "--port", "1", **{name: value}), 1, name)


@pytest.mark.parametrize("arguments", [["data", "status"], ["explain", "--user-agent", "x", "--ip", "192.0.2.1"]])
@pytest.mark.parametrize(("name", "value"), [("HUB_GEOIP_DB", __file__), ("HUB_DATA_DIR", __file__)])
def test_data_set_that_was_named_and_cannot_be_used_is_refused(
    command: Command, arguments: list[str], name: str, value: str
) -> None:
    assert_refused(command(*arguments, **{name: value}), 1, name)


def test_data_set_that_broke_by_itself_is_no_failure(command: Command, tmp_path: Path) -> None:
    (tmp_path / "dbip-city-lite.mmdb").write_text("no places")
    done = command("data", "status", HUB_DATA_DIR=str(tmp_path))
    assert (done.returncode, "not a database" in " ".join(done.stdout.split())) == (0, True)


def test_data_update_into_a_folder_that_cannot_be_is_refused_before_anything_is_fetched(command: Command) -> None:
    assert_refused(command("data", "update", HUB_DATA_DIR=f"{__file__}/data"), 1, "HUB_DATA_DIR")


def test_demo_refuses_port_0(command: Command) -> None:
    assert_refused(command("demo", PORT="0"), 1, "PORT", "--port")


def test_defect_is_one_line_too(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise KeyError("first\nsecond")

    monkeypatch.setattr("hub.tracking.explain.explain", fails)
    done = command("explain", "--user-agent", "x", "--ip", "192.0.2.1")
    assert_refused(done, 1, "KeyError", "HUB_LOG_LEVEL=debug")


def test_spool_that_cannot_be_written_stops_the_start_and_is_named(command: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert_refused(command("serve", HUB_SPOOL_DIR=str(tmp_path / "file" / "spool")), 1, "HUB_SPOOL_DIR")


def test_database_beside_which_nothing_can_be_written_is_named(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Spool) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", ".06h1uilkkhp537d97lo5als2ok.probe")

    monkeypatch.setattr(Spool, "make_folder", refuse)
    beside = {"HUB_SPOOL_DIR": "", "DATABASE_URL": "sqlite:///hub.db"}
    assert_refused(command("serve", **beside), 1, "HUB_SPOOL_DIR", "Permission denied")
    monkeypatch.setattr(os, "access", lambda *_: False)
    done = command("serve", **beside)
    assert_refused(done, 1, "DATABASE_URL", "Permission denied")
    assert ".probe" not in done.stderr
    assert_refused(command("serve", HUB_SPOOL_DIR="/elsewhere"), 1, "HUB_SPOOL_DIR", "Permission denied")


def test_several_processes_on_an_in_process_bus_are_refused(command: Command) -> None:
    for done in (command("serve", "--workers", "2"), command("serve", WEB_CONCURRENCY="2")):
        assert_refused(done, 1, "REDIS_URL", "WEB_CONCURRENCY", "--workers")


def test_database_that_cannot_be_reached_is_a_failure_that_says_so(command: Command) -> None:
    secret = "very-secret-password"
    url = f"postgres://hub:{secret}@127.0.0.1:{free_port()}/hub"
    for arguments in (["migrate"], ["serve", "--port", "0"], ["token", "create", "a@example.com", "--name", "x"]):
        done = command(*arguments, DATABASE_URL=url)
        assert_refused(done, 1, "DATABASE_URL", "start the server")
        assert secret not in done.stderr


def test_folder_of_the_database_that_is_not_there_is_a_failure_that_says_so(command: Command, tmp_path: Path) -> None:
    for name in ("migrate", "serve"):
        done = command(name, DATABASE_URL=f"sqlite:///{tmp_path}/nowhere/hub.db")
        assert_refused(done, 1, "DATABASE_URL", "there is no folder", "make it")
        assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host", "", "x\ny", "a" * 300, "ü..x"])
def test_host_that_is_no_address_of_ours_is_a_failure_that_says_so(command: Command, host: str) -> None:
    assert_refused(command("serve", "--port", "0", "--host", host), 1, "--host")


def test_port_that_is_taken_is_a_failure_that_says_so(hub: HubProcess) -> None:
    with hub.start():
        assert_refused(hub.command("serve", "--port", str(hub.port)), 1, str(hub.port))


# Migrating and serving


def test_migrate_says_where_the_database_is_and_shows_no_password(postgres: Postgres, tmp_path: Path) -> None:
    with postgres.database() as name:
        url = postgres.url(name).replace("postgresql://postgres@", "postgres://postgres:very-secret@")
        hub = HubProcess(tmp_path, url)
        for _ in range(2):
            done = hub.command("migrate")
            assert (done.returncode, done.stderr) == (0, "")
            assert name in done.stdout
            assert "very-secret" not in done.stdout


def test_serve_refuses_a_database_that_somebody_has_to_migrate(postgresql_url: str, tmp_path: Path) -> None:
    hub = HubProcess(tmp_path, postgresql_url)
    assert_refused(hub.command("serve", "--port", str(hub.port)), 1, "glimpse migrate")


def test_serve_migrates_an_embedded_database_and_says_how_to_make_the_first_account(
    sqlite_url: str, start_hub: Start
) -> None:
    hub = start_hub(sqlite_url)
    wait_until(lambda: hub.base_url in hub.output())
    assert hub.output().count("glimpse user add EMAIL --name NAME") == 1
    hub.add_user("sender@example.com", "Sender", PASSWORD)
    assert hub.terminate() == 0
    hub.log.unlink()
    hub.start()
    assert "user add" not in hub.output()


def test_serve_takes_its_port_from_the_option_then_from_the_environment(hub: HubProcess) -> None:
    other = free_port()
    hub.environ["PORT"] = str(other)
    with hub.start():
        assert hub.ready()
    command = [sys.executable, "-m", "hub", "serve"]
    process = start_process(
        command, cwd=hub.directory, env=hub.environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        hub.port = other
        wait_until(hub.ready, what="ready at the port of the environment")
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_SECONDS) == 0


def test_command_is_installed_under_its_name() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    assert 'glimpse = "hub.__main__:main"' in project
