"""A run of the bench: where its files are, what it refuses beforehand, and what is left when it is ended."""

from __future__ import annotations

import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import __main__ as bench_main
from bench import report
from bench.figures import Figure, Setting
from bench.servers import DurablePostgres


@pytest.fixture(autouse=True)
def _as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A run changes where temporary files are and what SIGTERM does: both are as before after the test."""
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(bench_main, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(bench_main, "facts", lambda _folder: {})
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["bench", *arguments])
    return bench_main.main()


def test_bench_puts_the_files_of_all_its_servers_into_the_folder_it_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place := tmp_path / "a disk").mkdir()
    made: list[Path] = []

    def measure(setting: Setting) -> list[Figure]:
        made.extend((setting.folder, (postgres := DurablePostgres()).directory))
        postgres.close()
        return []

    monkeypatch.setitem(bench_main.MEASURES, "hits", measure)
    assert run(monkeypatch, "--temporary", str(place), "hits") == 0
    assert all(place in folder.parents for folder in made)
    assert not list(place.iterdir())


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_bench_that_is_ended_leaves_no_file_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], how: signal.Signals
) -> None:
    (place := tmp_path / "disk").mkdir()

    def measure(setting: Setting) -> list[Figure]:
        (setting.folder / "hub.db").touch()
        signal.raise_signal(how)
        return []

    monkeypatch.setitem(bench_main.MEASURES, "hits", measure)
    assert run(monkeypatch, "--temporary", str(place), "hits") == 130
    assert not list(place.iterdir())
    assert "ended before it was done" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--temporary", "{}/nowhere"], "there is no folder"),
        (["--save", "{}/page"], "the page has no"),
        (["--save", "{}/page/performance.md"], "cannot be written into"),
        (["--ledger", "hits"], "--ledger measures nothing"),
        (["--ledger", "--quick"], "--ledger measures nothing"),
    ],
)
def test_bench_refuses_before_it_measures_what_would_fail_later(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / report.PAGE).write_text("no markers\n")
    monkeypatch.setattr(bench_main, "MEASURES", {"hits": pytest.fail})
    with pytest.raises(SystemExit) as ended:
        run(monkeypatch, *(each.format(tmp_path) for each in arguments))
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
