"""Devices: named as far as the User-Agent can be believed, in bounded time and memory."""

from __future__ import annotations

import subprocess
import sys

import pytest
import ua_parser
from hypothesis import given
from hypothesis import strategies as st
from ua_parser import BasicResolver, Parser, load_builtins, load_lazy_builtins
from ua_parser.regex import Resolver as RegexResolver

from hub.model import Device
from hub.tracking.device import CACHED_USER_AGENTS, NAME, _read, read_device
from tests.test_corpus import HITS

WEBKIT = "AppleWebKit/605.1.15 (KHTML, like Gecko)"
CHROME = "AppleWebKit/537.36 (KHTML, like Gecko)"


@pytest.mark.parametrize(
    ("user_agent", "device"),
    [
        ("", Device()),
        ("Mozilla/5.0", Device()),
        (
            "Microsoft Office/16.0 (Windows NT 10.0; Microsoft Outlook 16.0.17928; Pro)",
            Device("desktop", "Windows", "Outlook"),
        ),
        ("Mozilla/4.0 (compatible; ms-office; MSOffice 16)", Device("desktop", "Windows", "Outlook")),
        ("Outlook-iOS/711.3061168.prod.iphone", Device("mobile", "iOS", "Outlook")),
        (
            f"Mozilla/5.0 (iPad; CPU OS 17_5 like Mac OS X) {WEBKIT} Mobile/15E148 Outlook-iOS/2.0",
            Device("tablet", "iOS", "Outlook"),
        ),
        ("Outlook-iOS/711.3061168.prod.ipad", Device("tablet", "iOS", "Outlook")),
        ("Outlook-iOS/2.0 (iPad; iOS 17.5)", Device("tablet", "iOS", "Outlook")),
        ("Microsoft Office/16.0 (Apple iPad; Microsoft Outlook)", Device("tablet", "iOS", "Outlook")),
        ("Microsoft Office/16.0 (Apple iPhone; Microsoft Outlook)", Device("mobile", "iOS", "Outlook")),
        ("Outlook-Android/2.0", Device("mobile", "Android", "Outlook")),
        ("MacOutlook/16.46.21021202 (Intelx64 Mac OS X 11.2.2)", Device("desktop", "macOS", "Outlook")),
        ("Outlook/16.16.18071205 CFNetwork/902.1 Darwin/17.7.0", Device("desktop", "macOS", "Outlook")),
        (f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {CHROME}", Device("desktop", "Windows", "Outlook")),
        (f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {WEBKIT}", Device("desktop", "macOS", "Apple Mail")),
        (
            f"Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) {WEBKIT} Mobile/15E148",
            Device("mobile", "iOS", "Apple Mail"),
        ),
        (
            f"Mozilla/5.0 (iPad; CPU OS 17_5 like Mac OS X) {WEBKIT} Mobile/15E148",
            Device("tablet", "iOS", "Apple Mail"),
        ),
        (f"Mozilla/5.0 (X11; Linux x86_64) {WEBKIT}", Device("desktop", "Linux", None)),
        (f"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {WEBKIT}", Device("desktop", "ChromeOS", None)),
        (
            f"Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) {WEBKIT} Version/17.5 Mobile/15E148 Safari/604.1",
            Device("mobile", "iOS", "Safari"),
        ),
        (
            "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Thunderbird/128.2.0",
            Device("desktop", "Linux", "Thunderbird"),
        ),
        (
            f"Mozilla/5.0 (Linux; Android 13; SM-S908B; wv) {CHROME} Version/4.0 Chrome/108.0 Mobile Safari/537.36 "
            "SamsungEmail/6.1.74",
            Device("mobile", "Android", "Samsung Email"),
        ),
        (
            f"Mozilla/5.0 (Linux; Android 9; Partner Evolution) {CHROME} Chrome/80.0.3987.119 Mobile Safari/537.36",
            Device("mobile", "Android", "Chrome"),
        ),
        (
            f"Mozilla/5.0 (Linux; Android 16; SC-51F Build/BP4A.251205.006; wv) {CHROME} Version/4.0 "
            "Chrome/152.0.7977.88 Mobile Safari/537.36 YJApp-ANDROID jp.co.yahoo.android.ybrowser/3.67.0.1",
            Device("mobile", "Android", "Android WebView"),
        ),
        ("Evolution/3.52.3", Device("desktop", "Linux", "Evolution")),
        ("KMail/5.24.5", Device("desktop", "Linux", "KMail")),
        ("YahooMobileMail/1.0 (Android Mail; 6.1)", Device("mobile", "Android", "Yahoo Mail")),
        ("com.google.Gmail/6.0.230910 iSL/3.4 iPhone/16.6 hw/iPhone14_5", Device("mobile", "iOS", "Gmail")),
        (
            f"Mozilla/5.0 (Linux; Android 14; SM-S911B Build/UP1A.231005.007; wv) {CHROME} Version/4.0 "
            "Chrome/128.0.6613.127 Mobile Safari/537.36",
            Device("mobile", "Android", "Android WebView"),
        ),
        (
            f"Mozilla/5.0 (Linux; Android 13; SM-X900) {CHROME} Chrome/116.0.0.0 Safari/537.36",
            Device("tablet", "Android", "Chrome"),
        ),
        (
            "Mozilla/5.0 (Android 15; Tablet; rv:145.0) Gecko/145.0 Firefox/145.0",
            Device("tablet", "Android", "Firefox"),
        ),
        (
            "Mozilla/5.0 (X11; FreeBSD amd64; rv:128.0) Gecko/20100101 Thunderbird/128.2.0",
            Device("desktop", "FreeBSD", "Thunderbird"),
        ),
        (
            f"Mozilla/5.0 (Linux; Android 13) {CHROME} Chrome/116 Mobile DuckDuckGo/5 Safari/537.36",
            Device("mobile", "Android", "DuckDuckGo Mobile"),
        ),
        (
            f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {CHROME} Chrome/124.0.0.0 Safari/537.36 Edg/124.0.0.0",
            Device("desktop", "Windows", "Edge"),
        ),
        (
            f"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {CHROME} Chrome/120.0.0.0 Safari/537.36",
            Device("desktop", "ChromeOS", "Chrome"),
        ),
        (
            f"Mozilla/5.0 (Linux; Android 7.0; M bot 60) {CHROME} Chrome/58.0.3029.83 Mobile Safari/537.36",
            Device("mobile", "Android", "Chrome"),
        ),
        (
            f"Mozilla/5.0 (Linux; Android 13; Spider 8) {CHROME} Chrome/124.0.0.0 Mobile Safari/537.36",
            Device("mobile", "Android", "Chrome"),
        ),
        (
            f"Mozilla/5.0 (Phone; OpenHarmony 5.0) {CHROME} Chrome/114.0.0.0 Safari/537.36 ArkWeb/4.1.6.1 Mobile",
            Device("mobile", "HarmonyOS", "Chrome"),
        ),
        (
            f"Mozilla/5.0 (Tablet; OpenHarmony 5.0) {CHROME} Chrome/114.0.0.0 Safari/537.36 ArkWeb/4.1.6.1",
            Device("tablet", "HarmonyOS", "Chrome"),
        ),
        (
            f"Mozilla/5.0 (PC; OpenHarmony 6.1; Windows NT 10.0) {CHROME} Chrome/132.0.0.0 Safari/537.36 "
            "ArkWeb/6.1.0.100 HuaweiBrowser/6.1.3.321",
            Device("desktop", "HarmonyOS", "Huawei Browser"),
        ),
        (
            f"Mozilla/5.0 (Linux; Android 10; HarmonyOS; TET-AN00; HMSCore 6.1.0.314) {CHROME} Chrome/88.0.4324.93 "
            "HuaweiBrowser/11.1.5.310 Mobile Safari/537.36",
            Device("mobile", "HarmonyOS", "Huawei Browser"),
        ),
        (
            "Mozilla/5.0 (Windows NT 6.1; Trident/7.0; rv:11.0) like Gecko",
            Device("desktop", "Windows", "Internet Explorer"),
        ),
    ],
)
def test_device_of_a_user_agent(user_agent: str, device: Device) -> None:
    assert read_device(user_agent) == device


@pytest.mark.parametrize(
    "user_agent", ["AmazonWorkMail", "WorkMail/3.1", "QuickMail/1.2", "SparkMail/3", "BinaryCanary/1.0"]
)
def test_device_of_a_mail_program_whose_name_ends_like_anothers_is_not_the_others(user_agent: str) -> None:
    client = read_device(user_agent).client or ""
    assert client not in ("KMail", "Spark", "Canary Mail")


def test_device_does_not_repeat_what_only_a_hostile_user_agent_says() -> None:
    """ua-parser takes any word around "favicon" for a program's name."""
    assert read_device("xfaviconx/1.0").client == "xfaviconx"
    assert read_device("\N{SNOWMAN}faviconé/1.0").client is None


@given(st.text(max_size=600))
def test_device_of_any_text_says_nothing_but_short_names(user_agent: str) -> None:
    device = read_device(user_agent)
    for name in (device.os, device.client):
        assert name is None or NAME.fullmatch(name)


def test_device_looks_at_no_more_than_the_first_bytes() -> None:
    assert read_device("a" * 512 + " Thunderbird/128.0") == read_device("a" * 512)


def test_device_memory_is_bounded() -> None:
    for number in range(CACHED_USER_AGENTS + 10):
        read_device(f"x{number}")
    assert _read.cache_info().currsize == CACHED_USER_AGENTS


def test_engine_has_read_its_rules_once_it_is_prepared() -> None:
    """The engine reads its rules once in a process, so this test starts one of its own."""
    program = (
        "import ua_parser; from hub.tracking import device; print('parser' in vars(ua_parser));"
        "device.prepare(); print('parser' in vars(ua_parser))"
    )
    said = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert said.split() == ["False", "True"]


def test_device_is_the_same_with_either_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The compiled one cannot be had for every machine."""
    engines = (BasicResolver(load_builtins()), RegexResolver(load_lazy_builtins()))
    devices = []
    for engine in engines:
        monkeypatch.setattr(ua_parser, "parser", Parser(engine))
        _read.cache_clear()
        devices.append([read_device(hit.user_agent) for hit in HITS])
    assert devices[0] == devices[1]
    assert len(set(devices[0])) > 20


def test_engine_that_is_used_is_the_fast_one_where_it_is_installed() -> None:
    assert ua_parser.BestAvailableResolver is RegexResolver
