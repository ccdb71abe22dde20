"""The scripts: the virtual environment that they all need, and how they end."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.servers import ROOT

TOO_OLD = """#!/bin/sh
case "$*" in *version_info*) exit 1;; *"import pip"*) exit 0;; *) echo "requires a different Python" >&2; exit 1;; esac
"""
NEW = """#!/bin/sh
case "$*" in "-m venv --clear "*) mkdir -p "$4/bin"; cp "$0" "$4/bin/python";; esac
"""

INTERRUPTED = """#!/bin/sh
case "$*" in *pytest*) echo ran; kill -INT $PPID; exit 2;; esac
"""


def program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def a_checkout(folder: Path, *scripts: str) -> Path:
    """A checkout with these scripts of ours, and nothing to install."""
    checkout = folder / "a checkout"
    (checkout / "scripts").mkdir(parents=True)
    for name in scripts:
        shutil.copy(ROOT / "scripts" / name, checkout / "scripts")
    for name in ("pyproject.toml", "constraints.txt"):
        (checkout / name).touch()
    return checkout


def bash(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", *arguments],
        cwd=checkout,
        env={"PATH": f"{checkout.parent}/bin:{os.environ['PATH']}", "HOME": str(checkout.parent)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        # What runs in the background may ignore it, and bash cannot trap what it was told to ignore.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def test_environment_of_too_old_a_python_is_made_anew(tmp_path: Path) -> None:
    checkout = a_checkout(tmp_path, "lib.sh")
    program(checkout / ".venv/bin/python", TOO_OLD)
    program(tmp_path / "bin/python3.13", NEW)
    done = bash(checkout, "-c", "set -euo pipefail; . scripts/lib.sh; ensure_venv")
    assert done.returncode == 0, done.stderr
    assert (checkout / ".venv/bin/python").read_text() == NEW


@pytest.mark.parametrize("way", ["moved", "copied", "linked"])
def test_environment_of_another_checkout_is_made_anew(tmp_path: Path, way: str) -> None:
    first = a_checkout(tmp_path / "first", "lib.sh")
    program(first / ".venv/bin/python", NEW)
    (first / ".venv/pyvenv.cfg").write_text(f"command = /usr/bin/python3 -m venv --clear {first}/.venv\n")
    ensure = (first, "-c", "set -euo pipefail; . scripts/lib.sh; ensure_venv")
    bash(*ensure)
    assert bash(*ensure).stderr == "", "it is left alone where it was made"
    (checkout := tmp_path / "second" / "a checkout").parent.mkdir()
    if way == "moved":
        first.rename(checkout)
    elif way == "copied":
        shutil.copytree(first, checkout)
    else:
        checkout.symlink_to(first)
    program(tmp_path / "second/bin/python3.13", NEW)
    done = bash(checkout, *ensure[1:])
    assert done.returncode == 0, done.stderr
    assert (checkout / ".venv/pyvenv.cfg").exists() == (way == "linked")


def test_interrupted_tests_do_not_go_on_with_the_second_run(tmp_path: Path) -> None:
    checkout = a_checkout(tmp_path, "lib.sh", "test")
    (checkout / "tests").mkdir()
    (checkout / "tests" / "test_one.py").write_text("@pytest.mark.alone")
    program(checkout / ".venv/bin/python", INTERRUPTED)
    done = bash(checkout, "scripts/test")
    assert (done.returncode, done.stdout) == (130, "ran\n")
