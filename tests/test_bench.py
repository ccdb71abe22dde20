"""The instruments of bench/: what they parse, count, compare and show is true."""

from __future__ import annotations

import os
import random
import socketserver
import threading
import time
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import takewhile
from multiprocessing import Pipe
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import bulk, frames, load, machine, picture, report, wrk
from bench.children import Child
from bench.figures import BenchError, Bound, Figure, paired_ratio, percentile
from bench.mixture import REPEATS, first_opens, mixed
from bench.world import KEYS, a_world, build
from hub.model import is_id, new_id
from hub.store.database import Database
from hub.tracking.token import SHARED
from tests.factories import audit, open_store

STALL_SECONDS = 0.25
FIGURES = [
    Figure(measure="hits", name="SQLite", value=1234.5, unit="hits/s", ratio=0.5, against="bare", goal=0.4, server=1.0),
    Figure(measure="hits", name="p99 <of it>", value=30.0, unit="ms", goal=25.0, bound="at most", runs=(30.0,)),
    Figure(measure="storm", name="clients wrong", value=0.0, unit="clients", goal=0.0, bound="at most"),
    Figure(measure="storm", name="no goal", value=0.1234, unit="s"),
]
RUN = report.Run("2026-11-23", "--quick", {"processor": "Some Kind", "cores": "2"}, FIGURES)


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [([1.0], 99, 1.0), ([1.0, 2.0], 50, 1.0), (list(range(1, 101)), 99, 99), (list(range(1, 101)), 100, 100)],
)
def test_percentile_is_the_nearest_rank(values: list[float], percent: float, expected: float) -> None:
    assert percentile(values, percent) == expected


def test_percentile_of_nothing_is_refused() -> None:
    with pytest.raises(BenchError):
        percentile([], 99)


def test_paired_ratio_compares_each_run_with_the_one_beside_it() -> None:
    # The machine was much faster after the first round: the ratio of the medians would be 1.
    assert paired_ratio([10.0, 50.0, 40.0], [20.0, 80.0, 40.0]) == 0.625


@pytest.mark.parametrize(
    ("value", "ratio", "goal", "bound", "met"),
    [
        (1.0, None, None, "at least", None),
        (1.0, None, 1.0, "at least", True),
        (0.9, None, 1.0, "at least", False),
        (1.1, None, 1.0, "at most", False),
        (99.0, 0.5, 0.4, "at least", True),
        (0.1, 2.5, 2.0, "at most", False),
    ],
)
def test_goal_is_for_the_ratio_where_there_is_one(
    value: float, ratio: float | None, goal: float | None, bound: Bound, met: bool | None
) -> None:
    figure = Figure(measure="hits", name="", value=value, unit="", ratio=ratio, goal=goal, bound=bound)
    assert figure.met is met


@pytest.mark.parametrize(
    ("action", "said"),
    [
        ("pageout", "what was not touched for 60 s is given up (DAMON)"),
        ("stat", "kept while there is room"),
        (None, "kept while there is room"),
    ],
)
def test_machine_says_whether_it_gives_up_its_page_cache(tmp_path: Path, action: str | None, said: str) -> None:
    context = tmp_path / "0/contexts/0"
    if action is not None:
        for name, text in (
            ("schemes/0/action", action),
            ("schemes/0/access_pattern/age/min", "12"),
            ("monitoring_attrs/intervals/aggr_us", "5000000"),
        ):
            (context / name).parent.mkdir(parents=True, exist_ok=True)
            (context / name).write_text(f"{text}\n")
    assert machine.kept_for(tmp_path) == said


@pytest.mark.parametrize(("kind", "memory"), [("tmpfs", True), ("ramfs", True), ("ext4", False)])
def test_machine_says_whether_a_folder_is_in_memory(tmp_path: Path, kind: str, memory: bool) -> None:
    device = tmp_path.stat().st_dev
    (mounts := tmp_path / "mountinfo").write_text(
        "22 1 900:1 / / rw,relatime shared:1 - tmpfs none rw\n"
        f"25 22 {os.major(device)}:{os.minor(device)} / /place rw shared:2 - {kind} none rw\n"
    )
    assert machine.in_memory(tmp_path, mounts) is memory


def test_wrk_is_read_from_its_last_line() -> None:
    assert wrk.parse('Running 2s test\n{"answers": 5000, "microseconds": 2000000, "wrong": 0}\n') == 2500.0


@pytest.mark.parametrize(
    "said",
    [
        "unable to connect",
        '{"answers": 9, "microseconds": 1, "wrong": 1}',
        '{"answers": 0, "microseconds": 1, "wrong": 0}',
    ],
)
def test_wrk_that_failed_is_no_figure(said: str) -> None:
    with pytest.raises(BenchError):
        wrk.parse(said)


