"""The command line.

Promise: an error is one line on stderr that says what to do, with exit status 2 for bad usage and 1 for a
failure; never a traceback. On stdout there is nothing but what a program may want to read.

What not every command needs is imported where it is needed: it takes most of a short command's time.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, cast

import click

from hub import __version__
from hub.config import Config, ConfigError
from hub.logs import configure_logging
from hub.model import DAY_MS, now
from hub.output import put
from hub.signals import interrupting
from hub.store.away import DatabaseAway
from hub.store.urls import sqlite_path, without_password
from hub.tracking.datasets import Datasets, make_folder

if TYPE_CHECKING:
    from hub.store.database import Database

T = TypeVar("T")

logger = logging.getLogger(__name__)


class Failure(click.ClickException):
    """What could not be done; its message is the one line that is shown."""

    exit_code = 1


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="glimpse", message="%(prog)s %(version)s")
def cli() -> None:
    """Glimpse: a real-time notification hub for email opens.

    Its settings are variables of the environment, DATABASE_URL first: docs/protocol.md names them all.
    """


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
    from hub.api.auth import TOKEN_PREFIX, new_secret
    from hub.demo import Terminal
    from hub.listening import address
    from hub.preparation import prepare

    port = _config().port if port is None else port
    if not port:
        raise ConfigError("PORT is 0: the demo needs one from 1 to 65535, there or in --port")
    with tempfile.TemporaryDirectory(prefix="glimpse-demo-") as folder:
        config = Config(
            port=port,
            database_url=f"sqlite:///{folder}/demo.db",
            spool_dir=Path(folder, "spool"),
            data_dir=Path(folder, "data"),
            log_level="warning",
        )
        password, token = new_secret()[:12], new_secret(TOKEN_PREFIX)
        asyncio.run(prepare(config))
        asyncio.run(_with_database(config, lambda database: _demo_account(database, password, token)))
        terminal = Terminal(address(host, port), password, token)
        with terminal.shown() as serving:
            _serve(config, host, serving)


@cli.command()
def migrate() -> None:
    """Bring the database to the current schema."""
    from hub.store.migrate import migrate as run_migrations

    config = _config()
    revision = asyncio.run(run_migrations(config.database_url))
    click.echo(f"{without_password(config.database_url)} is at revision {revision}")


@cli.group()
def user() -> None:
    """Senders' accounts."""


_password_stdin = click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")


@user.command("add")
@click.argument("email")
@click.option("--name", required=True, help="What the sender is called.")
@click.option("--admin", is_flag=True, help="May read /metrics from anywhere.")
@_password_stdin
def add_account(email: str, name: str, admin: bool, password_stdin: bool) -> None:
    """Make an account for EMAIL."""
    from hub.accounts import add_user
    from hub.api.asked import MOST_ADDRESS, is_mail_address
    from hub.new_password import read_new_password
    from hub.preparation import prepare

    if not is_mail_address(email) or len(email) > MOST_ADDRESS:
        raise click.UsageError(f"{email[:80]!r} is not a mail address like name@example.com")
    _check_name(name)
    password = read_new_password(password_stdin)
    config = _config()
    role = "admin" if admin else "user"
    asyncio.run(prepare(config))
    asyncio.run(_with_database(config, lambda database: add_user(database, email, name, role, password)))
    click.echo(f"{email} can log in now, to the hub on {without_password(config.database_url)}")


@user.command("password")
@click.argument("email")
@_password_stdin
def change_password(email: str, password_stdin: bool) -> None:
    """Give EMAIL's account a new password, and end its sessions."""
    from hub.accounts import set_password
    from hub.new_password import read_new_password

    password = read_new_password(password_stdin)
    _for_account(email, lambda database: set_password(database, email, password))
    click.echo(f"{email} can log in with the new password now; sessions of the old one are over")


@cli.group()
def token() -> None:
    """API tokens, for plugins."""


