"""Hits as they come: who asks for which pixel. Built from the golden table of what real hits were."""

from __future__ import annotations

import csv
import random
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from bench.world import Letter
from tests.servers import ROOT

SHARES = {"human": 0.50, "proxy": 0.30, "prefetch": 0.08, "scanner": 0.06, "bot": 0.06}
"""How often each verdict of the golden table is drawn. The shares are invented, so that every path is taken."""

REPEATS = 0.10
"""How often a hit repeats one of the last hundred, by the same client."""

RECENT = 100
READER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Thunderbird/140.4.0"


class Hit(NamedTuple):
    """A request for a pixel, behind one trusted proxy."""

    path: str
    user_agent: str
    address: str

    def request(self, host: str = "t.example.com") -> bytes:
        """The request as it is sent."""
        return (
            f"GET {self.path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {self.user_agent}\r\n"
            f"Accept: image/avif,image/webp,*/*;q=0.8\r\nX-Forwarded-For: {self.address}\r\n\r\n"
        ).encode()


def mixed(messages: Sequence[Letter], number: int, dice: random.Random) -> list[Hit]:
    """`number` hits on the pixels of `messages`: by people, proxies and machines, some of them repeats."""
    kinds, weights = list(SHARES), list(SHARES.values())
    hits: list[Hit] = []
    for kind in dice.choices(kinds, weights, k=number):
        if hits and dice.random() < REPEATS:
            hits.append(hits[-dice.randrange(1, min(len(hits), RECENT) + 1)])
            continue
        hits.append(_hit(dice.choice(messages).pixel(dice), kind, dice))
    return hits


def first_opens(messages: Sequence[Letter], dice: random.Random) -> list[Hit]:
    """One hit on each message, by a person or by a proxy that stands for one: each makes a notification."""
    return [_hit(message.pixel(dice), dice.choice(("human", "human", "proxy")), dice) for message in messages]


def _hit(path: str, kind: str, dice: random.Random) -> Hit:
    user_agent, address = dice.choice(_rows()[kind])
    return Hit(path, user_agent, _anywhere(dice) if kind == "human" else _near(address, dice))


@cache
def _rows() -> dict[str, list[tuple[str, str]]]:
    """The User-Agents and addresses of the table's hits well after sending, by verdict."""
    with (ROOT / "tests" / "corpus" / "hits.tsv").open(encoding="utf-8") as file:
        lines = [line for line in file if line[0] != "#"]
    found: dict[str, list[tuple[str, str]]] = {kind: [] for kind in SHARES}
    for row in csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE):
        usable = row["user_agent"].isascii() and row["user_agent"].isprintable() and not row["header"]
        if usable and row["verdict"] in found and int(row["after"] or 0) >= 60:
            found[row["verdict"]].append((row["user_agent"], row["address"]))
    return found


def _near(address: str, dice: random.Random) -> str:
    """Another address of the same small network, if that can be told from the text alone (IPv4)."""
    network, dot, _ = address.rpartition(".")
    return f"{network}.{dice.randrange(1, 255)}" if dot else address


def _anywhere(dice: random.Random) -> str:
    return f"81.{dice.randrange(8)}.{dice.randrange(250)}.{dice.randrange(1, 255)}"