@given(payloads=st.lists(st.binary(max_size=400) | st.just(b"x" * 70_000), max_size=6), cut=st.integers(0, 400))
def test_frames_are_found_wherever_the_bytes_are_cut(payloads: list[bytes], cut: int) -> None:
    stream = b"".join(server_frame(each) for each in payloads)
    cut = min(cut, len(stream))
    first, rest = frames.frames(stream[:cut])
    left = stream[rest:cut] + stream[cut:]
    second, nothing = frames.frames(left)
    found = [stream[start:end] for _, start, end in first] + [left[start:end] for _, start, end in second]
    assert found == payloads
    assert nothing == len(left)


def server_frame(payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        return bytes((0x81, size)) + payload
    return (b"\x81\x7e" + size.to_bytes(2, "big") if size < 65536 else b"\x81\x7f" + size.to_bytes(8, "big")) + payload


def test_client_frame_says_its_size_and_that_it_is_masked() -> None:
    assert frames.client_frame(1, b"hello") == b"\x81\x85" + bytes(4) + b"hello"
    assert frames.client_frame(1, b"x" * 300) == b"\x81\xfe" + (300).to_bytes(2, "big") + bytes(4) + b"x" * 300


def test_mixture_is_of_all_kinds_and_of_real_pixels() -> None:
    messages = a_world(2, 50).messages
    drawn = mixed(messages, 3000, random.Random(1))
    asked = {KEYS.verify(hit.path.removeprefix("/o/").removesuffix(".gif")) for hit in drawn}
    assert asked == {
        (letter.id, position)
        for letter in messages
        for position in ([SHARED] if letter.shared else range(1, letter.recipients + 1))
    }
    assert any("GoogleImageProxy" in hit.user_agent for hit in drawn)
    again = len(drawn) - len(set(drawn))
    assert REPEATS / 2 < again / len(drawn) < REPEATS * 2


def test_first_opens_ask_for_each_message_once() -> None:
    messages = a_world(2, 20).messages
    assert len({hit.path for hit in first_opens(messages, random.Random(1))}) == 20


def test_answer_is_whole_when_it_has_the_length_it_says() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"
    assert load._size(head[:-1]) == 0
    assert load._size(head) == len(head) + 3


def test_load_at_a_constant_rate_charges_a_stall_for_all_that_it_kept_waiting() -> None:
    # On one connection, all requests that were due while request 20 stalled had to wait too.
    requests = [f"GET /{number} HTTP/1.1\r\nHost: x\r\n\r\n".encode() for number in range(100)]
    with answering(stall_at=b"GET /20 ") as port:
        done = load.run(load.Load(port, requests, 1, 0.5, 200.0, once=True))
    assert len(done.latencies) == 100
    due_meanwhile = int(STALL_SECONDS * 200) - 1
    for behind, latency in enumerate(done.latencies[20 : 20 + due_meanwhile]):
        assert latency >= (STALL_SECONDS - (behind + 1) / 200) * 1e9


def test_load_charges_a_stall_for_what_was_never_answered_and_never_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(f"{__name__}.STALL_SECONDS", 1.0)
    requests = [f"GET /{number} HTTP/1.1\r\nHost: x\r\n\r\n".encode() for number in range(100)]
    owner, link = Pipe()
    with owner, link, answering(stall_at=b"GET /20 ") as port:
        done = load._Making(load.Load(port, requests, 1, 0.15, 1000.0, once=True), link).run()
    assert (len(done.latencies), done.unanswered) == (20, 80)
    # The one that was sent and stalled is the one that waited the longest.
    assert done.milliseconds(100) == max(done.waits) / 1e6 >= 150
    assert done.milliseconds(50) > max(done.latencies) / 1e6


def test_load_that_is_told_to_end_counts_what_was_due_until_then() -> None:
    made = load.Load(0, [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"], 2, 1000.0, 200.0)
    with answering() as port, load.generator(replace(made, port=port)) as child:
        child.hear(load.PATIENCE_SECONDS)
        began = time.monotonic()
        child.tell("go")
        child.tell("end")
        done = load.heard(child, made)
    assert done.seconds <= time.monotonic() - began
    assert len(done.latencies) <= done.seconds * 200 + 1
    assert done.unanswered == 0


def test_load_is_judged_since_a_moment_by_what_was_due_later_and_what_never_came() -> None:
    done = load.Loaded(1.0, 0.1, array("q"), array("q", [10, 20, 30]), array("q", [9, 2, 1]), array("q", [5]))
    assert [done.since(20, percent) * 1e6 for percent in (0, 50, 100)] == [1, 2, 5]


def test_load_once_sends_each_request_once() -> None:
    with answering() as port:
        requests = [f"GET /{number} HTTP/1.1\r\nHost: x\r\n\r\n".encode() for number in range(30)]
        done = load.run(load.Load(port, requests, 8, 10.0, once=True))
    assert sorted(done.numbers) == list(range(30))


def test_load_that_is_answered_with_errors_is_no_figure() -> None:
    with answering(status=b"503 Away") as port, pytest.raises(BenchError, match="503 Away"):
        load.run(load.Load(port, [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"], 1, 1.0))


def test_child_that_ends_by_itself_is_noticed() -> None:
    with Child(print, "nothing to say") as child, pytest.raises(BenchError):
        child.hear(10)


class Answering(socketserver.StreamRequestHandler):
    """Answers requests; before it answers one that begins with `stall_at`, it stalls."""

    server: Answers

    def handle(self) -> None:
        # Each is read up to an empty line. At the end of the stream there is none, and the loop must end, not spin.
        while head := b"".join(takewhile(lambda line: line != b"\r\n", self.rfile)):
            if head.startswith(self.server.stall_at):
                time.sleep(STALL_SECONDS)
            self.wfile.write(b"HTTP/1.1 " + self.server.status + b"\r\nContent-Length: 3\r\n\r\nGIF")


class Answers(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 64
    status = b"200 OK"
    stall_at = b"nothing is asked for like this"


@contextmanager
def answering(**settings: bytes) -> Iterator[int]:
    """The port of a server with these attributes, which runs for as long as the block."""
    with Answers(("127.0.0.1", 0), Answering) as server:
        for name, value in settings.items():
            setattr(server, name, value)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


async def test_world_is_what_the_hub_would_have_made(database_url: str) -> None:
    world = a_world(3, 30)
    await build(database_url, world)
    async with open_store(database_url) as store:
        for number, letter in enumerate(world.messages):
            message = await store.messages.get(world.senders[number % 3].id, letter.id)
            assert message is not None
            assert (len(message.recipients), message.shared) == (letter.recipients, letter.shared)
            assert message.recipients[-1].address == f"reader{number}-{letter.recipients}@example.com"
        await audit(store.database)


async def test_grown_database_agrees_with_itself(database_url: str) -> None:
    grown = await bulk.grow(database_url, 1000)
    database = Database(database_url)
    await database.connect()
    try:
        await audit(database)
        rows = await database.fetch("SELECT count(*) AS n FROM opens WHERE counted")
        assert rows[0]["n"] == 600
    finally:
        await database.disconnect()
    assert grown.sequence == 200


def test_grown_ids_are_ids_and_older_than_new_ones() -> None:
    ids = [bulk.grown_id(number) for number in (0, 9, 10, 9_999_999)]
    assert all(map(is_id, ids))
    assert sorted(ids) == ids
    assert ids[-1] < new_id()


def test_run_is_read_back_as_it_was_written() -> None:
    assert report.decoded(report.encoded(RUN)) == RUN


@pytest.mark.parametrize("run", [b"", b"[]", b"{}", b'{"figures": [{}]}'])
def test_text_that_is_no_run_is_refused(run: bytes) -> None:
    with pytest.raises(BenchError):
        report.decoded(run)


def test_saving_puts_the_figures_on_the_page_and_nothing_else(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    page.write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    report.save(tmp_path, RUN, "<svg/>")
    text = page.read_text()
    assert text.startswith(f"before\n{report.BEGIN}\n")
    assert text.endswith(f"{report.END}\nafter\n")
    assert "old" not in text
    assert "| SQLite | 1,234 hits/s | 0.50 of bare | met: at least 0.40 |" in text
    assert "MISSED: at most 25 ms" in text
    assert {line.count("|") for line in text.splitlines() if line.startswith("|")} == {len(report.HEAD) + 1}
    report.save(tmp_path, RUN, "<svg/>")
    assert page.read_text() == text


def test_page_without_its_markers_is_refused() -> None:
    with pytest.raises(BenchError):
        report.inserted("nothing here", "figures")


def test_picture_has_a_bar_for_each_goal() -> None:
    drawn = ElementTree.fromstring(picture.svg(FIGURES, "a title"))
    bars = drawn.findall("{http://www.w3.org/2000/svg}rect")
    assert [bar.get("class") for bar in bars] == ["met", "missed", "met"]
    full = picture.BAR / picture.MOST
    assert [float(bar.get("width", "")) for bar in bars] == pytest.approx(
        [full * 1.25, full * 25 / 30, full * 2], abs=1
    )
