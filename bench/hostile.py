# ruff: noqa: T201 - a bench prints
"""Malformed requests at random: `scripts/bench --hostile`, or `python -m bench.hostile --requests 100000 --seed 7`.

The hub must answer most of those that have a whole head, none of them with a server error, and leave no connection
stuck; afterwards it must hold no more sockets and hardly more memory than before. Otherwise the exit status is 1.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.factories import open_store
from tests.hostile import Storm, requests
from tests.hub_process import HubProcess
from tests.ledger import LEDGER_KEYS, SECRET, a_ledger


async def run(directory: Path, number: int, seed: int) -> Storm:
    """Send `number` malformed requests to a hub of their own. Raises AssertionError with what went wrong."""
    url = f"sqlite:///{directory / 'hub.db'}"
    with HubProcess(directory, url, {"HUB_SECRET_KEY": SECRET}) as hub:
        hub.add_user("sender@example.com", "Sender", "correct horse battery")
        async with open_store(url) as store:
            ledger = await a_ledger(store, pixels=1)
            pixel = LEDGER_KEYS.sign(*ledger.pixel())
            right = requests(hub.create_token("sender@example.com"), pixel, ledger.messages[0].id)
        storm = Storm(hub, right, seed)
        await storm.blow(number)
        storm.check()
        return storm


def main(argv: Sequence[str] | None = None) -> int:
    """Send them; the exit status is 1 if something went wrong."""
    parser = argparse.ArgumentParser(prog="python -m bench.hostile", description="Ask a hub for what makes no sense.")
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    asked = parser.parse_args(argv)
    print(f"{asked.requests:,} malformed requests, seed {asked.seed}", flush=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="glimpse-hostile-") as directory:
        try:
            storm = asyncio.run(run(Path(directory), asked.requests, asked.seed))
        except AssertionError as wrong:
            print(f"WENT WRONG: {wrong}\n  seed {asked.seed}")
            return 1
    answers = ", ".join(f"{count:,} × {status}" for status, count in sorted(storm.answers.items()))
    print(f"  answers: {answers}")
    print(f"  answered: {storm.answered:,} of {storm.whole:,} with a whole head")
    print(f"  sockets: {storm.before[0]} before, {storm.after[0]} after")
    print(f"  memory: {storm.before[1] / 1e6:.0f} MB before, {storm.after[1] / 1e6:.0f} MB after")
    print(f"  {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