@token.command("create")
@click.argument("email")
@click.option("--name", required=True, help="What the token is for.")
def new_token(email: str, name: str) -> None:
    """Print a new API token of EMAIL's. It is shown this once."""
    from hub.accounts import create_token

    _check_name(name)
    if sys.stdout is None:
        raise Failure("the token is shown this once, on stdout, which is closed: run this with stdout open")
    made = _for_account(email, lambda database: create_token(database, email, name))
    try:
        click.echo(made)
    except OSError as error:
        # It is kept, and nobody has it. The usual line would not say so.
        raise Failure(
            f"the token was made but not printed ({error.strerror}): delete {name!r} from your tokens, and make another"
        ) from None


@cli.command()
@click.option("--user-agent", required=True, help="The hit's User-Agent; may be empty.")
@click.option("--ip", required=True, help="The client's address.")
@click.option("--method", default="GET", show_default=True, help="The request's method.")
@click.option("--header", "headers", multiple=True, metavar="'K: V'", help="Another header of the request.")
@click.option("--after-send", type=float, metavar="SECONDS", help="Time since the message was sent.")
def explain(user_agent: str, ip: str, method: str, headers: tuple[str, ...], after_send: float | None) -> None:
    """Print the verdict on a hit, as JSON."""
    from hub.tracking.explain import NoSuchHit
    from hub.tracking.explain import explain as explain_hit

    config = _config()
    try:
        verdict = explain_hit(
            user_agent=user_agent,
            ip=_address(ip),
            method=method,
            headers=[_header(header) for header in headers],
            after_send_seconds=after_send,
            data=Datasets.load(config.data_dir, config.geoip_db),
        )
    except NoSuchHit as error:
        raise click.UsageError(str(error)) from None
    click.echo(json.dumps(verdict, indent=2, ensure_ascii=False))


@cli.group()
def data() -> None:
    """The data sets on places and networks."""


