"""Data sets: they are looked up right, do no harm when broken, and are reloaded when changed."""

from __future__ import annotations

import ipaddress
import logging
import os
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.model import Place
from hub.tracking import datasets
from hub.tracking.datasets import (
    PLACES_FILE,
    RELAY_FILE,
    BadList,
    Datasets,
    NetworkTable,
    merge_blocks,
    parse_block,
    read_blocks,
)
from hub.tracking.place import BadDatabase
from hub.tracking.rules_networks import OWNERS
from tests.mmdb import BUILD_EPOCH, city, write_mmdb
from tests.processes import wait_until

RELAY = "172.224.226.0/26,US,US-WA,Seattle,\n2a02:26f7:b00a:4000::/64,BR,BR-SP,São Paulo,\n"
LONDON = city("London", "England", "United Kingdom", "GB")
NOVEMBER = date(2026, 11, 23)


# Looking up.


@pytest.mark.parametrize(
    ("address", "owner"),
    [
        ("66.249.93.84", "gmail"),
        ("66.249.79.255", "google"),
        ("66.249.80.0", "gmail"),
        ("66.249.95.255", "gmail"),
        ("66.249.96.0", None),
        ("2a00:1450:4864:20::1", "google"),
        ("40.94.29.3", "microsoft"),
        ("40.107.28.9", "microsoft_filter"),
        ("40.108.0.0", "microsoft"),
        ("2a01:111:f400::1", "microsoft_filter"),
        ("2a01:111:f401::1", "microsoft"),
        ("148.163.139.74", "proofpoint"),
        ("172.224.226.5", "apple_relay_roughly"),
        ("203.0.113.9", None),
        ("0.0.0.0", None),
        ("255.255.255.255", None),
        ("::", None),
        ("", None),
        ("garbage", None),
    ],
)
def test_owner_of_an_address(tmp_path: Path, address: str, owner: str | None) -> None:
    assert Datasets.load(tmp_path, None).owner(address) == owner


def test_built_in_networks_are_well_formed_and_of_one_owner() -> None:
    seen: dict[ipaddress.IPv4Network | ipaddress.IPv6Network, str] = {}
    for owner in OWNERS:
        for text in owner.networks.split():
            network = ipaddress.ip_network(text)
            assert seen.setdefault(network, owner.name) == owner.name, text


networks = st.builds(
    lambda number, length: ipaddress.ip_network((number, length), strict=False),
    st.integers(0, 2**32 - 1),
    st.integers(4, 32),
)


@given(
    owned=st.lists(st.tuples(networks, st.sampled_from("abc")), max_size=12, unique_by=lambda pair: pair[0]),
    number=st.integers(0, 2**32 - 1),
)
def test_table_finds_the_smallest_block_as_a_scan_would(
    owned: list[tuple[ipaddress.IPv4Network, str]], number: int
) -> None:
    table = NetworkTable([(owner, [parse_block(str(network))]) for network, owner in owned])
    edges = [number]
    for network, _ in owned:
        first, last = int(network.network_address), int(network.broadcast_address)
        edges += [first, last, max(first - 1, 0), min(last + 1, 2**32 - 1)]
    for edge in edges:
        address = ipaddress.IPv4Address(edge)
        around = [(network.prefixlen, owner) for network, owner in owned if address in network]
        assert table.find(str(address)) == (max(around)[1] if around else None)


def test_table_takes_ranges_that_overlap_in_part() -> None:
    table = NetworkTable([("a", [(4, 0, 15)]), ("b", [(4, 8, 31)]), ("c", [(4, 40, 47)])])
    found = [table.find(f"0.0.0.{number}") for number in (0, 7, 8, 15, 16, 31, 32, 40, 48)]
    assert found == ["a", "a", "b", "b", "b", "b", None, "c", None]


@given(st.lists(networks, max_size=12), st.integers(0, 2**32 - 1))
def test_merging_keeps_the_same_addresses_in_order(listed: list[ipaddress.IPv4Network], number: int) -> None:
    merged = merge_blocks(parse_block(str(network)) for network in listed)
    assert merged == sorted(merged)
    assert all(before[2] + 1 < after[1] for before, after in pairwise(merged))
    address = ipaddress.IPv4Address(number)
    assert any(first <= number <= last for _, first, last in merged) == any(address in one for one in listed)


@pytest.mark.parametrize("line", ["<html>", "1.2.3.4/33", "1.2.3.4/-1", "1.2.3/8", "2a02::/129", "1.2.3.0/x"])
def test_list_with_a_bad_line_is_refused_and_the_line_named(line: str) -> None:
    with pytest.raises(BadList, match="line 2"):
        list(read_blocks(["1.2.3.0/24,US", line]))


def test_list_may_have_remarks_and_empty_lines() -> None:
    assert list(read_blocks(["# a remark", "", "1.2.3.4,US"])) == [(4, 0x01020304, 0x01020304)]


# Loading and reloading.


def test_datasets_without_files_work_and_say_so(tmp_path: Path) -> None:
    data = Datasets.load(tmp_path / "none", None)
    assert data.relay_known is False
    assert data.place("81.2.69.160") == Place()
    assert [(status.name, status.present, status.problem) for status in data.status()] == [
        ("apple-relay", False, None),
        ("places", False, None),
    ]


