"""The golden table, tests/corpus/hits.tsv: every hit gets its true verdict."""

from __future__ import annotations

import csv
import shutil
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest

from hub.tracking.datasets import RELAY_FILE, Datasets
from hub.tracking.device import read_device
from hub.tracking.explain import explain
from hub.tracking.rules import APPLE_SYSTEMS, RULES, decide
from hub.tracking.rules_agents import AGENTS, identify

CORPUS = Path(__file__).parent / "corpus"
LEAST_HITS = 150


class Hit(NamedTuple):
    """A line of the table."""

    verdict: str
    hidden_by: str
    client: str
    after: str
    address: str
    header: str
    user_agent: str
    source: str


def read_hits() -> list[Hit]:
    with (CORPUS / "hits.tsv").open(encoding="utf-8", newline="") as file:
        lines = (line for line in file if not line.startswith("#"))
        table = csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
        assert tuple(next(table)) == Hit._fields
        return [Hit(*row) for row in table]


HITS = read_hits()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Datasets:
    folder = tmp_path_factory.mktemp("data")
    shutil.copy(CORPUS / "egress-ip-ranges.csv", folder / RELAY_FILE)
    return Datasets.load(folder, None)


def judge(hit: Hit, data: Datasets) -> dict[str, object]:
    name, _, value = hit.header.partition(":")
    return explain(
        user_agent=hit.user_agent,
        ip=hit.address,
        method="GET",
        headers=[(name, value.strip())] if name else [],
        after_send_seconds=float(hit.after),
        data=data,
    )


@pytest.mark.parametrize("hit", HITS, ids=lambda hit: f"{hit.verdict}-{hit.user_agent[:40]}-{hit.address}-{hit.after}")
def test_hit_gets_its_true_verdict(hit: Hit, data: Datasets) -> None:
    found = judge(hit, data)
    place, device = found["place"], found["device"]
    assert isinstance(place, dict)
    assert isinstance(device, dict)
    assert found["verdict"] == hit.verdict, f"{hit.source}: {found['reasons']}"
    assert (place["hidden_by"] or "") == hit.hidden_by
    if hit.client:
        assert device["client"] == hit.client
    if hit.verdict == "proxy":
        assert set(place.values()) <= {None, hit.hidden_by}
        assert (device["type"], device["os"]) == ("unknown", None)
    if hit.verdict == "scanner":
        assert device == {"type": "unknown", "os": None, "client": hit.client or None}


def test_corpus_is_large_and_each_line_has_its_source() -> None:
    assert len(HITS) >= LEAST_HITS
    assert [hit for hit in HITS if not hit.source.strip()] == []
    assert [hit for hit, times in Counter(HITS).items() if times > 1] == []


def test_corpus_precision_and_recall(data: Datasets, capsys: pytest.CaptureFixture[str]) -> None:
    pairs = Counter((hit.verdict, str(judge(hit, data)["verdict"])) for hit in HITS)
    lines = [f"{'verdict':10} {'hits':>5} {'precision':>10} {'recall':>8}"]
    for verdict in ("human", "proxy", "prefetch", "scanner", "bot", "self"):
        right = pairs[verdict, verdict]
        true = sum(times for (truth, _), times in pairs.items() if truth == verdict)
        given = sum(times for (_, said), times in pairs.items() if said == verdict)
        assert true, f"the table has no {verdict}"
        lines.append(f"{verdict:10} {true:5} {right / max(given, 1):10.3f} {right / true:8.3f}")
        assert right == true == given
    with capsys.disabled():
        print("\n" + "\n".join(lines))  # noqa: T201 - the figures are what the test is for


def test_corpus_without_data_sets_differs_only_in_confidence_and_relay_places(tmp_path: Path) -> None:
    bare = Datasets.load(tmp_path, None)
    for hit in HITS:
        assert judge(hit, bare)["verdict"] == hit.verdict, hit


def test_every_rule_is_tried_by_the_corpus_or_is_about_a_moment(data: Datasets) -> None:
    used = set()
    for hit in HITS:
        agent, network = identify(hit.user_agent)[0], data.owner(hit.address)
        apples = {"apple_device"} if read_device(hit.user_agent).os in APPLE_SYSTEMS else set()
        for moment in ({"any"}, {"any", "early"}):
            used.add(decide(agent, network, frozenset(moment | apples)).code)
    missing = {rule.code for rule in RULES if rule.moment in ("any", "early", "apple_device")} - used
    # This rule is for a data directory without Apple's list, where the built-in blocks have to do.
    assert missing == {"relay_reader_roughly"}


def test_every_kind_of_agent_is_in_the_corpus() -> None:
    assert {identify(hit.user_agent)[0] for hit in HITS} == {agent.kind for agent in AGENTS}
