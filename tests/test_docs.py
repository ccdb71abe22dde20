"""The documents say what the code does: names, numbers, links and the examples in them."""

from __future__ import annotations

import ast
import asyncio
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import get_args, get_type_hints

import click
import httpx
import pytest
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute

from hub.app import create_app
from hub.commands import cli
from hub.config import Config
from hub.live import frames
from hub.live.close_codes import CloseCode
from hub.live.sse import RETRY
from hub.model import DAY_MS, EventType, VerdictName, Withheld
from hub.store.credentials import SESSION_MS
from hub.store.urls import sqlite_path
from hub.tracking.pixel import HEADERS
from tests.hub_process import Start
from tests.processes import PATIENCE_SECONDS, eventually, start_process, wait_until
from tests.servers import ROOT, HubProcess

PROTOCOL = (ROOT / "docs/protocol.md").read_text()
DEPLOY = (ROOT / "docs/deploy.md").read_text()
DESIGN = (ROOT / "docs/design.md").read_text()
README = (ROOT / "README.md").read_text()
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def section(text: str, title: str) -> str:
    """What stands under a heading, up to the next one of its level or above."""
    match = re.search(rf"^(#+) {re.escape(title)}$(.*?)(?=^#{{1,2}} |^\1 |\Z)", text, re.MULTILINE | re.DOTALL)
    assert match, f"there is no section {title!r}"
    return match[2]


def first_cells(text: str) -> list[str]:
    """The first cell of each row of each table in `text`, without the headings' dashes."""
    rows = re.findall(r"^\| *([^|]*?) *\|", text, re.MULTILINE)
    return [cell for cell in rows if cell and not set(cell) <= {"-"}]


def ticked(cells: Iterable[str]) -> set[str]:
    """Every word in back ticks."""
    return {word for cell in cells for word in re.findall(r"`([^`]+)`", cell)}


def environment_of_config() -> set[str]:
    """The names that config.py asks the environment for."""
    calls = [node for node in ast.walk(ast.parse((ROOT / "hub/config.py").read_text())) if isinstance(node, ast.Call)]
    asked = [call.args[0] for call in calls if isinstance(call.func, ast.Name) and call.func.id == "get"]
    return {each.value for each in asked if isinstance(each, ast.Constant) and isinstance(each.value, str)}


def test_environment_is_documented_as_it_is_read() -> None:
    assert ticked(first_cells(section(PROTOCOL, "Environment"))) == environment_of_config()


@pytest.mark.parametrize("name", ["README.md", "docs/deploy.md", "docs/design.md", "docs/protocol.md", "app.json"])
def test_document_names_no_variable_that_is_not_read(name: str) -> None:
    named = set(re.findall(r"\bHUB_[A-Z_]+\b", (ROOT / name).read_text()))
    assert named <= environment_of_config()


def test_environment_defaults_are_documented() -> None:
    config = Config()
    table = section(PROTOCOL, "Environment")
    for default in (config.database_url, config.port, config.workers, config.data_dir, config.repeat_seconds):
        assert f"| `{default}` |" in table
    assert f"`{config.log_level}`" in table


def test_close_codes_are_those_of_the_code() -> None:
    table = {int(cell) for cell in first_cells(section(PROTOCOL, "WebSocket")) if cell.isdigit()}
    assert table == set(CloseCode)


def test_event_types_are_those_of_the_code() -> None:
    cells = ticked(first_cells(section(PROTOCOL, "Events")))
    assert {cell for cell in cells if "." in cell} == set(get_args(EventType))
    assert {cell for cell in cells if "." not in cell} == set(get_args(Withheld))


def test_verdicts_are_those_of_the_code() -> None:
    assert ticked(first_cells(section(PROTOCOL, "Opens"))) == set(get_args(VerdictName))


def test_error_codes_are_those_of_the_code() -> None:
    codes = get_args(get_type_hints(frames.Error)["code"])
    [sentence] = re.findall(r"The error codes are (.*?)\.\n", PROTOCOL, re.DOTALL)
    assert set(codes) == ticked([sentence]) - {"seen"}


def test_kinds_of_problems_are_those_of_the_code() -> None:
    code = "\n".join(path.read_text() for path in (ROOT / "hub").rglob("*.py"))
    kinds = set(re.findall(r"""(?:Problem\(\s*[\w.]+, |\bkind, detail = )"([a-z-]+)\"""", code))
    [sentences] = re.findall(r"`type` ends in (.*?)\n\n", PROTOCOL, re.DOTALL)
    assert kinds == ticked([sentences])


def test_life_of_a_session_is_documented() -> None:
    assert f"A session ends {SESSION_MS // DAY_MS} days after its log-in" in PROTOCOL


def test_wait_of_a_stream_that_ended_is_documented() -> None:
    assert RETRY == b"retry: 2000\n\n"
    assert "after the two seconds that `retry:`" in PROTOCOL


