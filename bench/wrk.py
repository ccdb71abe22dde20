"""wrk, the load generator for as many requests as are answered: it takes far less of the machine than one in Python.

It does not time well at a constant rate (it waits for an answer before it asks again), so `bench.load` does that.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from threading import Timer

from bench import load
from bench.figures import BenchError
from bench.mixture import Hit

PATIENCE_SECONDS = 30.0

SCRIPT = """
local requests, at = {}, 0
function init(args)
    for line in io.lines(args[1]) do
        local path, address, agent = line:match("^([^\\t]*)\\t([^\\t]*)\\t(.*)$")
        requests[#requests + 1] = wrk.format("GET", path, {
            ["Host"] = "t.example.com",
            ["User-Agent"] = agent,
            ["Accept"] = "image/avif,image/webp,*/*;q=0.8",
            ["X-Forwarded-For"] = address,
        })
    end
end
function request()
    at = at % #requests + 1
    return requests[at]
end
function done(summary, latency)
    local wrong = summary.errors
    io.write(string.format('\\n{"answers": %d, "microseconds": %d, "wrong": %d}\\n', summary.requests,
        summary.duration, wrong.connect + wrong.read + wrong.write + wrong.status + wrong.timeout))
end
"""


def available() -> bool:
    """Whether wrk is installed."""
    return shutil.which("wrk") is not None


def rate(port: int, hits: Sequence[Hit], connections: int, seconds: int, folder: Path) -> tuple[float, float]:
    """Ask for `hits` in turn for whole `seconds`: answers a second, and the cores that the generator took.

    Without wrk our own generator does it. Raises `BenchError` if a request fails.
    """
    if not available():
        done = load.run(load.Load(port, [hit.request() for hit in hits], connections, seconds))
        return done.rate, done.cores
    script, asked = folder / "hits.lua", folder / "hits.tsv"
    script.write_text(SCRIPT)
    asked.write_text("".join(f"{hit.path}\t{hit.address}\t{hit.user_agent}\n" for hit in hits))
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script), f"http://127.0.0.1:{port}/"]
    began = time.monotonic()
    with subprocess.Popen(
        [*command, "--", str(asked)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        timer = Timer(seconds + PATIENCE_SECONDS, process.kill)
        try:
            timer.start()
            assert process.stdout is not None
            said = process.stdout.read()
            # wait4 and not Popen.wait: only wait4 tells what this one child took.
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        except BaseException:
            process.kill()
            raise
        finally:
            # Whoever interrupts the run must not have to wait for the timer.
            timer.cancel()
    cores = (usage.ru_utime + usage.ru_stime) / (time.monotonic() - began)
    return parse(said), cores


def parse(said: str) -> float:
    """Answers a second, from what wrk printed. Raises `BenchError` if any request failed."""
    lines = [line for line in said.splitlines() if line.startswith('{"answers"')]
    if not lines:
        raise BenchError(f"wrk failed: {said.strip()[-300:]}")
    found = json.loads(lines[-1])
    if found["wrong"] or not found["answers"]:
        raise BenchError(f"{found['wrong']} of {found['answers']} requests failed under wrk")
    return float(found["answers"] / found["microseconds"] * 1e6)
