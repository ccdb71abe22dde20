"""What a measure finds: figures, and the few statistics they are made with."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

Bound: TypeAlias = Literal["at least", "at most"]


class BenchError(Exception):
    """A measure cannot be made, or what it found cannot be believed. The message is one line that says why."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One line of the table.

    `ratio` is `value` over the yardstick named `against`, the median over pairs of runs next to each other.
    `goal` is for the ratio if there is one, else for the value. `server`, `generator` and `others` are how many
    cores the measured processes, the load generators and all else on the machine took. `value` is the median of
    `runs`, or one of them.
    """

    measure: str
    name: str
    value: float
    unit: str
    ratio: float | None = None
    against: str = ""
    goal: float | None = None
    bound: Bound = "at least"
    server: float | None = None
    generator: float | None = None
    others: float | None = None
    runs: tuple[float, ...] = ()
    note: str = ""

    @property
    def reached(self) -> float:
        """What is compared with the goal."""
        return self.value if self.ratio is None else self.ratio

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None if there is none."""
        if self.goal is None:
            return None
        return self.reached >= self.goal if self.bound == "at least" else self.reached <= self.goal


def that_must_not_be(measure: str, name: str, count: int, unit: str, note: str) -> Figure:
    """The figure of a count whose goal is 0."""
    return Figure(measure=measure, name=name, value=float(count), unit=unit, goal=0.0, bound="at most", note=note)


@dataclass(frozen=True)
class Setting:
    """What a measure is told: a folder of its own for files, whether to be quick, whether to include the sizes that
    take long, and where to report progress.
    """

    folder: Path
    quick: bool
    long: bool
    say: Callable[[str], None] = field(default=lambda _text: None)


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile of values in order. Raises `BenchError` if there are none."""
    if not ordered:
        raise BenchError("nothing was measured")
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def paired_ratio(values: Sequence[float], yardstick: Sequence[float]) -> float:
    """The median ratio of neighbouring runs: what slows the machine for a while slows both."""
    return statistics.median(value / beside for value, beside in zip(values, yardstick, strict=True))
