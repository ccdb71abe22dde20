"""The rules: their tables, and the verdicts that they give on people, with the confidence in these."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hub.model import COUNTABLE, Device, Place, Visit
from hub.tracking.classify import Context, classify, examine, explain_reason
from hub.tracking.datasets import RELAY_FILE, Datasets
from hub.tracking.rules import RULES, decide
from hub.tracking.rules_agents import AGENTS, identify
from hub.tracking.rules_networks import OWNERS

SENT = 1_790_000_000_000
LATER = SENT + 3_600_000
BARE = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko)"
BARE_FOO = "Mozilla/5.0 (foo) AppleWebKit/537.36 (KHTML, like Gecko)"
BARE_LINUX = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)"
BARE_ANDROID = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko)"
BARE_MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)"
BARE_IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"
ENGINE = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/86.0.4240.99"
CUT = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) "
ANDROID_CUT = "Mozilla/5.0 (Linux; Android 12; Pixel 4a (5G)) AppleWebKit/537.36 (KHTML, like"
INSTAGRAM = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 16_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Mobile/20G75 Instagram 296.0.0.18.107"
)
CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36"
)
SAFARI = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/17.5 Mobile/15E148 Safari/604.1"
)
MAC_SAFARI = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/17.1 Safari/605.1.15"
)
IPAD_MAIL = "Mozilla/5.0 (iPad; CPU OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148"
THUNDERBIRD = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Thunderbird/128.2.0"
WEB_VIEW = (
    "Mozilla/5.0 (Linux; Android 14; SM-S911B Build/UP1A.231005.007; wv) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Version/4.0 Chrome/128.0.6613.127 Mobile Safari/537.36"
)
READER, MICROSOFT, RELAY = "81.2.69.160", "40.94.29.3", "172.224.226.5"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Datasets:
    folder = tmp_path_factory.mktemp("data")
    (folder / RELAY_FILE).write_text("172.224.226.0/26,US,US-WA,Seattle,\n", encoding="utf-8")
    return Datasets.load(folder, None)


def visit(user_agent: str, address: str = READER) -> Visit:
    return Visit("m", 1, LATER, address, user_agent, False)


# The tables.


def test_rules_are_named_once_and_say_where_they_come_from() -> None:
    assert len({rule.code for rule in RULES}) == len(RULES)
    origins = [
        *((rule.source, rule.checked) for rule in RULES),
        *((agent.source, agent.checked) for agent in AGENTS),
        *((owner.source, owner.checked) for owner in OWNERS),
    ]
    for source, checked in origins:
        assert source.strip()
        assert checked.startswith("20")


def test_rules_speak_of_agents_and_networks_that_exist() -> None:
    agents = {agent.kind for agent in AGENTS}
    networks = {owner.name for owner in OWNERS} | {"apple_relay"}
    for rule in RULES:
        assert rule.agents is None or rule.agents <= agents, rule.code
        assert rule.networks is None or rule.networks <= networks, rule.code


def test_rules_never_take_a_mail_providers_proxy_for_a_machine() -> None:
    for agent in ("gmail_proxy", "yahoo_proxy", "mail_proxy"):
        for network in (None, *(owner.name for owner in OWNERS)):
            for moments in ({"any"}, {"any", "early"}, {"any", "early", "burst"}):
                said = decide(agent, network, frozenset(moments))
                assert said.verdict in COUNTABLE or said.code.startswith(("scanner_network", "microsoft_filter"))


def test_rules_can_each_be_reached() -> None:
    """No rule is hidden by those before it."""
    reached = {
        decide(agent, network, frozenset(moments)).code
        for agent in {agent.kind for agent in AGENTS}
        for network in (None, "apple_relay", *(owner.name for owner in OWNERS))
        for moments in (
            {"any"},
            {"any", "early"},
            {"any", "early", "burst"},
            {"any", "before_sent"},
            {"any", "viewing"},
            {"any", "fetched_ahead"},
            {"any", "unlisted"},
            {"any", "apple_device"},
        )
    }
    assert reached == {rule.code for rule in RULES}


@pytest.mark.parametrize(
    ("user_agent", "told"),
    [
        ("WhatsApp/2.23.20.0 A", ("preview", "whatsapp")),
        ("Messenger for WhatsApp/1 CFNetwork/3826.500.131 Darwin/24.5.0", ("preview", "whatsapp")),
        ("ViberUrlDownloader", ("preview", "viber")),
        ("Mattermost-Bot/1.1", ("preview", "mattermost")),
        (f"Mozilla/5.0 (Linux; Android 8.0.0; Expanse) {ENGINE} Mobile Safari/537.36", ("browser", None)),
        (f"Mozilla/5.0 (Linux; Android 8.0.0; Foo/1.0; expanse) {ENGINE} Safari/537.36", ("crawler", "expanse")),
        (f"Mozilla/5.0 (Linux; Android 8.0.0; Foobot/1.0) {ENGINE} Safari/537.36", ("crawler", None)),
        (f"Mozilla/5.0 (Linux; Android 8.0.0; Pixel 2) {ENGINE} Safari/537.36 (compatible; Foobot)", ("crawler", None)),
        ("Foobot (Linux; Android 8.0.0; spider)", ("crawler", None)),
        # Whom to ask about a machine is no mail program that it reads with.
        ("Foo/1.0 (lena@outlook.com)", ("crawler", None)),
        ("Foo/1.0 (outlook-team@example.com)", ("crawler", None)),
        ("Foo/1.0 (lena[at]protonmail.com)", ("crawler", None)),
        ("Foo/1.0 (+https://outlook.com/foo)", ("crawler", None)),
        ("Foo/1.0 (+mailto:lena@ymail.com)", ("crawler", None)),
        ("Evolution/3.52.3 (+https://wiki.gnome.org/Apps/Evolution)", ("mail_program", None)),
        (f"Mozilla/5.0 (X11; Linux x86_64) {ENGINE} Safari/537.36 lena@example.com", ("crawler", None)),
        (f"Mozilla/5.0 (Linux; Android 10; K) {ENGINE} Mobile Safari/537.36 (Ecosia android@150.0)", ("browser", None)),
        (
            "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Thunderbird/128.2 lena@example.com",
            ("mail_program", None),
        ),
        ("BinaryCanary/1.0 (+https://www.binarycanary.com)", ("crawler", None)),
    ],
)
def test_agents_tell_a_machines_name_from_a_phones_and_a_chat_programs(
    user_agent: str, told: tuple[str, str | None]
) -> None:
    assert identify(user_agent) == told


@given(st.text(max_size=600))
@example("Yandex" + "_lena_at_customer_example" * 20 + "Bot")
def test_agents_identify_any_text(user_agent: str) -> None:
    kind, name = identify(user_agent)
    assert kind in {agent.kind for agent in AGENTS}
    assert name is None or (name in user_agent.lower() and len(name) <= 64)


# People, and how sure the verdict is.


@pytest.mark.parametrize(
    ("user_agent", "after", "confidence", "code"),
    [
        *((bare, 3_600_000, "high", "mail_program") for bare in (BARE, BARE_MAC, BARE_IPHONE)),
        *((bare, 3_600_000, "low", "vague") for bare in (BARE_FOO, BARE_LINUX, BARE_ANDROID)),
        (BARE, 1_000, "medium", "own_early"),
        (BARE_FOO, 1_000, "low", "vague"),
        (CUT + "AppleWebKit/537.36", 3_600_000, "low", "vague"),
        (CUT + "AppleWebKit/537.36", 1_000, "low", "vague"),
        (CUT + "Gecko", 3_600_000, "low", "vague"),
        (CUT + "Gecko/20100101", 3_600_000, "low", "vague"),
        ("Mozilla/5.0 AppleWebKit/537.36", 3_600_000, "low", "vague"),
        (ANDROID_CUT, 3_600_000, "low", "vague"),
        (INSTAGRAM, 3_600_000, "high", "browser"),
    ],
)
def test_verdict_on_an_engine_alone_is_a_mail_programs_or_says_little(
    data: Datasets, user_agent: str, after: int, confidence: str, code: str
) -> None:
    verdict = classify(examine(visit(user_agent), data), SENT + after, Context(SENT))
    assert (verdict.verdict, verdict.confidence, verdict.reasons) == ("human", confidence, (code,))


@pytest.mark.parametrize("user_agent", [BARE, BARE_FOO, BARE_LINUX, BARE_ANDROID])
def test_verdict_on_an_engine_alone_from_microsoft_is_outlooks_proxy(data: Datasets, user_agent: str) -> None:
    evidence = examine(visit(user_agent, MICROSOFT), data)
    assert classify(evidence, LATER, Context(SENT)).reasons == ("outlook_proxy",)
    assert (evidence.place, evidence.device) == (Place(hidden_by="outlook"), Device(client="Outlook"))


@pytest.mark.parametrize("after", [1_000, 3_600_000])
@pytest.mark.parametrize(
    ("user_agent", "apples"),
    [(SAFARI, True), (MAC_SAFARI, True), (IPAD_MAIL, True), (CHROME, False), (THUNDERBIRD, False), (WEB_VIEW, False)],
)
def test_reader_behind_apples_relay_is_less_sure_without_an_apple_device(
    data: Datasets, tmp_path: Path, user_agent: str, *, apples: bool, after: int
) -> None:
    for used, code, confidence in (
        (data, "relay_reader", "high"),
        (Datasets.load(tmp_path, None), "relay_reader_roughly", "medium"),
    ):
        evidence = examine(visit(user_agent, RELAY), used)
        verdict = classify(evidence, SENT + after, Context(SENT))
        assert (verdict.verdict, evidence.place) == ("human", Place(hidden_by="apple"))
        told = (code, confidence) if apples else ("relay_reader_unlikely", "low")
        assert (verdict.reasons[0], verdict.confidence) == told


@pytest.mark.parametrize("user_agent", ["", "-", "null", "unknown", "n/a"])
def test_verdict_on_a_client_without_a_name_is_a_machine_and_not_certain(data: Datasets, user_agent: str) -> None:
    verdict = classify(examine(visit(user_agent), data), LATER, Context(SENT))
    assert (verdict.verdict, verdict.confidence) == ("bot", "medium")
    assert [explain_reason(code) for code in verdict.reasons] == [
        "It does not name itself, as mail programs and browsers do"
    ]


@pytest.mark.parametrize(
    ("user_agent", "confidence", "code"),
    [
        ("AmazonWorkMail", "medium", "app"),
        ("KMail/5.24.5", "high", "mail_program"),
        ("Spark/2.11.20", "high", "mail_program"),
        ("eMClient/9.3.6041.0", "high", "mail_program"),
        ("Dalvik/1.6.0 (Linux; U; Android 4.2.2; Lark Evolution 10 Build/JDQ39)", "medium", "app"),
    ],
)
def test_verdict_on_a_mail_program_is_by_its_whole_name(
    data: Datasets, user_agent: str, confidence: str, code: str
) -> None:
    verdict = classify(examine(visit(user_agent), data), LATER, Context(SENT))
    assert (verdict.verdict, verdict.confidence, verdict.reasons) == ("human", confidence, (code,))
