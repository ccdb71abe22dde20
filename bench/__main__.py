"""`python -m bench`, which `scripts/bench` runs: the measures, one after the other, and what they found."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from bench import fanout, growth, hits, hostile, idle, ledger, picture, report, screen, servers, storm
from bench.figures import BenchError, Figure, Setting
from bench.machine import allow_files, facts, in_memory
from tests.servers import ROOT

MEASURES: dict[str, Callable[[Setting], list[Figure]]] = {
    each.NAME: each.measure for each in (hits, screen, idle, fanout, storm, growth)
}
RESULTS = ROOT / "bench" / "results"
WIDE = 200


def main() -> int:
    """Measure what was asked for; the exit status is 1 if a measure could not be made, and 130 if it was ended."""
    asked = _asked()
    if sys.platform != "linux":
        sys.stderr.write("the bench reads /proc and needs epoll: it runs on Linux only\n")
        return 1
    allow_files()
    # Everything goes there: the databases, and the servers' own folders as well.
    tempfile.tempdir = str(asked.temporary) if asked.temporary else None
    # So that nothing is left behind after this signal either.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if asked.ledger:
            return max(ledger.main(["--database", database]) for database in ("sqlite", "postgresql"))
        if asked.hostile:
            return hostile.main([])
        return _run(asked)
    except KeyboardInterrupt:
        sys.stderr.write("ended before it was done: nothing is written\n")
        return 130


def _asked() -> argparse.Namespace:
    """The arguments. What would only fail after all has been measured is refused here."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measure Glimpse beside its yardsticks.")
    parser.add_argument("measures", nargs="*", metavar="MEASURE", help=f"of {', '.join(MEASURES)}; default: all")
    parser.add_argument("--quick", action="store_true", help="short runs: minutes in all, and more noise")
    parser.add_argument("--long", action="store_true", help="growth up to 10 million opens")
    parser.add_argument("--save", type=Path, metavar="FOLDER", help="also write all figures into FOLDER (docs)")
    parser.add_argument("--temporary", type=Path, metavar="FOLDER", help="where all databases are made")
    parser.add_argument(
        "--ledger", action="store_true", help="instead, kill the hub 200 times on each database, and count"
    )
    parser.add_argument("--hostile", action="store_true", help="instead, send the hub 100,000 malformed requests")
    asked = parser.parse_args()
    if unknown := set(asked.measures) - set(MEASURES):
        parser.error(f"there is no measure {', '.join(sorted(unknown))}: give some of {', '.join(MEASURES)}")
    if asked.temporary and not asked.temporary.is_dir():
        parser.error(f"there is no folder {asked.temporary}")
    instead = [f"--{name}" for name in ("ledger", "hostile") if getattr(asked, name)]
    if instead and (asked.measures or asked.quick or asked.long or asked.save or len(instead) > 1):
        parser.error(f"{instead[0]} measures nothing: only --temporary goes with it")
    if not instead and in_memory(place := asked.temporary or Path(tempfile.gettempdir())):
        parser.error(f"{place} is in memory, where nothing waits for a disk: name a folder on one with --temporary")
    if asked.save and asked.measures:
        parser.error("--save replaces the whole page: name no measures with it")
    if asked.save and (missing := servers.lacking([servers.NCHAN])):
        parser.error(f"--save needs all yardsticks: {missing}")
    for target in () if instead else _targets(asked):
        try:
            report.prepare(target)
        except (OSError, BenchError) as error:
            parser.error(f"the figures cannot be written into {target}: {error}")
    return asked


def _targets(asked: argparse.Namespace) -> list[Path]:
    """The folders that the figures are written into."""
    return [RESULTS, *filter(None, [asked.save])]


def _run(asked: argparse.Namespace) -> int:
    console = Console(stderr=True)
    figures: list[Figure] = []
    failed = False
    with tempfile.TemporaryDirectory(prefix="glimpse-bench-") as folder:
        machine = facts(Path(folder))
        for name in asked.measures or MEASURES:
            try:
                figures += _measure(name, Path(folder, name), asked.quick, asked.long, console)
            except Exception as error:
                # The others' figures took a quarter of an hour.
                what = error if isinstance(error, BenchError) else repr(error)
                console.print(f"{name}: NOT MEASURED: {what}", style="red", markup=False, highlight=False)
                failed = True
    when = f"{datetime.now(UTC):%Y-%m-%d}"
    run = report.Run(when, " ".join(_options(sys.argv[1:])), machine, figures)
    drawn = picture.svg(figures, f"Glimpse, measured {when}")
    for target in [RESULTS] if failed else _targets(asked):
        report.save(target, run, drawn)
    shown = Console()
    if not shown.is_terminal:
        shown.width = WIDE
    shown.print(report.table(run))
    console.print(f"written to {RESULTS}")
    if failed and asked.save:
        console.print(f"not written into {asked.save}, as a measure is missing", style="red")
    return int(failed)


def _measure(name: str, folder: Path, quick: bool, long: bool, console: Console) -> list[Figure]:
    folder.mkdir()
    # PostgreSQL, nginx and the hub may run as other users, and have to come through here.
    folder.parent.chmod(0o755)
    began = time.monotonic()

    def say(text: str) -> None:
        console.print(f"{name} {time.monotonic() - began:5.0f} s  {text}", markup=False, highlight=False)

    return MEASURES[name](Setting(folder, quick, long, say))


def _options(arguments: list[str]) -> list[str]:
    """The arguments that say what was measured, not where it was written."""
    kept = [each for each in arguments if not each.startswith("-") or each in ("--quick", "--long")]
    return [each for each in kept if each in ("--quick", "--long") or each in MEASURES]


if __name__ == "__main__":
    sys.exit(main())