def test_datasets_with_files_tell_their_age(tmp_path: Path) -> None:
    (tmp_path / RELAY_FILE).write_text(RELAY, encoding="utf-8")
    os.utime(tmp_path / RELAY_FILE, (1_790_000_000, 1_790_000_000))
    write_mmdb(tmp_path / PLACES_FILE, {"81.2.69.0/24": LONDON})
    data = Datasets.load(tmp_path, None)
    relay, places = data.status()
    assert (relay.present, relay.entries, relay.at) == (True, 2, 1_790_000_000_000)
    assert (places.present, places.at) == (True, BUILD_EPOCH * 1000)
    assert data.owner("172.224.226.5") == "apple_relay"
    assert data.owner("172.224.227.5") is None
    assert data.owner("2a02:26f7:b00a:4000::1") == "apple_relay"
    assert data.place("81.2.69.160").city == "London"


def test_datasets_take_the_users_own_city_database(tmp_path: Path) -> None:
    own = write_mmdb(tmp_path / "own.mmdb", {"81.2.69.0/24": LONDON}, "GeoIP2-City")
    write_mmdb(tmp_path / PLACES_FILE, {"81.2.69.0/24": city("Paris", None, "France", "FR")})
    assert Datasets.load(tmp_path, own).place("81.2.69.160").city == "London"


@pytest.mark.parametrize("content", [b"", b"<html>404</html>", b"\xff\xfe\0\0"])
def test_datasets_survive_files_that_cannot_be_used(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / RELAY_FILE).write_bytes(content)
    (tmp_path / PLACES_FILE).write_bytes(content)
    with caplog.at_level(logging.WARNING):
        data = Datasets.load(tmp_path, None)
    assert data.owner("66.249.93.84") == "gmail"
    assert data.relay_known is False
    assert all(status.present and status.problem for status in data.status())
    assert [RELAY_FILE in record.message or PLACES_FILE in record.message for record in caplog.records] == [True, True]


def test_datasets_survive_a_directory_in_a_files_place(tmp_path: Path) -> None:
    (tmp_path / RELAY_FILE).mkdir()
    (tmp_path / PLACES_FILE).mkdir()
    assert all(status.problem for status in Datasets.load(tmp_path, None).status())


def test_reload_takes_up_what_changed_and_only_then(tmp_path: Path) -> None:
    data = Datasets.load(tmp_path, None)
    assert data.reload_if_changed() is False
    (tmp_path / RELAY_FILE).write_text(RELAY, encoding="utf-8")
    write_mmdb(tmp_path / PLACES_FILE, {"81.2.69.0/24": LONDON})
    assert data.relay_known is False
    assert data.reload_if_changed() is True
    assert data.relay_known is True
    assert data.place("81.2.69.160").city == "London"
    assert data.reload_if_changed() is False


def test_reload_keeps_what_was_loaded_when_nobody_can_look_into_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / RELAY_FILE).write_text(RELAY, encoding="utf-8")
    write_mmdb(folder / PLACES_FILE, {"81.2.69.0/24": LONDON})
    data = Datasets.load(folder, None)
    folder.rename(tmp_path / "elsewhere")
    # A link to itself is closed for root as well.
    folder.symlink_to(folder)
    assert data.reload_if_changed() is False
    assert data.owner("172.224.226.5") == "apple_relay"
    assert data.place("81.2.69.160").city == "London"
    assert all(status.present and status.problem for status in data.status())


def test_reload_takes_up_a_file_that_may_be_read_at_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_mmdb(tmp_path / PLACES_FILE, {"81.2.69.0/24": LONDON})
    data = Datasets.load(tmp_path, None)
    path = write_mmdb(tmp_path / "new", {"81.2.69.0/24": city("Leeds", None, None, "GB")}).replace(path)
    path.chmod(0)
    with monkeypatch.context() as patch:
        # The tests' user may be root, who may read any file.
        patch.setattr(datasets, "Places", refused)
        assert data.reload_if_changed() is False
    assert data.place("81.2.69.160").city == "London"

    def taken_up() -> bool:
        # Again and again, for the clock of a file system may stand still for some milliseconds.
        path.chmod(0o644)
        return data.reload_if_changed()

    wait_until(taken_up, what="the file taken up")
    assert data.place("81.2.69.160").city == "Leeds"


def refused(_path: Path) -> NoReturn:
    raise BadDatabase("it cannot be read (Permission denied)")


def test_reload_keeps_what_was_loaded_when_a_file_breaks(tmp_path: Path) -> None:
    (tmp_path / RELAY_FILE).write_text(RELAY, encoding="utf-8")
    write_mmdb(tmp_path / PLACES_FILE, {"81.2.69.0/24": LONDON})
    data = Datasets.load(tmp_path, None)
    for name in (RELAY_FILE, PLACES_FILE):
        broken = tmp_path / "broken"
        broken.write_bytes(b"<html>")
        broken.replace(tmp_path / name)
    assert data.reload_if_changed() is False
    assert data.owner("172.224.226.5") == "apple_relay"
    assert data.place("81.2.69.160").city == "London"
    assert all(status.problem for status in data.status())
    assert data.reload_if_changed() is False
