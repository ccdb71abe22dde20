"""What the tests share: real servers, each started once when first asked for, and a fresh database for each test.

Asynchronous tests and fixtures run on asyncio and need no mark. With `CI=true` a skipped test fails the run.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.workermanage import WorkerController

from hub.logs import UVICORN_LOGGER
from hub.model import Message
from tests.factories import Store, open_store
from tests.hub_process import Start
from tests.served_process import Served
from tests.served_process import Start as StartServed
from tests.servers import HubProcess, Postgres, Valkey

pytest_plugins = ("tests.api", "tests.commands")

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
NO_CHROMIUM = (
    "the browser tests need Chromium: install it (on Debian: apt install chromium) or set CHROMIUM to its program"
)
left_out = pytest.StashKey[int]()

DATABASES = ("sqlite", "postgresql")

settings.register_profile("hub", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("hub")


def pytest_configure(config: pytest.Config) -> None:
    """Run coroutine tests without a mark on each of them."""
    config.option.anyio_mode = "auto"


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """In CI nothing may be left out unnoticed."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left_out"] = session.config.stash.get(left_out, 0)
    missing = os.environ.get("CI") == "true" and session.config.stash.get(left_out, 0)
    if exitstatus == pytest.ExitCode.OK and (missing or _skipped_in_ci(session.config)):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: WorkerController) -> None:
    """Note what one of several processes left out; each has collected the same tests."""
    node.config.stash[left_out] = getattr(node, "workeroutput", {}).get("left_out", 0)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was left out, and why a run without a failure failed."""
    if count := terminalreporter.config.stash.get(left_out, 0):
        terminalreporter.write_line(f"{count} browser tests NOT RUN: {NO_CHROMIUM}", red=True)
    if skipped := _skipped_in_ci(terminalreporter.config):
        terminalreporter.write_line(f"{skipped} skipped: in CI every test has to run", red=True)


def _skipped_in_ci(config: pytest.Config) -> int:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") != "true" or reporter is None:
        return 0
    return len(reporter.stats.get("skipped", ()))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Refuse tests that share a name, and leave out what cannot run.

    If tests share a name, several processes run only one of them and tell nobody. Without Chromium the browser tests
    cannot run: they are left out, which is said at the end; in CI they are refused.
    """
    names = Counter(item.nodeid for item in items)
    if several := [name for name, number in names.items() if number > 1]:
        raise pytest.UsageError(f"several tests are called {several[0]}")
    browser = [item for item in items if "browser" in item.path.relative_to(config.rootpath).parts]
    if not browser or _find_chromium():
        return
    # What one of several processes raises here is not shown, so such a run fails at its end.
    if os.environ.get("CI") == "true" and not hasattr(config, "workerinput"):
        raise pytest.UsageError(NO_CHROMIUM)
    items[:] = [item for item in items if item not in browser]
    config.hook.pytest_deselected(items=browser)
    config.stash[left_out] = len(browser)


def _find_chromium() -> str | None:
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)


@pytest.fixture(autouse=True)
def log_as_before() -> Iterator[None]:
    """What a test, or a command that it runs in this process, sets about the log does not outlive it."""
    loggers = [logging.getLogger(name) for name in ("", "hub", UVICORN_LOGGER)]
    before = [(each, each.handlers[:], each.filters[:], each.level) for each in loggers]
    yield
    for logger, handlers, filters, level in before:
        logger.handlers[:], logger.filters[:] = handlers, filters
        logger.setLevel(level)


@pytest.fixture(scope="session")
def chromium() -> str:
    """The program to drive as a browser."""
    program = _find_chromium()
    assert program is not None
    return program


