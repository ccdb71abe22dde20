"""Classifying: what a hit really was, and how sure we are.

Promise: pure. `examine` turns a visit into evidence that holds neither address nor User-Agent;
`classify` judges evidence in the context of its message; `reconsider` corrects earlier verdicts when
later evidence comes. The rules themselves are the tables in `rules` and beside it.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from hub.model import COUNTABLE, Device, Evidence, Place, Verdict, Visit
from hub.tracking.datasets import Datasets
from hub.tracking.device import read_device
from hub.tracking.rules import (
    APPLE_SYSTEMS,
    BARE,
    BURST_CLIENTS,
    BY_CODE,
    DELIVERY_WINDOW_MS,
    FILTER,
    GOOGLE,
    MICROSOFT,
    RULES,
    RULESET,
    SHARERS_PER_CLIENT,
    VIEWING_MS,
    Rule,
    decide,
)
from hub.tracking.rules_agents import identify
from hub.tracking.rules_networks import APPLE_RELAY, APPLE_RELAY_ROUGHLY, CLOUDS, SCANNERS


class Sighting(Struct, frozen=True):
    """A hit on the same pixel: its open's id, its client (a keyed hash) and what it was taken for."""

    id: str
    at: int
    client: str
    verdict: Verdict


class Context(Struct, frozen=True):
    """What is known about the message when a hit is judged. Times are in milliseconds.

    `viewings` are the times near the hit at which the sender looked at the message; `others` are the hits on the
    same pixel in the delivery window; `clients` are the hit's own client hashes; `sharers` is how many people
    the pixel was sent to.
    """

    sent_at: int | None
    viewings: Sequence[int] = ()
    others: Sequence[Sighting] = ()
    clients: Sequence[str] = ()
    sharers: int = 1


PROXIES = {
    "gmail_proxy": (Place(hidden_by="gmail"), Device(client="Gmail")),
    "gmail_prefetch": (Place(hidden_by="gmail"), Device(client="Gmail")),
    "gmail_sampling": (Place(hidden_by="gmail"), Device()),
    "yahoo_proxy": (Place(hidden_by="yahoo"), Device(client="Yahoo Mail")),
    "apple_prefetch": (Place(hidden_by="apple"), Device(client="Apple Mail")),
    "apple_fetcher": (Place(hidden_by="apple"), Device()),
    "fastmail_proxy": (Place(), Device(client="Fastmail")),
    "hey_proxy": (Place(), Device(client="HEY")),
    "mail_proxy": (Place(), Device()),
}
"""Agents that stand between us and the reader: what they hide, and the mail program where it is certain."""

OUTLOOK_WEB = (Place(hidden_by="outlook"), Device(client="Outlook"))
NO_RELAY_LIST = "no_relay_list"
DISGUISES = frozenset({"microsoft_scan", "google_early"})
"""The rules that take for a scanner what calls itself a browser, because of nothing but the moment of the hit."""
NOBODYS = frozenset({"nameless", "scanner", "preview", "headless", "tool", "monitor", "crawler", "unknown"})
"""Agents that no person reads with: those of `rules_agents.MACHINES`, and those that name nothing. They have no
device."""


def examine(visit: Visit, data: Datasets) -> Evidence:
    """What `visit` shows by itself. Needs no database; costs some microseconds once warm."""
    agent, name = identify(visit.user_agent)
    network = data.owner(visit.address)
    notes: tuple[str, ...] = (f"named:{name}",) if name else ()
    if agent == "apple_prefetch" and network in (APPLE_RELAY_ROUGHLY, None) and not data.relay_known:
        notes = (NO_RELAY_LIST,)
    place, device = _place_and_device(visit, data, agent, network)
    return Evidence(agent, network, visit.prefetch, place, device, notes)


def _place_and_device(visit: Visit, data: Datasets, agent: str, network: str | None) -> tuple[Place, Device]:
    """Where a reader was and with what, as far as that is not hidden."""
    if network in SCANNERS:
        # Whatever name it gives is a disguise, and its place is no reader's.
        return Place(), Device()
    if agent in PROXIES:
        return PROXIES[agent]
    if agent == "edge_12" and network in GOOGLE:
        return PROXIES["gmail_prefetch"]
    if agent in BARE and network in MICROSOFT:
        return OUTLOOK_WEB
    if network in (APPLE_RELAY, APPLE_RELAY_ROUGHLY):
        place = Place(hidden_by="apple")
    elif network in CLOUDS:
        # In a data centre nobody reads.
        place = Place()
    else:
        place = data.place(visit.address)
    # Any other agent in the network where Microsoft filters mail is a scanner in disguise, too.
    nobody = agent in NOBODYS or network in FILTER
    return place, Device() if nobody else read_device(visit.user_agent)


