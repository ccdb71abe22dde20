"""The demo: it starts, shows real opens, and leaves nothing behind."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from hub.demo import EMAIL, SUBJECTS, in_words
from tests.processes import PATIENCE_SECONDS, free_port, start_process, wait_until
from tests.servers import ROOT, HubProcess


def an_event(notify: bool = True, **opened: Any) -> dict[str, Any]:
    """The fields that `in_words` reads: an open by a known person on a known device, with changes."""
    found = {
        "recipient": {"address": "lena@customer.example", "name": None},
        "verdict": "human",
        "repeat": False,
        "reasons": ["A browser fetched it", "And more"],
        "place": {"city": None, "hidden_by": None},
        "device": {"client": "Thunderbird", "os": "Windows"},
    }
    return {"data": {"notify": notify, "open": found | opened, "message": {"subject": "Your quote", "recipients": 3}}}


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (an_event(), "● lena@customer.example opened “Your quote” · Thunderbird on Windows"),
        (an_event(recipient=None, device={"client": None, "os": None}), "● Someone, of 3, opened “Your quote”"),
        (
            an_event(place={"city": None, "hidden_by": "gmail"}, device={"client": "Gmail", "os": None}),
            "● lena@customer.example opened “Your quote” · Gmail · hidden by gmail",
        ),
        (
            an_event(place={"city": "Linköping", "hidden_by": None}, device={"client": None, "os": "iOS"}),
            "● lena@customer.example opened “Your quote” · iOS · Linköping",
        ),
        (
            an_event(notify=False, verdict="bot"),
            "○ not announced, “Your quote”: bot; A browser fetched it",
        ),
        (an_event(notify=False, repeat=True), "○ not announced, “Your quote”: human; seen just before"),
    ],
)
def test_open_is_told_in_words(event: dict[str, Any], line: str) -> None:
    assert in_words(event) == line


@pytest.mark.parametrize(("host", "end"), [("127.0.0.1", signal.SIGINT), ("127.0.0.2", signal.SIGTERM)])
def test_demo_shows_opens_and_leaves_nothing_behind(tmp_path: Path, host: str, end: signal.Signals) -> None:
    port = free_port()
    here, temporary, printed = tmp_path / "here", tmp_path / "temporary", tmp_path / "printed"
    here.mkdir()
    temporary.mkdir()
    environ = {"PYTHONPATH": str(ROOT), "TMPDIR": str(temporary), "PYTHONDONTWRITEBYTECODE": "1"}
    environ |= {"http_proxy": f"http://127.0.0.1:{free_port()}", "all_proxy": f"http://127.0.0.1:{free_port()}"}
    with printed.open("wb") as out:
        command = [sys.executable, "-m", "hub", "demo", "--host", host, "--port", str(port)]
        process = start_process(command, cwd=here, env=environ, stdout=out, stderr=out)
    try:
        wait_until(lambda: printed.read_text().count("“") >= 3 or process.poll() is not None, what="opens are shown")
        said = printed.read_text()
        assert process.poll() is None, said
        assert f"http://{host}:{port}" in said
        password = re.search(r"password  (\S+)\n", said)
        assert password is not None, said
        with httpx.Client(base_url=f"http://{host}:{port}/api/v1", timeout=PATIENCE_SECONDS, verify=False) as browser:
            login = browser.post("/session", json={"email": EMAIL, "password": password[1]})
            assert login.status_code == 200
            messages = browser.get("/messages").json()["items"]
            assert {message["subject"] for message in messages} == {subject for subject, _ in SUBJECTS}
            wait_until(lambda: browser.get("/opens", params={"all": "true"}).json()["items"], what="an open")
        assert httpx.get(f"http://{host}:{port}/", timeout=PATIENCE_SECONDS, verify=False).status_code == 200
        assert list(temporary.iterdir())
    finally:
        process.send_signal(end)
        status = process.wait(PATIENCE_SECONDS)
    assert status == 0
    assert list(temporary.iterdir()) == []
    assert list(here.iterdir()) == []
    assert "Traceback" not in printed.read_text()


def test_demo_at_a_port_where_another_hub_is_says_so_and_nothing_else(tmp_path: Path, migrated_sqlite_url: str) -> None:
    with HubProcess(tmp_path, migrated_sqlite_url) as hub:
        command = [sys.executable, "-m", "hub", "demo", "--port", str(hub.port)]
        done = subprocess.run(command, env=hub.environ, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
    assert (done.returncode, done.stdout) == (1, "")
    [line] = done.stderr.splitlines()
    assert f"port {hub.port} is in use" in line
