"""Killed without warning, at any moment: every hit that was answered is recorded once, and everything adds up."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.ledger import SCENES, SHORT, run
from tests.factories import seeded

ONE_ROUND = len(SCENES)
"""Most scenes kill the hub once, some twice."""


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
async def test_kill_again_and_again_loses_and_doubles_no_answered_hit_and_no_event(
    database: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    postgres = request.getfixturevalue("postgres") if database == "postgresql" else None
    world = await run(tmp_path, ONE_ROUND, seeded().randrange(10**6), postgres, SHORT)
    assert world.kills.keys() >= {scene.__name__ for scene in SCENES}
