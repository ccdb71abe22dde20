"""The mail programs: how each names itself in its User-Agent.

Promise: an ordered table, most specific first; the first pattern found says which program a person
reads with. It serves both the verdict (a mail program is a person's own) and the device.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from hub.model import DeviceType


class Program(NamedTuple):
    """How a mail program names itself, in lower case.

    `type` and `os` are what is certain of it where its User-Agent is not in a browser's form.
    """

    pattern: str
    client: str
    type: DeviceType | None = None
    os: str | None = None


BARE_WEBKIT = r"^mozilla/5\.0 \([^)]*\) applewebkit/[\d.]+ \(khtml, like gecko\)$"
"""WebKit with no browser after it: Outlook.com's proxy, Apple Mail, or the new Outlook for Windows. Only
the network can tell the first from the others (warmbly 564, 569; read 2026-11). With another system than
theirs it is no mail program's, and means nothing unless it comes from Microsoft's network."""
BARE_WEBKIT_ON = BARE_WEBKIT.replace(r"\([^)]*\) apple", r"\((?:%s)[^)]*\) apple")
BARE_MAIL = BARE_WEBKIT_ON % "macintosh|windows|iphone|ipad|ipod"
APPLE_MAIL_TOUCH = (
    r"^mozilla/5\.0 \((?:iphone|ipad|ipod)[^)]*\) applewebkit/[\d.]+ \(khtml, like gecko\)(?: mobile/\w+)?$"
)
"""Mail on an iPhone or iPad: a web view that may name its build, and names no browser."""

# Sources: matomo-org/device-detector pim.yml and its fixtures; ua-parser/uap-core regexes.yaml;
# warmbly mailclient_test.go; the programs' own names in the stores. Checked 2026-11.
PROGRAMS: tuple[Program, ...] = (
    Program(BARE_WEBKIT_ON % "macintosh", "Apple Mail", "desktop", "macOS"),
    Program(BARE_WEBKIT_ON % "windows", "Outlook", "desktop", "Windows"),
    Program(APPLE_MAIL_TOUCH, "Apple Mail", "mobile", "iOS"),
    Program(r"outlook-(?:ios-)?android|outlook.*\bandroid|microsoft\.office\.outlook", "Outlook", "mobile", "Android"),
    Program(r"outlook.*\bipad|ipad.*outlook", "Outlook", "tablet", "iOS"),
    Program(r"iphone.*outlook", "Outlook", "mobile", "iOS"),
    Program(r"outlook-ios|outlook.*\b(?:iphone|ipad|ios)\b", "Outlook", "mobile", "iOS"),
    Program(r"macoutlook|outlook/.*darwin|outlook.*\bmac(?:intosh| os)", "Outlook", "desktop", "macOS"),
    Program(r"macintosh.*outlook|mac os.*outlook", "Outlook", "desktop", "macOS"),
    Program(r"outlook-express|windows ?live ?mail", "Windows Live Mail", "desktop", "Windows"),
    Program(r"windowsmail|microsoft\.windowscommunicationsapps|windows mail", "Windows Mail", "desktop", "Windows"),
    Program(r"outlook|ms-office|msoffice", "Outlook", "desktop", "Windows"),
    Program(r"microsoft (?:office )?(?:word|excel|powerpoint)|microsoft office/", "Microsoft Office", "desktop"),
    Program(r"betterbird", "Betterbird", "desktop"),
    Program(r"thunderbird|icedove|shredder/", "Thunderbird"),
    Program(r"seamonkey|iceape", "SeaMonkey", "desktop"),
    Program(r"samsung ?e?mail|secemail|com\.samsung\.android\.email", "Samsung Email", "mobile", "Android"),
    Program(r"yahoo(?: |%20)?(?:mobile|mail)|ymail|com\.yahoo\.", "Yahoo Mail"),
    Program(r"android-gmail|com\.google\.android\.gm", "Gmail", "mobile", "Android"),
    Program(r"com\.google\.gmail|gmail/", "Gmail"),
    Program(r"mobilemail|maild/", "Apple Mail", "mobile", "iOS"),
    Program(r"^mail/", "Apple Mail", "desktop", "macOS"),
    Program(r"applemail|apple mail", "Apple Mail"),
    Program(r"airmail", "Airmail"),
    Program(r"spark/(?<!\wspark/)|sparkdesktop/|readdle", "Spark"),
    Program(r"k-9 mail|k9mail|k-9/", "K-9 Mail", "mobile", "Android"),
    Program(r"fairemail|eu\.faircode\.email", "FairEmail", "mobile", "Android"),
    Program(r"aqua ?mail", "Aqua Mail", "mobile", "Android"),
    Program(r"bluemail", "BlueMail"),
    Program(r"em(?<!\wem) ?client", "eM Client", "desktop"),
    Program(r"mailbird", "Mailbird", "desktop", "Windows"),
    Program(r"mailspring", "Mailspring", "desktop"),
    Program(r"postbox", "Postbox", "desktop"),
    Program(r"mailmate", "MailMate", "desktop", "macOS"),
    Program(r"mimestream", "Mimestream", "desktop", "macOS"),
    Program(r"the bat!", "The Bat!", "desktop", "Windows"),
    Program(r"foxmail", "Foxmail", "desktop"),
    Program(r"mailmaster", "Mail Master"),
    Program(r"navermail", "NAVER Mail", "mobile"),
    Program(r"lotus[- ]notes|ibm ?notes|hcl ?notes", "Notes", "desktop"),
    Program(r"groupwise", "GroupWise", "desktop"),
    Program(r"zimbra", "Zimbra", "desktop"),
    Program(r"evolution/(?<!\wevolution/)", "Evolution", "desktop", "Linux"),
    Program(r"kmail(?<!\wkmail)|kontact", "KMail", "desktop", "Linux"),
    Program(r"geary", "Geary", "desktop", "Linux"),
    Program(r"claws[- ]mail|sylpheed", "Claws Mail", "desktop"),
    Program(r"superhuman", "Superhuman"),
    Program(r"proton ?mail", "Proton Mail"),
    Program(r"tutanota|tuta/(?<!\wtuta/)", "Tuta"),
    Program(r"canary/(?<!\wcanary/)|canary mail", "Canary Mail"),
    Program(r"edison ?mail|easilydo", "Edison Mail"),
    Program(r"newton/(?<!\wnewton/)|cloudmagic/", "Newton"),
    Program(r"spike/(?<!\wspike/)|spikenow/", "Spike"),
    Program(r"missive/(?<!\wmissive/)", "Missive"),
    Program(r"barca(?:pro)?[/ ]", "Barca", "desktop", "Windows"),
    Program(r"mailbar/", "MailBar", "desktop", "macOS"),
    Program(r"eudora", "Eudora", "desktop"),
    Program(r"pegasus mail", "Pegasus Mail", "desktop", "Windows"),
    Program(r"blackberry hub|bb10.*mail", "BlackBerry Hub", "mobile"),
)  # fmt: skip

_PROGRAMS = tuple((re.compile(row.pattern), row) for row in PROGRAMS)

AT_THE_START = "|".join(row.pattern for row in PROGRAMS if row.pattern.startswith("^"))
ANYWHERE = "|".join(row.pattern for row in PROGRAMS if not row.pattern.startswith("^"))
"""All programs in two patterns. The first is tried at the start only. Each branch of the second begins with a
letter, which `re` finds several times as fast; where a word has to begin, a look-behind after it says so."""
_ANY = (re.compile(AT_THE_START), re.compile(ANYWHERE))

AT = r"(?:@|[(\[]at[)\]])"
MAIL_ADDRESS = rf"{AT}[a-z][\w-]*\.[a-z]{{2,}}"
"""The end of a mail address. A version may follow an @, too: "(Ecosia ios@11.0.2)"."""
_CONTACT = re.compile(rf"https?://[^\s;,()]*|\bmailto:[^\s;,()]*|[\w.+-]{{1,64}}+{MAIL_ADDRESS}[\w.-]*")


def without_contacts(lowered: str) -> str:
    """A User-Agent, in lower case, less the pages and mail addresses in it.

    Who runs a machine may be asked at outlook.com or protonmail.com, which says nothing of the machine.
    """
    return _CONTACT.sub(" ", lowered) if ":" in lowered or re.search(AT, lowered) else lowered


def mail_program(lowered: str) -> Program | None:
    """The mail program that a User-Agent, in lower case, names or is known by; None for none."""
    lowered = without_contacts(lowered)
    if not any(pattern.search(lowered) for pattern in _ANY):
        return None
    return next(row for pattern, row in _PROGRAMS if pattern.search(lowered))
