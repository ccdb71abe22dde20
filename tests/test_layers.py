"""The code's structure: imports run downward, the environment is read in one place, files stay short."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from graphlib import TopologicalSorter

import pytest

from tests.servers import ROOT

FLOORS: tuple[tuple[str, ...], ...] = (
    (
        *("hub", "hub.config", "hub.model", "hub.logs", "hub.log_writer", "hub.machine", "hub.output", "hub.signals"),
        *("hub.store", "hub.live", "hub.api", "hub.tracking"),
    ),
    (
        "hub.policy",
        *(f"hub.tracking.{name}" for name in ("address", "token", "snippet", "visit", "classify", "device", "place")),
        *(f"hub.tracking.{name}" for name in ("rules", "rules_*", "datasets", "datasets_*", "explain")),
    ),
    ("hub.wire", "hub.batch"),
    ("hub.store.*", "hub.spool"),
    (
        *(f"hub.live.{name}" for name in ("notices", "bus", "redis_bus", "log_pages", "listener", "connections")),
        *(f"hub.live.{name}" for name in ("allowance", "close_codes", "extension", "frames", "socket")),
    ),
    ("hub.commits", "hub.pipeline", "hub.backlog", "hub.recorder", "hub.actions", "hub.upkeep"),
    ("hub.tracking.pixel", "hub.live.websocket", "hub.live.sse", "hub.api.*"),
    ("hub.app", "hub.front", "hub.preparation"),
    (
        *("hub.server", "hub.listening", "hub.last_resort", "hub.transport", "hub.transport_websocket", "hub.workers"),
        *("hub.demo", "hub.accounts", "hub.new_password"),
    ),
    ("hub.commands",),
    ("hub.__main__",),
)
"""From the ground up: a file imports from its own floor or from those below, never in a circle. A package's
own `__init__` stands on the ground, for it holds a docstring only. A new file has to be given a floor here."""

MOST_LINES = 400
SOURCES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted((ROOT / "hub").rglob("*.py"))
}


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(SOURCES[module].read_text(), str(SOURCES[module]))


def floor_of(module: str) -> int:
    for number, patterns in enumerate(FLOORS):
        if any(fnmatch(module, pattern) for pattern in patterns):
            return number
    raise AssertionError(f"{module} has no floor: give it one in FLOORS")


def imported(module: str) -> Iterator[tuple[int, str]]:
    """The project's own modules that `module` imports anywhere in its text, each with its line."""
    package = module if SOURCES[module].name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(tree(module)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            names = [full if (full := f"{base}.{alias.name}") in SOURCES else base for alias in node.names]
        for name in names:
            if name.partition(".")[0] == "hub":
                yield node.lineno, name  # type: ignore[attr-defined]


def environment_reads(module: ast.Module) -> list[int]:
    """The lines that touch the process's environment."""
    names = {"environ", "environb", "getenv", "getenvb", "putenv", "unsetenv"}
    return [
        node.lineno
        for node in ast.walk(module)
        if (
            (isinstance(node, ast.Attribute) and node.attr in names and isinstance(node.value, ast.Name))
            and node.value.id == "os"
        )
        or (isinstance(node, ast.ImportFrom) and node.module == "os" and names & {each.name for each in node.names})
    ]


@pytest.mark.parametrize("module", SOURCES)
def test_imports_of_a_module_never_run_upward(module: str) -> None:
    own = floor_of(module)
    upward = [f"line {line}: {name}" for line, name in imported(module) if floor_of(name) > own]
    assert not upward, f"{module} imports from a floor above its own"


def test_imports_never_run_in_a_circle() -> None:
    graph = {module: {name for _, name in imported(module)} for module in SOURCES}
    TopologicalSorter(graph).prepare()


def test_floors_name_only_what_exists() -> None:
    unused = [name for floor in FLOORS for name in floor if not any(fnmatch(module, name) for module in SOURCES)]
    assert not unused


@pytest.mark.parametrize("module", SOURCES)
def test_environment_is_read_in_config_only(module: str) -> None:
    assert bool(environment_reads(tree(module))) == (module == "hub.config")


@pytest.mark.parametrize(
    "source",
    [
        "import os\nos.environ['A']",
        "import os\nos.getenv('A')",
        "from os import environ",
        "from os import getenv as g",
        "import os\ndef f():\n    os.environ.get('A')",
    ],
)
def test_environment_reads_of_every_form_are_seen(source: str) -> None:
    assert environment_reads(ast.parse(source))


@pytest.mark.parametrize("module", SOURCES)
def test_module_says_what_it_is_for(module: str) -> None:
    assert ast.get_docstring(tree(module)), f"{module} has no docstring"


@pytest.mark.parametrize("folder", ["hub", "web", "tests", "bench"])
def test_files_stay_short(folder: str) -> None:
    kinds = {".py", ".js", ".css"}
    files = [path for path in (ROOT / folder).rglob("*") if path.suffix in kinds]
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in files}
    assert {name: lines for name, lines in lengths.items() if lines > MOST_LINES} == {}
