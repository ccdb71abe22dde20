"""The command line: `python -m hub …`, installed as `glimpse`.

Promise: an error is one line on stderr that says what to do, with exit status 2 for bad usage and 1 for a
failure; never a traceback. What a program may want to read is alone on stdout.
"""

from __future__ import annotations

import asyncio
import getpass
import ipaddress
import json
import sys
import tempfile
import threading
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn
from rich.table import Table

from hub import demo as demonstration
from hub.accounts import AccountError, add_user, create_token
from hub.api.auth import TOKEN_PREFIX, new_secret
from hub.api.passwords import password_problem
from hub.app import create_app, now
from hub.config import Config, ConfigError
from hub.preparation import prepare
from hub.server import serve as run_server
from hub.spool import Spool
from hub.store.database import Database, DatabaseAway
from hub.store.migrate import migrate as run_migrations
from hub.store.urls import without_password
from hub.tracking.datasets import Datasets
from hub.tracking.datasets_update import update
from hub.tracking.explain import explain as explain_hit

T = TypeVar("T")
DAY_MS = 86_400_000


class Failure(click.ClickException):
    """What could not be done; its message is the one line that is shown."""

    exit_code = 1


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Glimpse: a real-time notification hub for email opens. Its settings are in the environment."""


@cli.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), help="The port; default: PORT, then 8000.")
@click.option("--workers", type=click.IntRange(1, 64), help="Processes; default: WEB_CONCURRENCY, then 1.")
def serve(host: str, port: int | None, workers: int | None) -> None:
    """Serve. An embedded database is migrated first."""
    config = _config()
    config = replace(config, port=config.port if port is None else port, workers=workers or config.workers)
    _serve(config, host)


@cli.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), help="The port; default: PORT, then 8000.")
def demo(host: str, port: int | None) -> None:
    """Serve on a throw-away database, with a demo sender and a live trickle of opens."""
    port = port or _config().port
    with tempfile.TemporaryDirectory(prefix="glimpse-demo-") as folder:
        config = Config(
            port=port,
            database_url=f"sqlite:///{folder}/demo.db",
            spool_dir=Path(folder, "spool"),
            data_dir=Path(folder, "data"),
            log_level="warning",
        )
        password, token = new_secret()[:12], new_secret(TOKEN_PREFIX)
        _run(prepare(config))
        _run(_with_database(config, lambda database: _demo_account(database, password, token)))
        show = demonstration.Terminal(f"http://127.0.0.1:{port}", password, token)
        threading.Thread(target=show.run, name="demo", daemon=True).start()
        _serve(config, host)


@cli.command()
def migrate() -> None:
    """Bring the database to the current schema."""
    config = _config()
    revision = _run(run_migrations(config.database_url))
    click.echo(f"{without_password(config.database_url)} is at revision {revision}")


@cli.group()
def user() -> None:
    """Senders' accounts."""


