"""scripts/lib.sh: the virtual environment that all scripts need."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.servers import ROOT

TOO_OLD = """#!/bin/sh
case "$*" in *version_info*) exit 1;; *"import pip"*) exit 0;; *) echo "requires a different Python" >&2; exit 1;; esac
"""
NEW = """#!/bin/sh
case "$*" in "-m venv --clear "*) mkdir -p "$4/bin"; cp "$0" "$4/bin/python";; esac
"""


def program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def test_environment_of_too_old_a_python_is_made_anew(tmp_path: Path) -> None:
    checkout = tmp_path / "a checkout"
    (checkout / "scripts").mkdir(parents=True)
    shutil.copy(ROOT / "scripts" / "lib.sh", checkout / "scripts")
    for name in ("pyproject.toml", "constraints.txt"):
        (checkout / name).touch()
    program(checkout / ".venv/bin/python", TOO_OLD)
    program(tmp_path / "bin/python3.13", NEW)
    done = subprocess.run(
        ["bash", "-c", "set -euo pipefail; . scripts/lib.sh; ensure_venv"],
        cwd=checkout,
        env={"PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert (checkout / ".venv/bin/python").read_text() == NEW
