"""The commands about tracking: what `explain` and `data status` print."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from hub.tracking.datasets import RELAY_FILE
from tests.commands import Command

GMAIL = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"


def test_explain_prints_the_verdict_as_json(command: Command) -> None:
    done = command("explain", "--user-agent", GMAIL, "--ip", "66.249.84.11")
    assert (done.returncode, done.stderr) == (0, "")
    said = json.loads(done.stdout)
    assert said.keys() == {"verdict", "confidence", "reasons", "place", "device", "ruleset"}
    assert (said["verdict"], said["place"]["hidden_by"], said["device"]["client"]) == ("proxy", "gmail", "Gmail")
    assert all(" " in reason for reason in said["reasons"])


@pytest.mark.parametrize(
    ("arguments", "verdict"),
    [
        (["--method", "HEAD"], "bot"),
        (["--after-send", "-1"], "self"),
        (["--header", "Sec-Purpose: prefetch"], "prefetch"),
        (["--header", "sec-purpose:prefetch;prerender", "--header", "Accept: */*"], "prefetch"),
        (["--after-send", "3600"], "human"),
    ],
)
def test_explain_looks_at_all_it_is_told(command: Command, arguments: list[str], verdict: str) -> None:
    thunderbird = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Thunderbird/128.3.0"
    done = command("explain", "--user-agent", thunderbird, "--ip", "203.0.113.7", *arguments)
    assert json.loads(done.stdout)["verdict"] == verdict


def test_explain_needs_no_database(command: Command) -> None:
    done = command("explain", "--user-agent", "", "--ip", "::1", DATABASE_URL="sqlite:////nowhere/at/all.db")
    assert (done.returncode, json.loads(done.stdout)["verdict"]) == (0, "bot")


def test_data_status_shows_the_whole_name_of_a_file(command: Command, tmp_path: Path) -> None:
    folder = tmp_path / ("a-long-name-of-a-folder-" * 4)
    done = command("data", "status", HUB_DATA_DIR=str(folder))
    names = "".join(line.split("│")[-2].strip() for line in done.stdout.splitlines() if line.startswith("│"))
    assert str(folder / "dbip-city-lite.mmdb") in names


@pytest.mark.parametrize(("days", "said"), [(0, "0 days"), (1, "1 day"), (2, "2 days")])
def test_data_status_says_how_old_a_list_is(command: Command, tmp_path: Path, days: int, said: str) -> None:
    (file := tmp_path / RELAY_FILE).write_text("192.0.2.0/24,US,US-CA,,\n")
    made = time.time() - (days + 0.5) * 24 * 60 * 60
    os.utime(file, (made, made))
    done = command("data", "status", HUB_DATA_DIR=str(tmp_path))
    [row] = [line for line in done.stdout.splitlines() if "in use" in line]
    assert row.split("│")[3].strip() == said


def test_data_status_says_what_is_not_there(command: Command) -> None:
    done = command("data", "status")
    assert (done.returncode, done.stderr) == (0, "")
    assert "not there" in done.stdout
