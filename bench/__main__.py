"""`python -m bench`, which `scripts/bench` runs: the measures, one after the other, and what they found."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from bench import fanout, growth, hits, idle, ledger, picture, report, screen, storm
from bench.figures import BenchError, Figure, Setting
from bench.machine import allow_files, facts
from tests.servers import ROOT

MEASURES: dict[str, Callable[[Setting], list[Figure]]] = {
    each.NAME: each.measure for each in (hits, screen, idle, fanout, storm, growth)
}
RESULTS = ROOT / "bench" / "results"
WIDE = 200


def main() -> int:
    """Measure what was asked for; the exit status is 1 if a measure could not be made."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measure Glimpse beside its yardsticks.")
    parser.add_argument("measures", nargs="*", metavar="MEASURE", help=f"of {', '.join(MEASURES)}; default: all")
    parser.add_argument("--quick", action="store_true", help="short runs: minutes in all, and more noise")
    parser.add_argument("--long", action="store_true", help="growth up to 10 million opens")
    parser.add_argument("--save", type=Path, metavar="FOLDER", help="also write the figures into FOLDER (docs)")
    parser.add_argument("--temporary", type=Path, metavar="FOLDER", help="where the databases are made")
    parser.add_argument(
        "--ledger", action="store_true", help="instead, kill the hub 200 times on each database, and count"
    )
    asked = parser.parse_args()
    if unknown := set(asked.measures) - set(MEASURES):
        parser.error(f"there is no measure {', '.join(sorted(unknown))}: give some of {', '.join(MEASURES)}")
    if sys.platform != "linux":
        sys.stderr.write("the bench reads /proc and needs epoll: it runs on Linux only\n")
        return 1
    allow_files()
    if asked.ledger:
        return max(ledger.main(["--database", database]) for database in ("sqlite", "postgresql"))
    console = Console(stderr=True)
    figures: list[Figure] = []
    failed = False
    with tempfile.TemporaryDirectory(prefix="glimpse-bench-", dir=asked.temporary) as folder:
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
    for target in filter(None, (RESULTS, asked.save)):
        report.save(target, run, drawn)
    shown = Console()
    if not shown.is_terminal:
        shown.width = WIDE
    shown.print(report.table(run))
    console.print(f"written to {RESULTS}")
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
