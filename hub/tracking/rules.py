"""The rules: what a hit was.

Promise: an ordered, named table. The first rule whose every condition holds gives the verdict; a
condition left out always holds. Adding a rule is one entry here and one row in tests/corpus.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, NamedTuple

from hub.model import Confidence, VerdictName
from hub.tracking.rules_networks import APPLE_RELAY, APPLE_RELAY_ROUGHLY, SCANNERS

RULESET = "2026-11.23"
"""Stored with each verdict. Change it whenever a rule changes."""

DELIVERY_WINDOW_MS = 15_000
"""The delivery window, counted from the confirmed `sent_at`, both ends included. Scanners fetch within
seconds of delivery: the windows found in public code are 2 s (Mautic 7.1), 10 s (auxx-ai 1211) and 15 s
(`DELIVERY_COINCIDENT_THRESHOLD_SECONDS`). Minutes would drop quick readers."""

BURST_CLIENTS = 3
"""This many different clients on one pixel within the delivery window are a scanner. Two can be one person's
telephone and computer; the eight fetches that Outlook makes for one reading are one client."""

SHARERS_PER_CLIENT = 100
"""How many people who share a pixel raise the number of clients in a burst by one: some of them are quick."""

VIEWING_MS = 10_000
"""A hit this close to the sender's looking at the message is the sender's own (protocol, `viewing`)."""

Moment = Literal["any", "early", "before_sent", "viewing", "fetched_ahead", "burst", "unlisted", "apple_device"]
"""`unlisted`: Apple's list is not loaded, so nobody can tell whether the address is of Apple's relay.
`apple_device`: the device's system is one of `APPLE_SYSTEMS`."""

APPLE_SYSTEMS = frozenset({"macOS", "iOS", "iPadOS"})
"""The systems whose programs use Apple's Private Relay (support.apple.com/102602, 2026-11)."""


class Rule(NamedTuple):
    """One rule. `code` is stored as the reason and `words` are shown for it.

    It holds for hits by one of `agents` (None: any), from one of `networks` (None: any), at its `moment`.
    """

    code: str
    verdict: VerdictName
    confidence: Confidence
    words: str
    source: str
    checked: str
    agents: frozenset[str] | None = None
    networks: frozenset[str] | None = None
    moment: Moment = "any"


def _of(words: str) -> frozenset[str]:
    return frozenset(words.split())


GOOGLE = _of("gmail google")
MICROSOFT = _of("microsoft microsoft_filter")
FILTER = _of("microsoft_filter")
RELAY = _of(APPLE_RELAY)
ROUGHLY = _of(APPLE_RELAY_ROUGHLY)
CLOUD = _of("gmail google microsoft")
BARE = _of("bare_mail bare_webkit")
BROWSER = BARE | _of("browser edge_12 vague bare_engine")
OWN = _of("browser edge_12 bare_mail mail_program app")