def test_pixel_headers_are_those_of_the_code() -> None:
    written = dict(re.findall(r"^    ([\w-]+): (.*)$", section(PROTOCOL, "The pixel"), re.MULTILINE))
    assert {name.lower(): value for name, value in written.items()} == {
        name.decode(): value.decode() for name, value in HEADERS
    }


def routes(of: Iterable[BaseRoute], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Every method and path that is routed; HEAD comes with each GET and is left out."""
    for route in of:
        if isinstance(route, Mount):
            yield from routes(route.routes, prefix + route.path)
        elif isinstance(route, Route):
            yield from ((method, prefix + route.path) for method in (route.methods or ()) if method != "HEAD")
        elif isinstance(route, WebSocketRoute):
            yield "GET", prefix + route.path


async def test_rest_calls_are_those_that_are_routed(tmp_path: Path) -> None:
    config = replace(Config(), database_url=f"sqlite:///{tmp_path}/hub.db", spool_dir=tmp_path / "spool")
    app = create_app(config)
    async with app.router.lifespan_context(app):
        routed = {(method, path) for method, path in routes(app.routes) if path.startswith("/api/v1")}
    table = [cell.strip("`").split() for cell in first_cells(section(PROTOCOL, "REST")) if re.match("`[A-Z]+ /", cell)]
    assert {(method, f"/api/v1{path}") for method, path in table} == routed


def commands(group: click.Group, prefix: str = "") -> Iterator[str]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}"


def test_commands_are_those_of_the_command_line() -> None:
    written = ticked(first_cells(section(PROTOCOL, "Command line")))
    names = {" ".join(re.findall(r"^python -m hub ((?:[a-z]+ ?)+)", command)).strip() for command in written}
    assert names == set(commands(cli))


def test_help_names_the_document_that_has_every_setting() -> None:
    assert cli.help is not None
    [document] = re.findall(r"docs/[a-z]+\.md", cli.help)
    assert section((ROOT / document).read_text(), "Environment") == section(PROTOCOL, "Environment")


@pytest.mark.parametrize(("name", "command"), [(name, name.split()) for name in commands(cli)])
def test_options_are_those_of_the_command_line(name: str, command: list[str]) -> None:
    group: click.Command = cli
    for word in command:
        assert isinstance(group, click.Group)
        group = group.commands[word]
    options = {option for each in group.params if isinstance(each, click.Option) for option in each.opts}
    [line] = [each for each in ticked(first_cells(section(PROTOCOL, "Command line"))) if f"hub {name}" in each]
    assert set(re.findall(r"--[a-z-]+", line)) == options


def test_design_names_every_module() -> None:
    floors = section(DESIGN, "The house")
    modules = {path.stem for path in (ROOT / "hub").rglob("*.py") if path.stem != "__init__"}
    whole = {path.stem for folder in ("store", "api") for path in (ROOT / "hub" / folder).rglob("*.py")}
    assert modules - whole <= ticked([floors])
    assert {word.rstrip("/") for word in ticked([floors])} >= {"store", "api"}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    text = re.sub(r"^```.*?^```", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("https://", "http://")):
            continue
        path, _, anchor = target.partition("#")
        file = (document.parent / path) if path else document
        assert file.exists(), f"{target} is not there"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in slugs, f"{target} names no heading"


@pytest.fixture
def hub(start_hub: Start, migrated_sqlite_url: str) -> HubProcess:
    hub = start_hub(migrated_sqlite_url)
    hub.add_user("you@example.com", "Your Name", "a long enough password")
    return hub


def test_metrics_are_documented(hub: HubProcess) -> None:
    told = httpx.get(f"{hub.base_url}/metrics", timeout=PATIENCE_SECONDS, verify=False).text
    families = set(re.findall(r"^# TYPE (\w+)", told, re.MULTILINE))
    assert ticked(first_cells(section(DEPLOY, "Watching it"))) == {
        name for name in families if not name.endswith("_created")
    }


def test_readme_token_is_there_for_the_programs_that_are_started() -> None:
    [line] = re.findall(r"^    (.*TOKEN=.*)$", README, re.MULTILINE)
    stand_in = line.replace(".venv/bin/glimpse", "echo glimpse_x")
    shell = subprocess.run(["sh", "-c", f"{stand_in}\nprintenv TOKEN"], capture_output=True, text=True, check=False)
    assert shell.stdout.startswith("glimpse_x")


async def test_readme_examples_register_and_hear_of_an_open(hub: HubProcess, tmp_path: Path) -> None:
    token = hub.create_token("you@example.com")
    [body] = re.findall(r"-d '(.*)'", README)
    bearer = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(
        base_url=hub.base_url, headers=bearer, timeout=PATIENCE_SECONDS, verify=False
    ) as client:
        answer = await client.post("/api/v1/messages", content=body)
        assert answer.status_code == 201
        [code] = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
        program = tmp_path / "listen.py"
        program.write_text(code.replace("127.0.0.1:8000", f"127.0.0.1:{hub.port}"))
        listener = await asyncio.create_subprocess_exec(
            sys.executable, "-u", program, env={"TOKEN": token}, stdout=subprocess.PIPE
        )
        assert listener.stdout is not None
        try:

            async def listening() -> bool:
                metrics = (await client.get("/metrics")).text
                return "glimpse_sockets 1.0" in metrics

            await eventually(listening)
            await client.get(answer.json()["pixels"][0]["url"], headers={"User-Agent": "Thunderbird/128.3.0"})
            async with asyncio.timeout(PATIENCE_SECONDS):
                assert await listener.stdout.readline() == b"lena@customer.example opened Your quote\n"
        finally:
            listener.kill()
            await listener.communicate()


def test_javascript_example_uses_what_the_client_has() -> None:
    [code] = re.findall(r"^```js\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    client, types = (ROOT / "web/client.js").read_text(), (ROOT / "web/client.d.ts").read_text()
    for name in re.findall(r"client\.(\w+)\(", code):
        assert name == "addEventListener" or re.search(rf"^  {name}\(", client, re.MULTILINE)
    for option in ("url", "token", "cursor"):
        assert re.search(rf"^  {option}\??:", types, re.MULTILINE)


def test_types_of_the_client_know_what_it_dispatches() -> None:
    client, types = (ROOT / "web/client.js").read_text(), (ROOT / "web/client.d.ts").read_text()
    [details] = re.findall(r"^export interface Details {\n(.*?)^}", types, re.MULTILINE | re.DOTALL)
    told = re.findall(r"^ \* \| `(\w+)` +\| `{", client, re.MULTILINE)
    assert told
    assert re.findall(r"^  (\w+):", details, re.MULTILINE) == told
    for method in ("addEventListener", "removeEventListener"):
        assert f"  {method}<Type extends keyof Details>(" in types


def test_proxies_are_told_to_keep_no_readers_address() -> None:
    nginx, caddy = section(DEPLOY, "nginx"), section(DEPLOY, "Caddy")
    assert re.search(r"^ +access_log off;\n +error_log \S+ crit;$", nginx, re.MULTILINE)
    assert "exclude http.log.error http.handlers.reverse_proxy" in caddy


def test_data_sets_fetched_as_a_process_starts_leave_no_zombie_under_it(tmp_path: Path) -> None:
    [line] = re.findall(r"^    web: (.*)$", DEPLOY, re.MULTILINE)
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\n[ "$3" = data ] && exec touch fetched\nexec sleep 1000\n')
    python.chmod(0o755)
    environ = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    process = start_process(["/bin/bash", "-c", line], cwd=tmp_path, env=environ)
    try:
        proc = Path(f"/proc/{process.pid}")
        wait_until(lambda: (tmp_path / "fetched").exists() and (proc / "comm").read_text() == "sleep\n")
        wait_until(lambda: (proc / f"task/{process.pid}/children").read_text() == "", what="no process under it")
    finally:
        process.kill()
        process.wait()


def test_app_json_is_one_that_hosts_read() -> None:
    manifest = json.loads((ROOT / "app.json").read_text())
    assert {addon["plan"].partition(":")[0] for addon in manifest["addons"]} == {"heroku-postgresql", "heroku-redis"}
    assert manifest["env"]["HUB_SECRET_KEY"]["generator"] == "secret"
    assert set(manifest["env"]) <= environment_of_config()


def test_changelog_has_a_section_for_what_is_coming() -> None:
    assert "## [Unreleased]" in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.skipif(shutil.which("sqlite3") is None, reason="there is no sqlite3")
def test_back_up_ends_though_hits_are_recorded_meanwhile(tmp_path: Path, migrated_sqlite_url: str) -> None:
    match = re.search(r"`(sqlite3 hub\.db [^`]*)`", section(DEPLOY, "Back-ups, upgrades, keys"))
    assert match
    assert Path(sqlite_path(migrated_sqlite_url)) == tmp_path / "hub.db"
    ended = threading.Event()

    def write() -> None:
        with closing(sqlite3.connect(tmp_path / "hub.db", isolation_level=None)) as writer:
            writer.execute("PRAGMA synchronous=OFF")
            while not ended.wait(0.001):
                writer.execute("INSERT INTO filler VALUES (1)")

    with closing(sqlite3.connect(tmp_path / "hub.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE filler (b BLOB)")
        connection.executemany("INSERT INTO filler VALUES (zeroblob(?))", [(4_000_000,)] * 15)
    writing = threading.Thread(target=write)
    writing.start()
    try:
        subprocess.run(["sh", "-ec", match[1]], cwd=tmp_path, check=True, capture_output=True, timeout=PATIENCE_SECONDS)
    finally:
        ended.set()
        writing.join()
    with closing(sqlite3.connect(tmp_path / "copy.db")) as copy:
        assert copy.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert copy.execute("SELECT count(*) FROM filler").fetchone()[0] >= 15
