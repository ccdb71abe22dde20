"""The last resort: neither an end that hangs nor a log that nobody reads keeps the process running."""

from __future__ import annotations

import fcntl
import os
import socket
import sys

import httpx

from hub.server import END_SECONDS
from tests.processes import PATIENCE_SECONDS, free_port, wait_until
from tests.served_process import Start

PAGE_BYTES = 4096
FROZEN = """
import sys, time
import hub.server
from hub.config import Config
from tests.served import Site

class Frozen(Site):
    async def pid(self, _):
        self.note("frozen")
        time.sleep(1000)

hub.server.END_SECONDS = 0.1
sys.exit(hub.server.serve(lambda _: Frozen().app(), Config(port=0), host="127.0.0.1"))
"""


def test_signal_ends_a_process_whose_event_loop_hangs(start: Start) -> None:
    server = start(through=(sys.executable, "-c", FROZEN)).wait_ready()
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.sendall(b"GET /pid HTTP/1.1\r\nHost: hub.example.com\r\n\r\n")
        wait_until(lambda: "frozen" in (server.directory / "journal").read_text())
        server.process.terminate()
        assert server.process.wait(PATIENCE_SECONDS) == 1
    assert "the end took longer than 0.1 s" in server.log.read_text()


def test_log_into_a_pipe_that_nobody_reads_stops_neither_answers_nor_the_end(start: Start) -> None:
    port = free_port()
    server = start("good", 1, port, through=("/bin/bash", "-c", 'mkfifo log.pipe; exec "$0" "$@" 2<>log.pipe'))
    wait_until(lambda: server.journal("started"))
    pipe = os.open(server.directory / "log.pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PAGE_BYTES)
        for _ in range(10):
            assert httpx.get(f"http://127.0.0.1:{port}/boom", timeout=PATIENCE_SECONDS, verify=False).status_code == 500
        server.process.terminate()
        assert server.process.wait(END_SECONDS) == 0
        assert len(os.read(pipe, 2 * PAGE_BYTES)) > PAGE_BYTES / 2, "the pipe was full"
    finally:
        os.close(pipe)