# fmt: off
RULES: tuple[Rule, ...] = (
    # The sender's own.
    Rule("before_sent", "self", "high", "The message had not been sent yet",
         "protocol.md, sent_at", "2026-11", moment="before_sent"),
    Rule("viewing", "self", "high", "The sender was looking at the message",
         "protocol.md, viewing", "2026-11", moment="viewing"),

    # Fetched ahead of a reader.
    Rule("fetched_ahead", "prefetch", "high", "The request itself said that it was fetched ahead",
         "MDN Sec-Purpose; GoatCounter isbot", "2026-11", moment="fetched_ahead"),
    Rule("gmail_prefetch", "prefetch", "high", "Gmail fetched the image ahead, at delivery",
         "SparkPost 2022-05: 1 to 6 % of Gmail's fetches", "2026-11", _of("gmail_prefetch"), GOOGLE),
    Rule("gmail_prefetch_alike", "prefetch", "medium", "It looks like Gmail fetching ahead",
         "the same User-Agent less its last word, from Google's network", "2026-11", _of("edge_12"), GOOGLE),
    Rule("gmail_prefetch_elsewhere", "prefetch", "medium",
         "It looks like Gmail fetching ahead, though not from a network known as Google's",
         "SparkPost 2022-05", "2026-11", _of("gmail_prefetch")),
    Rule("gmail_sampling", "prefetch", "high", "Google sampled the content of the mail",
         "SparkPost; prefetch lists of public trackers, 2026-05", "2026-11", _of("gmail_sampling")),

    # Security products, by their own networks. Before Apple: a scanner may send a bare Mozilla/5.0, too.
    Rule("scanner_network_early", "scanner", "high",
         "It came from a mail security product's network, within seconds of sending",
         "rules_networks.SCANNERS", "2026-11", None, SCANNERS, "early"),
    Rule("scanner_network", "scanner", "medium", "It came from a mail security product's network",
         "rules_networks.SCANNERS; warmbly 412: medium, for a person may be isolated there", "2026-11",
         None, SCANNERS),

    # Apple Mail Privacy Protection.
    Rule("apple_prefetch", "prefetch", "high",
         "Apple Mail Privacy Protection fetched it, from Apple's relay, whether or not it was read",
         "Apple, mask-api.icloud.com/egress-ip-ranges.csv; Mailgun", "2026-11", _of("apple_prefetch"), RELAY),
    Rule("apple_prefetch_unlisted", "prefetch", "medium", "It looks like Apple Mail Privacy Protection",
         "Mailgun; ClickDimensions; MailPoet", "2026-11", _of("apple_prefetch"), moment="unlisted"),
    Rule("apple_prefetch_elsewhere", "prefetch", "medium",
         "It looks like Apple Mail Privacy Protection, though not from a network known as Apple's relay",
         "Mailgun; ClickDimensions; MailPoet", "2026-11", _of("apple_prefetch")),
    Rule("apple_fetcher", "prefetch", "low", "An Apple system process fetched it, naming no program",
         "Crawler-Detect 603", "2026-11", _of("apple_fetcher")),

    # Machines that say so.
    Rule("names_scanner", "scanner", "high", "It names itself as a security product",
         "rules_agents.MACHINES", "2026-11", _of("scanner")),
    Rule("names_preview", "bot", "high", "It names itself as making a preview for a chat or a page",
         "rules_agents.MACHINES", "2026-11", _of("preview")),
    Rule("names_machine", "bot", "high", "It names itself as a program that no person reads mail with",
         "rules_agents.MACHINES", "2026-11", _of("tool headless monitor crawler")),
    Rule("nameless", "bot", "medium", "It does not name itself, as mail programs and browsers do",
         "RFC 9110, 10.1.5: a user agent should send one, unless configured not to", "2026-11", _of("nameless")),

    # Image proxies: a person opened, and the provider fetched for them.
    Rule("gmail_proxy_early", "proxy", "medium", "Gmail's image proxy fetched it, though within seconds of sending",
         "gophish 1390, mautic 7884: normally a person even then", "2026-11", _of("gmail_proxy"), GOOGLE, "early"),
    Rule("gmail_proxy", "proxy", "high", "Gmail's image proxy fetched it, as it does when a person opens",
         "support.google.com/mail/answer/145919", "2026-11", _of("gmail_proxy"), GOOGLE),
    Rule("gmail_proxy_elsewhere", "proxy", "low",
         "It calls itself Gmail's image proxy, but is not from a network known as Google's",
         "rules_networks", "2026-11", _of("gmail_proxy")),
    Rule("yahoo_proxy_early", "proxy", "medium", "Yahoo's image proxy fetched it, though within seconds of sending",
         "help.yahoo.com/kb/SLN28749", "2026-11", _of("yahoo_proxy"), None, "early"),
    Rule("yahoo_proxy", "proxy", "high", "Yahoo's image proxy fetched it, as it does when a person opens",
         "help.yahoo.com/kb/SLN28749", "2026-11", _of("yahoo_proxy")),
    Rule("mail_proxy", "proxy", "medium", "A mail provider's image proxy fetched it",
         "rules_agents.PEOPLE", "2026-11", _of("fastmail_proxy hey_proxy mail_proxy")),

    # Microsoft: the same company filters mail and fetches for its readers.
    Rule("microsoft_scan", "scanner", "medium", "It came from Microsoft's network within seconds of sending",
         "warmbly 412, 569: Defender detonates at delivery", "2026-11", BROWSER, MICROSOFT, "early"),
    Rule("outlook_proxy", "proxy", "high", "Outlook on the web fetched it, as it does when a person opens",
         "warmbly 412", "2026-11", BARE, _of("microsoft")),
    Rule("outlook_proxy_filter", "proxy", "medium",
         "It looks like Outlook on the web, though from where Microsoft filters mail",
         "warmbly scanner-networks.txt", "2026-11", BARE, FILTER),
    Rule("microsoft_filter", "scanner", "medium", "It came from where Microsoft filters mail",
         "Microsoft 365 endpoints 9 and 10: no mailbox is read from there", "2026-11", None, FILTER),

    # What only the moment gives away.
    Rule("burst", "scanner", "medium",
         "Several clients, each by address and program, fetched it within seconds of sending",
         "mautic 9798, warmbly 410: several browsers on one mail; a reader may have several addresses", "2026-11",
         moment="burst"),
    Rule("google_early", "scanner", "medium", "It came from Google's network within seconds of sending",
         "Google Workspace, pre-delivery message scanning", "2026-11", BROWSER, GOOGLE, "early"),
    Rule("vague_early", "scanner", "medium",
         "It imitates a browser that it does not name, within seconds of sending",
         "imitations that public bot filters name", "2026-11", _of("vague"), None, "early"),

    # People.
    Rule("relay_reader", "human", "high", "A reader behind Apple's Private Relay, which hides the place",
         "Apple, mask-api.icloud.com/egress-ip-ranges.csv", "2026-11", OWN, RELAY, "apple_device"),
    Rule("relay_reader_roughly", "human", "medium", "It seems to be a reader behind Apple's Private Relay",
         "rules_networks", "2026-11", OWN, ROUGHLY, "apple_device"),
    Rule("relay_reader_unlikely", "human", "low",
         "It came from a network of Apple's Private Relay, which its program is not known to use",
         "support.apple.com/102602: for browsing in Safari, on Apple's devices", "2026-11", OWN, RELAY | ROUGHLY),
    Rule("cloud_reader", "human", "low",
         "It came from a data centre, which by itself says nothing against a reader",
         "warmbly 412: Windows 365 and the like", "2026-11", OWN, CLOUD),
    Rule("own_early", "human", "medium", "The reader's own program fetched it, though within seconds of sending",
         "quick readers exist", "2026-11", OWN, None, "early"),
    Rule("mail_program", "human", "high", "A mail program on the reader's own device fetched it",
         "rules_programs", "2026-11", _of("mail_program bare_mail")),
    Rule("browser", "human", "high", "A browser on the reader's own device fetched it",
         "rules_agents", "2026-11", _of("browser")),
    Rule("app", "human", "medium", "A program on the reader's own device fetched it, not saying which",
         "rules_agents", "2026-11", _of("app")),
    Rule("vague", "human", "low", "It says too little of itself to tell; nothing speaks against a reader",
         "never drop a real reader", "2026-11", _of("vague edge_12 bare_webkit bare_engine")),

    # Everything else.
    Rule("unknown", "bot", "low", "It names no mail program, browser or system that a person could be using",
         "rules_agents", "2026-11"),
)
# fmt: on

BY_CODE = {rule.code: rule for rule in RULES}


@lru_cache(maxsize=4096)
def decide(agent: str, network: str | None, moments: frozenset[str]) -> Rule:
    """The first rule that holds. `moments` has "any" in it; the last rule holds always."""
    for rule in RULES:
        if (
            rule.moment in moments
            and (rule.agents is None or agent in rule.agents)
            and (rule.networks is None or network in rule.networks)
        ):
            return rule
    raise AssertionError("the last rule holds always")
