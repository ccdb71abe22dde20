"""What the measures of bench/ make of what they heard: nothing is left out of a figure that would spoil it."""

from __future__ import annotations

import random
from array import array
from pathlib import Path

import pytest

from bench import bulk, crowd, fanout, growth, hits, load, machine, screen, storm, wrk
from bench.figures import Setting
from bench.servers import Server
from bench.world import Letter, a_world


def test_cost_of_a_hit_counts_what_the_server_took_and_not_how_long_the_generator_took_to_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wrk, "rate", lambda *_: (1000.0, 0.1))
    runs = hits._Runs(Setting(tmp_path, False, False), [Watched("hub", 0, 0, tmp_path)], a_world(1, 1).messages, 2)
    runs._one(runs._servers[0], [], counted=True)
    # Two seconds of its time for the 2,000 hits of two seconds, though it was watched for ten.
    assert runs.costs["hub"] == [1000.0]


class Watched(Server):
    """A server that took two seconds of a core in the ten seconds that it was watched."""

    def watch(self) -> machine.Watch:
        watch = machine.Watch()
        watch._taken, watch._began = watch._taken - 2.0, watch._began - 10.0
        return watch


def test_screen_times_run_from_the_hit_to_each_of_its_events() -> None:
    messages = [Letter("a" * 26), Letter("b" * 26)]
    done = load.Loaded(1.0, 0.1, array("q", [1, 0]), array("q", [1000, 2000]), array("q", [5, 5]), array("q"))
    heard = crowd.Heard(
        subjects=[b"b" * 26, b"a" * 26, b"b" * 26, b"z" * 26], times=array("q", [1500, 2100, 1900, 9999])
    )
    assert screen.times(messages, done, heard, 5000) == [100, 500, 900, 3000]


def test_screen_charges_what_never_came_with_all_of_the_waiting() -> None:
    messages = [Letter("a" * 26), Letter("b" * 26), Letter("c" * 26)]
    done = load.Loaded(1.0, 0.1, array("q", [0, 1]), array("q", [1000, 2000]), array("q", [5, 5]), array("q", [9]))
    heard = crowd.Heard(subjects=[b"a" * 26, b"c" * 26, b"a" * 26], times=array("q", [1500, 1700, 1900]))
    assert screen.times(messages, done, heard, 5000) == [500, 700, 900, 3000, 3000, 4000]


def test_screen_misses_its_goal_with_an_event_that_never_came(tmp_path: Path) -> None:
    server, done = Watched("hub", 0, 0, tmp_path), load.Loaded(1.0, 0.1, *(array("q", [1]),) * 3, array("q"))
    (watch := server.watch()).end()
    met = [
        [each.met for each in screen._figures(server, screen.GOAL_RATE, done, crowd.Heard(), watch, [1] * 1000, lost)]
        for lost in (0, 1)
    ]
    assert met == [[True, True, True], [True, True, False]]


def test_screen_misses_every_event_that_did_not_come_whether_its_hit_was_answered_or_not() -> None:
    messages = [Letter("a" * 26), Letter("b" * 26), Letter("c" * 26)]
    heard = crowd.Heard(subjects=[b"a" * 26, b"a" * 26, b"a" * 26, b"b" * 26])
    assert screen.missing(messages, heard) == [b"b" * 26, b"c" * 26, b"c" * 26]


@pytest.mark.parametrize(
    ("generator", "lost", "said"),
    [(0.9, 0, ""), (0.95, 0, "limited by the client"), (0.95, 7, "limited by the client; 7 NEVER CAME")],
)
def test_fanout_says_at_both_rates_what_the_client_limited_or_missed(
    tmp_path: Path, generator: float, lost: int, said: str
) -> None:
    # The first round warms up, and the last is paced: what the client took then limits no rate.
    cores = [(0.5, 1.0, 0.0), *[(0.5, generator, 0.0)] * 3, (0.5, 1.0, 0.0)]
    ours = fanout._Runs(Server("hub", 0, 0, tmp_path), [2.0] * 5, [(0.5, 0.5, 0.0)] * 5)
    theirs = fanout._Runs(Server("Nchan", 0, 0, tmp_path), [1.0] * 5, cores, lost)
    shape = fanout.Shape("one to all", 1, 3)
    notes = [fanout._rate(shape, *pair).note.partition("taken")[2] for pair in ((theirs, None), (ours, theirs))]
    assert notes == [f"; {said}" if said else "", "".join(f"; Nchan: {each}" for each in said.split("; ") if each)]


def test_storm_finds_what_is_lost_doubled_or_out_of_order() -> None:
    right = [3, 4, 5]
    wrong = [[3, 5], [3, 4, 4, 5], [4, 3, 5], [3, 4, 5, 6], []]
    assert storm.faulty([right, *wrong], [2] * 6, [5] * 6) == len(wrong)


def test_storm_asks_of_each_client_what_came_after_what_it_had_seen_itself() -> None:
    assert storm.faulty([[1, 2, 3], [3], [3]], [0, 2, 1], [3, 3, 3]) == 1


def test_growth_asks_for_pages_that_are_full_and_readers_that_are_found() -> None:
    grown, dice = bulk.Grown("", 10_000, a_world(bulk.SENDERS, 0)), random.Random(1)
    for _ in range(300):
        for query, first in (("list, further back", 0), ("history, further back", grown.messages)):
            cursor = growth.QUERIES[query](grown, dice).partition("cursor=")[2]
            assert cursor >= bulk.grown_id(first + growth.LEFT)
        reader = growth.QUERIES["list, search for a reader"](grown, dice).partition("q=reader")[2]
        assert int(reader.removesuffix("@")) % bulk.SENDERS == 0, "the message is another sender's"


def test_growth_is_judged_at_the_size_at_which_it_is_the_worst() -> None:
    asked = [growth.Asked([ms * 1_000_000] * 4, [(0.5, 0.25, 0.125)]) for ms in (2, 5, 3)]
    (figure,) = growth.compared("SQLite", [10, 100, 1000], {"list": asked})
    assert (figure.value, figure.ratio, figure.met) == (5.0, 2.5, False)
    assert figure.note.startswith("the worst is with 100; p99 2/5/3 ")
    assert (figure.server, figure.generator, figure.others) == (0.5, 0.25, 0.125)