@user.command("add")
@click.argument("email")
@click.option("--name", required=True, help="What the sender is called.")
@click.option("--admin", is_flag=True, help="May read /metrics from anywhere.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
def add_account(email: str, name: str, admin: bool, password_stdin: bool) -> None:
    """Make an account for EMAIL."""
    local, at, domain = email.rpartition("@")
    if not (at and local and domain) or not email.isprintable() or " " in email or len(email) > 254:
        raise click.UsageError(f"{email[:80]!r} is not a mail address like name@example.com")
    if not name.strip() or not name.isprintable() or len(name) > 200:
        raise click.UsageError("--name needs 1 to 200 printable characters")
    password = sys.stdin.readline().rstrip("\r\n") if password_stdin else _ask_password()
    if problem := password_problem(password):
        raise click.UsageError(f"the password {problem}")
    config = _config()
    role = "admin" if admin else "user"
    _run(prepare(config))
    _run(_with_database(config, lambda database: add_user(database, email, name, role, password)))
    click.echo(f"{email} can log in now")


@cli.group()
def token() -> None:
    """API tokens, for plugins."""


@token.command("create")
@click.argument("email")
@click.option("--name", required=True, help="What the token is for.")
def new_token(email: str, name: str) -> None:
    """Print a new API token of EMAIL's. It is shown this once."""
    if not name.strip() or not name.isprintable() or len(name) > 200:
        raise click.UsageError("--name needs 1 to 200 printable characters")
    config = _config()
    _run(prepare(config))
    click.echo(_run(_with_database(config, lambda database: create_token(database, email, name))))


@cli.command()
@click.option("--user-agent", required=True, help="The hit's User-Agent; may be empty.")
@click.option("--ip", required=True, help="The client's address.")
@click.option("--method", default="GET", show_default=True, help="The request's method.")
@click.option("--header", "headers", multiple=True, metavar="'K: V'", help="Another header of the request.")
@click.option("--after-send", type=float, metavar="SECONDS", help="Time since the message was sent.")
def explain(user_agent: str, ip: str, method: str, headers: tuple[str, ...], after_send: float | None) -> None:
    """Print the verdict on a hit, as JSON."""
    config = _config()
    verdict = explain_hit(
        user_agent=user_agent,
        ip=_address(ip),
        method=method,
        headers=[_header(header) for header in headers],
        after_send_seconds=after_send,
        data=Datasets.load(config.data_dir, config.geoip_db),
    )
    click.echo(json.dumps(verdict, indent=2, ensure_ascii=False))


@cli.group()
def data() -> None:
    """The data sets on places and networks."""


@data.command("update")
def update_data() -> None:
    """Fetch the data sets from their publishers."""
    config = _config()
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        tasks: dict[str, Any] = {}

        def show(name: str, done: int, total: int | None) -> None:
            if name not in tasks:
                tasks[name] = progress.add_task(name)
            progress.update(tasks[name], completed=done, total=total)

        problems = update(config.data_dir, progress=show)
    _print_status(config)
    if problems:
        raise Failure("; ".join(problems))


@data.command("status")
def data_status() -> None:
    """Say which data sets are there and how old they are."""
    _print_status(_config())


def main() -> None:
    """The entry point: run a command, and turn what goes wrong into one line and an exit status."""
    try:
        cli.main(standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("stopped", err=True)
        sys.exit(130)
    except click.ClickException as error:
        click.echo(f"glimpse: {' '.join(error.format_message().split())}", err=True)
        sys.exit(error.exit_code)
    except (ConfigError, AccountError, DatabaseAway, OSError) as error:
        click.echo(f"glimpse: {_one_line(error)}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def _config() -> Config:
    return Config.from_environ()


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return f"the database cannot be used: {text}" if isinstance(error, DatabaseAway) else text


def _run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def _serve(config: Config, host: str) -> None:
    try:
        Spool(config.spool_dir).open()
    except OSError as error:
        raise ConfigError(f"HUB_SPOOL_DIR {str(config.spool_dir)!r} cannot be written: {error.strerror}") from None
    status = run_server(create_app, config, host=host, port=config.port, workers=config.workers)
    sys.exit(status or 0)


async def _with_database(config: Config, work: Callable[[Database], Coroutine[Any, Any, T]]) -> T:
    database = Database(config.database_url)
    await database.connect()
    try:
        return await work(database)
    finally:
        await database.disconnect()


async def _demo_account(database: Database, password: str, token: str) -> None:
    await add_user(database, demonstration.EMAIL, "Demo Sender", "user", password)
    await create_token(database, demonstration.EMAIL, "the demo's own", token)


def _ask_password() -> str:
    if not sys.stdin.isatty():
        raise click.UsageError("there is no terminal to ask on: give the password with --password-stdin")
    password = getpass.getpass("Password: ")
    if password != getpass.getpass("Once more: "):
        raise click.UsageError("the two passwords differ")
    return password


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise click.UsageError(f"--ip {text[:60]!r} is not an address") from None


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise click.UsageError(f"--header {text[:60]!r} is not of the form 'Name: value'")
    return name.strip(), value.strip()


def _print_status(config: Config) -> None:
    table = Table("data set", "state", "age", "entries", "file")
    for status in Datasets.load(config.data_dir, config.geoip_db).status():
        state = "not there" if not status.present else status.problem or "in use"
        age = "" if status.at is None else f"{max(0, now() - status.at) // DAY_MS} days"
        table.add_row(status.name, state, age, f"{status.entries:,}" if status.entries else "", str(status.path))
    Console().print(table)


if __name__ == "__main__":
    main()