@data.command("update")
def update_data() -> None:
    """Fetch the data sets from their publishers."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    from hub.tracking.datasets_update import update

    config = _config()
    make_folder(config.data_dir)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    console = Console(stderr=True)
    # Without a terminal, even a bar that is not drawn would leave an empty line.
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
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
    """Run a command, and turn what goes wrong into one line and an exit status."""
    try:
        cli.main(standalone_mode=False)
    except click.exceptions.Abort:
        _end("stopped", 130)
    except KeyboardInterrupt:
        sys.exit(130)
    except click.exceptions.NoArgsIsHelpError as error:
        _end(_what_there_is(error), error.exit_code)
    except click.UsageError as error:
        hint = f" (see {error.ctx.command_path} --help)" if error.ctx else ""
        _end(error.format_message() + hint, error.exit_code)
    except click.ClickException as error:
        _end(error.format_message(), error.exit_code)
    except DatabaseAway as error:
        known = "DATABASE_URL" in str(error)
        _end(str(error) if known else f"the database that DATABASE_URL names cannot be used: {error}", 1)
    except (ConfigError, OSError) as error:
        _end(str(error), 1)
    except Exception as error:
        logger.debug("a command failed", exc_info=True)
        _end(f"this is a defect of Glimpse's, HUB_LOG_LEVEL=debug tells where: {type(error).__name__}: {error}", 1)


def _end(text: str, status: int) -> NoReturn:
    """Print `text` on stderr, as one line of printable characters only, and exit."""
    line = " ".join(text.split())
    click.echo(f"glimpse: {''.join(each if each.isprintable() else '?' for each in line)}", err=True)
    put(sys.stdout)
    sys.exit(status)


def _what_there_is(error: click.exceptions.NoArgsIsHelpError) -> str:
    group = cast(click.Group, error.ctx.command)
    return f"say what to do: {', '.join(group.list_commands(error.ctx))} (see {error.ctx.command_path} --help)"


def _config() -> Config:
    config = Config.from_environ()
    if config.log_level == "debug":
        configure_logging(config)
    return config


def _serve(config: Config, host: str, serving: Callable[[], None] = lambda: None) -> None:
    try:
        with interrupting():
            status = _serving(config, host, serving)
    except KeyboardInterrupt:
        status = 0
    sys.exit(status)


def _serving(config: Config, host: str, serving: Callable[[], None]) -> int:
    from hub.app import create_app
    from hub.server import serve as run_server
    from hub.spool import Spool
    from hub.store.database import require_folder
    from hub.store.remedies import why_not_opened

    # Mistakes that can be known beforehand are reported before anything is made or migrated.
    require_folder(config.database_url)
    if config.redis_url is not None:
        from hub.live.redis_bus import RedisBackend

        RedisBackend(config.redis_url)
    try:
        Spool(config.spool_dir).make_folder()
    except OSError as error:
        beside = config.embedded and config.spool_dir.parent == Path(sqlite_path(config.database_url)).parent
        if beside and not os.access(config.spool_dir.parent, os.W_OK):
            # The database could not be written there either, so blame its address: the spool's default follows it.
            # Without the name of the file that was tried: it is none that anybody has heard of.
            raise DatabaseAway(why_not_opened(config.database_url, error.strerror or str(error))) from None
        reason = f"HUB_SPOOL_DIR {str(config.spool_dir)[:120]!r} cannot be written: {error.strerror}"
        raise ConfigError(f"{reason}; set it to a folder that can") from None
    return run_server(create_app, config, host=host, serving=serving)


def _for_account(email: str, work: Callable[[Database], Coroutine[Any, Any, T]]) -> T:
    """Do `work` on the database that the account of `email` is in. A file that is not there is not made."""
    from hub.preparation import prepare
    from hub.store.database import require_folder

    if not email.isprintable():
        raise click.UsageError(f"{email[:80]!r} is not a mail address like name@example.com")
    config = _config()
    require_folder(config.database_url)
    if config.embedded and not Path(sqlite_path(config.database_url)).exists():
        # Making it would lead to the same answer, and leave behind the database of a hub that nobody runs.
        nobody = f"there is no account for {email}, for there is no file {sqlite_path(config.database_url)[:160]!r}"
        raise Failure(f"{nobody}: go to the hub's folder, set DATABASE_URL, or make one with `glimpse user add`")
    asyncio.run(prepare(config))
    return asyncio.run(_with_database(config, work))


async def _with_database(config: Config, work: Callable[[Database], Coroutine[Any, Any, T]]) -> T:
    from hub.accounts import AccountError
    from hub.store.database import Database

    database = Database(config.database_url)
    await database.connect()
    try:
        return await work(database)
    except AccountError as error:
        raise Failure(str(error)) from None
    finally:
        await database.disconnect()


async def _demo_account(database: Database, password: str, token: str) -> None:
    from hub.accounts import add_user, create_token
    from hub.demo import EMAIL

    await add_user(database, EMAIL, "Demo Sender", "user", password)
    await create_token(database, EMAIL, "the demo's own", token)


def _check_name(name: str) -> None:
    from hub.api.asked import MOST_NAME, is_name

    if not is_name(name):
        raise click.UsageError(f"--name needs 1 to {MOST_NAME} printable characters")


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
    from rich.console import Console
    from rich.table import Table

    table = Table("data set", "state", "age", "entries")
    table.add_column("file", overflow="fold")  # Cut off, a name would not say where the file is.
    for status in Datasets.load(config.data_dir, config.geoip_db).status():
        state = "not there" if not status.present else status.problem or "in use"
        days = 0 if status.at is None else max(0, now() - status.at) // DAY_MS
        age = "" if status.at is None else f"{days} day{'' if days == 1 else 's'}"
        table.add_row(status.name, state, age, f"{status.entries:,}" if status.entries else "", str(status.path))
    Console().print(table)