def classify(evidence: Evidence, at: int, context: Context) -> Verdict:
    """What a hit at `at` (milliseconds) was, by the first rule that holds."""
    rule = decide(evidence.agent, evidence.network, _moments(evidence, at, context))
    notes = tuple(note for note in evidence.notes if note != NO_RELAY_LIST or rule.moment == "unlisted")
    return _verdict(rule, notes)


def device_of(evidence: Evidence, verdict: Verdict) -> Device:
    """The device that is told with a verdict on `evidence`: none for a disguise, unless the place is hidden:
    Outlook's proxy is Outlook even when it is taken for a scanner.
    """
    return evidence.device if evidence.place.hidden_by or DISGUISES.isdisjoint(verdict.reasons) else Device()


def _verdict(rule: Rule, notes: tuple[str, ...] = ()) -> Verdict:
    return Verdict(rule.verdict, rule.confidence, (rule.code, *notes), RULESET)


def _moments(evidence: Evidence, at: int, context: Context) -> frozenset[str]:
    moments = {"any"}
    if context.sent_at is None or at < context.sent_at:
        moments.add("before_sent")
    elif is_early(at, context.sent_at):
        moments.add("early")
        others = {sighting.client for sighting in context.others if _in_burst(sighting, context.sent_at)}
        if len(others.difference(context.clients)) + 1 >= _burst_size(context):
            moments.add("burst")
    if _is_viewed(at, context):
        moments.add("viewing")
    if evidence.prefetch:
        moments.add("fetched_ahead")
    if NO_RELAY_LIST in evidence.notes:
        moments.add("unlisted")
    if evidence.device.os in APPLE_SYSTEMS:
        moments.add("apple_device")
    return frozenset(moments)


def is_early(at: int, sent_at: int | None) -> bool:
    """Whether a hit at `at` is so soon after sending that a burst may still change its verdict."""
    return sent_at is not None and 0 <= at - sent_at <= DELIVERY_WINDOW_MS


def _is_viewed(at: int, context: Context) -> bool:
    """Whether the sender was looking at the message about then."""
    return any(abs(at - viewed) <= VIEWING_MS for viewed in context.viewings)


def _in_burst(sighting: Sighting, sent_at: int | None) -> bool:
    """Whether a sighting counts towards a burst; a provider's proxy never does."""
    return sighting.verdict.verdict in ("human", "scanner") and is_early(sighting.at, sent_at)


def _burst_size(context: Context) -> int:
    return BURST_CLIENTS + context.sharers // SHARERS_PER_CLIENT


def reconsider(sightings: Sequence[Sighting], context: Context) -> list[tuple[str, Verdict]]:
    """The opens on one pixel whose verdict has to change, each with its new one.

    A viewing close by makes a hit the sender's own, whatever it was taken for. If the message turns out to have been
    sent later, earlier hits that were taken for people's become the sender's own. A burst inside the delivery window
    turns people into a scanner. `context.others` and `context.clients` are not used.
    """
    changed: list[tuple[str, Verdict]] = []
    burst: list[Sighting] = []
    for sighting in sightings:
        if _is_viewed(sighting.at, context):
            if sighting.verdict.verdict != "self":
                changed.append((sighting.id, _verdict(BY_CODE["viewing"])))
        elif context.sent_at is not None and sighting.at < context.sent_at:
            if sighting.verdict.verdict in COUNTABLE:
                changed.append((sighting.id, _verdict(BY_CODE["before_sent"])))
        elif _in_burst(sighting, context.sent_at):
            burst.append(sighting)
    if len({sighting.client for sighting in burst}) >= _burst_size(context):
        turned = _verdict(BY_CODE["burst"])
        changed += [(sighting.id, turned) for sighting in burst if sighting.verdict.verdict == "human"]
    return changed


WORDS = {rule.code: rule.words for rule in RULES} | {
    NO_RELAY_LIST: "Apple's list of its relay's networks is not loaded, so this is less sure: run glimpse data update",
    "probe": "It did not ask for the image (only GET does), and is not recorded",
}


def explain_reason(code: str) -> str:
    """The words for a reason's code; one that is not known is given as it is."""
    kind, _, name = code.partition(":")
    return f"It names itself {name}" if kind == "named" else WORDS.get(code, code)
