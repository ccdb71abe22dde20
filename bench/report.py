"""What was found, as a table for people, as JSON for programs, and as the tables in docs/performance.md.

Promise: every figure on the page comes out of one run's JSON; none is written by hand.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import msgspec
from rich.markup import escape
from rich.table import Table

from bench.figures import BenchError, Figure

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
PAGE = "performance.md"
TITLES = {
    "hits": "1. Durable hits",
    "screen": "2. Hit to screen",
    "idle": "3. Idle sockets",
    "fanout": "4. Fan-out",
    "storm": "5. Reconnect storm",
    "growth": "6. Growth",
}


@dataclass(frozen=True)
class Run:
    """What one run found, and on which day, with which options and on what machine."""

    when: str
    options: str
    machine: dict[str, str]
    figures: list[Figure]


def number(value: float) -> str:
    """A value with three significant digits, or with all digits before the point."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def cells(figure: Figure) -> tuple[str, ...]:
    """A figure as the cells of its line: what, value, ratio, goal, the three kinds of cores, note."""
    ratio = f"{figure.ratio:.2f} of {figure.against}" if figure.ratio is not None else ""
    goal = ""
    if figure.goal is not None:
        wanted = f"{figure.goal:.2f}" if figure.ratio is not None else f"{number(figure.goal)} {figure.unit}"
        goal = f"{'met' if figure.met else 'MISSED'}: {figure.bound} {wanted}"
    cores = tuple("" if each is None else f"{each:.2f}" for each in (figure.server, figure.generator, figure.others))
    return (figure.name, f"{number(figure.value)} {figure.unit}", ratio, goal, *cores, figure.note)


HEAD = ("what", "value", "beside", "goal", "cores", "generator's", "others'", "note")


def table(run: Run) -> Table:
    """The table for a terminal."""
    shown = Table(title="Glimpse, measured", caption=", ".join(f"{name} {what}" for name, what in run.machine.items()))
    for name in HEAD:
        shown.add_column(name, justify="right" if name in ("value", *HEAD[4:7]) else "left")
    for measure in dict.fromkeys(figure.measure for figure in run.figures):
        shown.add_section()
        shown.add_row(TITLES[measure], style="bold")
        for figure in run.figures:
            if figure.measure == measure:
                style = "red" if figure.met is False else None
                shown.add_row(*map(escape, cells(figure)), style=style)
    return shown


def encoded(run: Run) -> bytes:
    """One run as JSON."""
    return msgspec.json.format(msgspec.json.encode(run), indent=2) + b"\n"


def decoded(text: bytes) -> Run:
    """The run in a JSON. Raises `BenchError` if it is not one."""
    try:
        return msgspec.json.decode(text, type=Run)
    except msgspec.MsgspecError as error:
        raise BenchError(f"that is not the JSON of a run: {error}") from None


def markdown(run: Run) -> str:
    """The tables for docs/performance.md, and what they were measured on."""
    command = f"scripts/bench {run.options}".strip()
    lines = [f"Measured on {run.when} with `{command}`, on:", ""]
    lines += [f"* {name}: {what}" for name, what in run.machine.items()]
    for measure in dict.fromkeys(figure.measure for figure in run.figures):
        rows = [HEAD, ("---",) * len(HEAD), *(cells(each) for each in run.figures if each.measure == measure)]
        lines += ["", f"**{TITLES[measure]}**", "", *("| " + " | ".join(row) + " |" for row in rows)]
    return "\n".join(lines)


def inserted(page: str, text: str) -> str:
    """`page` with `text` between its two markers. Raises `BenchError` if they are not there."""
    before, begun, rest = page.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not begun or not ended:
        raise BenchError(f"the page has no {BEGIN} and {END} to put the figures between")
    return f"{before}{BEGIN}\n{text}\n{END}{after}"


def prepare(folder: Path) -> None:
    """Make sure that `save` can write into `folder`. Raises OSError or `BenchError` if it cannot."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass
    if (page := folder / PAGE).exists():
        inserted(page.read_text(encoding="utf-8"), "")


def save(folder: Path, run: Run, picture: str) -> None:
    """Write a run's JSON and picture, and the table into performance.md if `folder` has one."""
    (folder / "performance.json").write_bytes(encoded(run))
    (folder / "performance.svg").write_text(picture, encoding="utf-8")
    page = folder / PAGE
    if page.exists():
        page.write_text(inserted(page.read_text(encoding="utf-8"), markdown(run)), encoding="utf-8")
