"""Devices: what kind of machine, system and mail program or browser a User-Agent names.

Promise: only short names come out of a User-Agent; a hostile one costs no more than a capped one, and any number
of different ones take bounded memory. An image proxy's User-Agent names no reader's device, so `classify` does not
ask about it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from types import ModuleType

import ua_parser

from hub.model import Device, DeviceType
from hub.tracking.rules_agents import MODEL
from hub.tracking.rules_programs import mail_program
from hub.tracking.visit import USER_AGENT_BYTES


@contextmanager
def _without_old_rules() -> Iterator[None]:
    """While it lasts, ua-parser's old interface finds no rules to read.

    `user_agents` 2.2 imports that interface, which nothing here asks (see `_Parsed`). Its rules would take a sixth of
    the time of all the hub's imports (measured 2026-11).
    """
    rules = ModuleType("ua_parser_builtins.regexes")
    vars(rules).update(USER_AGENT_PARSERS=(), OS_PARSERS=(), DEVICE_PARSERS=())
    there = sys.modules.setdefault(rules.__name__, rules)
    try:
        yield
    finally:
        if there is rules:
            del sys.modules[rules.__name__]


with _without_old_rules():
    from user_agents.parsers import UserAgent, parse_browser, parse_device, parse_operating_system

CACHED_USER_AGENTS = 4096
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 .+!/&'-]{0,39}")
"""What a system's or program's name may look like; anything else came out of a hostile User-Agent."""


SYSTEMS = {
    "Mac OS X": "macOS",
    "Chrome OS": "ChromeOS",
    "Ubuntu": "Linux",
    "Fedora": "Linux",
    "Debian": "Linux",
}
BROWSERS = {
    "Android": None,
    "Apple Mail": None,
    "Chrome Mobile": "Chrome",
    "Chrome Mobile iOS": "Chrome",
    "Chrome Mobile WebView": "Android WebView",
    "Edge Mobile": "Edge",
    "Firefox iOS": "Firefox",
    "Firefox Mobile": "Firefox",
    "IE": "Internet Explorer",
    "Mobile Safari": "Safari",
    "Mobile Safari UI/WKWebView": None,
    "Other": None,
}
"""Browsers by the name people know; None for a web view inside a program that does not name itself. To ua-parser all
WebKit without a browser after it is "Apple Mail", on Linux, too: `mail_program` knows on which systems that is so."""

HARMONY = re.compile(r"(?:\((?P<type>phone|tablet|pc|2in1); ?)?(?:openharmony|harmonyos)")
"""Huawei's system. ua-parser takes its older versions for Android, and its computers, which say "Windows NT" as well,
for Windows (developer.huawei.com, web-default-useragent; matomo-org/device-detector fixtures; 2026-11)."""
HARMONY_TYPES: dict[str | None, DeviceType] = {
    "phone": "mobile",
    "tablet": "tablet",
    "pc": "desktop",
    "2in1": "desktop",
}

UNKNOWN = Device()


class _Parsed(UserAgent):  # type: ignore[misc]
    """A User-Agent as `user_agents` tells it, parsed by the fastest engine that is installed.

    `user_agents` 2.2 itself asks ua-parser's old interface, which always takes the slow one: 0.8 ms for a
    new User-Agent, where the compiled engine (ua-parser-rs, in the extra `fast`) takes 25 us (bench/classify.py,
    2026-11).
    """

    def __init__(self, user_agent: str) -> None:
        found = ua_parser.parse(user_agent).with_defaults()
        os, browser, device = found.os, found.user_agent, found.device
        self.ua_string = user_agent
        self.os = parse_operating_system(os.family, os.major, os.minor, os.patch, os.patch_minor)
        self.browser = parse_browser(browser.family, browser.major, browser.minor, browser.patch)
        self.device = parse_device(device.family, device.brand, device.model)


def prepare() -> None:
    """Have the engine read its rules, which takes a tenth of a second, before somebody's hit has to wait for it."""
    ua_parser.parse("")


def read_device(user_agent: str) -> Device:
    """The device, system and program that `user_agent` names; unknown or None where it does not."""
    return _read(user_agent[:USER_AGENT_BYTES])


@lru_cache(maxsize=CACHED_USER_AGENTS)
def _read(user_agent: str) -> Device:
    if not user_agent:
        return UNKNOWN
    parsed = _Parsed(user_agent)
    lowered = user_agent.lower()
    kind = _kind(parsed, lowered)
    system = SYSTEMS.get(parsed.os.family, parsed.os.family)
    system = _name(system) if system != "Other" else None
    harmony = HARMONY.search(lowered)
    if harmony:
        kind, system = HARMONY_TYPES.get(harmony["type"], kind), "HarmonyOS"
    program = mail_program(lowered)
    if program is None:
        family = _browser(parsed, lowered)
        return Device(kind, system, _name(BROWSERS.get(family, family)))
    if lowered.startswith("mozilla/"):
        return Device(kind if kind != "unknown" else program.type or kind, system or program.os, program.client)
    return Device(program.type or kind, program.os or system, program.client)


def _browser(parsed: _Parsed, lowered: str) -> str:
    """The browser as ua-parser names it, which takes a telephone with a crawler's name, such as "M bot 60", for one."""
    family: str = parsed.browser.family
    found = MODEL.search(lowered)
    if found:
        system, _, model = found.group().partition(";")
        if family.lower() in model:
            told = parsed.ua_string
            family = _Parsed(told[: found.start() + len(system)] + told[found.end() :]).browser.family
    return family


def _kind(parsed: _Parsed, lowered: str) -> DeviceType:
    """The type of device, as `user_agents` tells it, except on Android.

    There `user_agents` takes whatever does not say "Mobile Safari" for a tablet, mail programs included.
    """
    if parsed.os.family == "Android":
        browser = lowered.startswith("mozilla/") and "mobile" not in lowered
        return "tablet" if browser and (parsed.is_tablet or "; tablet;" in lowered) else "mobile"
    if parsed.is_tablet:
        return "tablet"
    if parsed.is_mobile:
        return "mobile"
    return "desktop" if parsed.is_pc or "(x11;" in lowered else "unknown"


def _name(family: str | None) -> str | None:
    return family if family and NAME.fullmatch(family) else None
