"""Explaining: the verdict on a hit in words. A hit that no request could be is refused."""

from __future__ import annotations

import pytest

from hub.tracking.datasets import Datasets
from hub.tracking.explain import MOST_SECONDS, NoSuchHit, explain
from hub.tracking.rules import RULESET
from tests.mmdb import city, write_mmdb

CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36"
)
BARE = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko)"
GMAIL = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"
READER, GOOGLE, MICROSOFT = "81.2.69.160", "66.249.93.84", "40.94.29.3"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Datasets:
    folder = tmp_path_factory.mktemp("data")
    london = city("London", "England", "United Kingdom", "GB")
    return Datasets.load(folder, write_mmdb(folder / "city.mmdb", {"81.2.69.0/24": london}))


def test_explain_tells_all_that_is_known(data: Datasets) -> None:
    told = explain(user_agent=CHROME, ip=READER, method="GET", headers=[], after_send_seconds=None, data=data)
    assert told == {
        "verdict": "human",
        "confidence": "high",
        "reasons": ["A browser on the reader's own device fetched it"],
        "place": {
            "city": "London",
            "region": "England",
            "country": "United Kingdom",
            "country_code": "GB",
            "hidden_by": None,
        },
        "device": {"type": "desktop", "os": "Windows", "client": "Chrome"},
        "ruleset": RULESET,
    }


def test_explain_takes_a_user_agent_that_is_not_latin_as_it_comes_over_the_wire(data: Datasets) -> None:
    told = explain(user_agent="日本", ip=READER, method="GET", headers=[], after_send_seconds=None, data=data)
    assert told["reasons"] == ["It names no mail program, browser or system that a person could be using"]


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "POST", "head"])
def test_explain_calls_anything_but_get_a_probe(data: Datasets, method: str) -> None:
    told = explain(user_agent=GMAIL, ip=GOOGLE, method=method, headers=[], after_send_seconds=9, data=data)
    assert told["verdict"] == "bot"
    assert told["reasons"] == ["It did not ask for the image (only GET does), and is not recorded"]


@pytest.mark.parametrize(
    ("header", "verdict"),
    [
        (("Sec-Purpose", "prefetch;prerender"), "prefetch"),
        (("X-Forwarded-For", "66.249.93.84"), "human"),
        (("User-Agent", "curl/8.4.0"), "human"),
    ],
)
def test_explain_takes_headers_as_a_request_does(data: Datasets, header: tuple[str, str], verdict: str) -> None:
    told = explain(user_agent=CHROME, ip=READER, method="get", headers=[header], after_send_seconds=60, data=data)
    assert told["verdict"] == verdict
    assert told["place"]["city"] == "London"


def test_explain_before_sending_is_the_senders(data: Datasets) -> None:
    told = explain(user_agent=CHROME, ip=READER, method="GET", headers=[], after_send_seconds=-0.5, data=data)
    assert told["verdict"] == "self"


@pytest.mark.parametrize(
    ("method", "headers", "seconds", "named"),
    [
        ("GET", [], float("nan"), "--after-send"),
        ("GET", [], float("inf"), "--after-send"),
        ("GET", [], float("-inf"), "--after-send"),
        ("GET", [], 1e300, "--after-send"),
        ("GET", [], -MOST_SECONDS - 1, "--after-send"),
        ("", [], 1, "--method"),
        ("GE T", [], 1, "--method"),
        ("GÉT", [], 1, "--method"),
        ("GET\n", [], 1, "--method"),
        ("GET", [("", "x")], 1, "--header"),
        ("GET", [("a b", "x")], 1, "--header"),
        ("GET", [("ä", "x")], 1, "--header"),
        ("GET", [("a", "x\ny: z")], 1, "--header"),
        ("GET", [("a", "\0")], 1, "--header"),
    ],
)
def test_explain_refuses_what_no_request_can_be(
    data: Datasets, method: str, headers: list[tuple[str, str]], seconds: float, named: str
) -> None:
    with pytest.raises(NoSuchHit, match=f"^{named} "):
        explain(user_agent=BARE, ip=MICROSOFT, method=method, headers=headers, after_send_seconds=seconds, data=data)


@pytest.mark.parametrize("seconds", [MOST_SECONDS, -MOST_SECONDS])
def test_explain_takes_any_time_that_can_be(data: Datasets, seconds: float) -> None:
    told = explain(user_agent=BARE, ip=MICROSOFT, method="M-SEARCH", headers=[], after_send_seconds=seconds, data=data)
    assert told["verdict"] == "bot"