@pytest.fixture(scope="session")
def headless_chromium(chromium: str) -> str:
    """A build of the browser that draws no windows and pop-ups, if there is one: a test takes half as long in it."""
    return os.environ.get("CHROMIUM") or shutil.which("chromium-headless-shell") or chromium


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Asynchronous tests run on asyncio, as the hub does."""
    return "asyncio"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """The PostgreSQL of this run. A test that stops it starts it again."""
    with Postgres() as server:
        yield server


@pytest.fixture(scope="session")
def valkey() -> Iterator[Valkey]:
    """The Valkey of this run. A test that stops it starts it again."""
    with Valkey() as server:
        yield server


@pytest.fixture
def redis_url(valkey: Valkey) -> str:
    """The `REDIS_URL` of a Valkey with nothing in it."""
    valkey.command("FLUSHALL")
    return valkey.url


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of an SQLite database that does not exist yet."""
    return f"sqlite:///{tmp_path / 'hub.db'}"


@pytest.fixture
def postgresql_url(postgres: Postgres) -> Iterator[str]:
    """The URL of an empty PostgreSQL database, dropped after the test."""
    with postgres.database() as name:
        yield postgres.url(name)


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of a database with nothing in it, not even the schema; the test runs on each kind."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite database with the current schema and no rows, to be copied."""
    directory = tmp_path_factory.mktemp("template")
    _migrate(directory, f"sqlite:///{directory / 'hub.db'}")
    return directory / "hub.db"


@pytest.fixture(scope="session")
def postgresql_template(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The name of a PostgreSQL database with the current schema and no rows, to be copied."""
    with postgres.database() as name:
        _migrate(tmp_path_factory.mktemp("template"), postgres.url(name))
        yield name


def _migrate(directory: Path, url: str) -> None:
    done = HubProcess(directory, url).command("migrate")
    assert done.returncode == 0, done.stderr


@pytest.fixture
def migrated_sqlite_url(tmp_path: Path, sqlite_template: Path) -> str:
    """The URL of an SQLite database with the current schema and no rows."""
    shutil.copy(sqlite_template, tmp_path / "hub.db")
    return f"sqlite:///{tmp_path / 'hub.db'}"


@pytest.fixture
def migrated_postgresql_url(postgres: Postgres, postgresql_template: str) -> Iterator[str]:
    """The URL of a PostgreSQL database with the current schema and no rows, dropped after the test."""
    with postgres.database(postgresql_template) as name:
        yield postgres.url(name)


@pytest.fixture(params=DATABASES)
def migrated_url(request: pytest.FixtureRequest) -> str:
    """The URL of a database with the current schema and no rows; the test runs on each kind."""
    url: str = request.getfixturevalue(f"migrated_{request.param}_url")
    return url


@pytest.fixture
def start_hub(tmp_path: Path) -> Iterator[Start]:
    """Starts hubs, `start_hub(database_url, REDIS_URL=…, arguments=(…))`, and ends them after the test.

    Of a test that fails, pytest shows what they said.
    """
    hubs: list[HubProcess] = []

    def start(url: str, arguments: tuple[str, ...] = (), **environ: str) -> HubProcess:
        hub = HubProcess(tmp_path, url, environ, arguments)
        hubs.append(hub)
        return hub.start()

    yield start
    for hub in hubs:
        hub.kill()
        sys.stdout.write(hub.output())


@pytest.fixture
def start(tmp_path: Path) -> Iterator[StartServed]:
    """Starts servers, with the arguments of `Served`, and kills what is left of them after the test."""
    started: list[Served] = []

    def start(*arguments: Any, **options: Any) -> Served:
        started.append(Served(tmp_path, *arguments, **options))
        return started[-1]

    yield start
    for each in started:
        each.kill()


@pytest.fixture
async def store(migrated_url: str) -> AsyncIterator[Store]:
    """Every store on a database with the current schema and no rows; the test runs on each kind."""
    async with open_store(migrated_url) as store:
        yield store


@pytest.fixture
async def embedded(migrated_sqlite_url: str) -> AsyncIterator[Store]:
    """Every store on SQLite alone."""
    async with open_store(migrated_sqlite_url) as store:
        yield store


@pytest.fixture
async def remote(migrated_postgresql_url: str) -> AsyncIterator[Store]:
    """Every store on PostgreSQL alone."""
    async with open_store(migrated_postgresql_url) as store:
        yield store


@pytest.fixture
async def message(store: Store) -> Message:
    """A message that a sender registered, to one reader, sent an hour before `T0`."""
    return await store.message(await store.sender())
