"""The networks: whose an address is, where that says something about a hit.

Promise: the table has those networks of mail providers, mail security products and Apple's relay for which there is
a source. An address in none of them is simply not known, which is no reason against a reader; nor is an address in
a data centre, because mail providers fetch for their readers from there.
"""

from __future__ import annotations

from typing import NamedTuple


class Owner(NamedTuple):
    """Somebody's networks, as CIDR blocks. Where two overlap, the smaller block says whose it is."""

    name: str
    networks: str
    source: str
    checked: str


APPLE_RELAY = "apple_relay"
"""The networks in Apple's own list, when that is loaded."""
APPLE_RELAY_ROUGHLY = "apple_relay_roughly"
"""For when the list is not loaded: blocks that the relay is known to use, though not every address in them."""

OWNERS: tuple[Owner, ...] = (
    Owner(
        "gmail",
        "66.249.80.0/20 66.102.0.0/20 74.125.0.0/16 64.233.160.0/19 72.14.192.0/18 209.85.128.0/17",
        "reverse names google-proxy-A-B-C-D.google.com; EmailEngine data/google-crawlers.json",
        "2026-11",
    ),
    Owner(
        "google",
        "66.249.64.0/20 108.177.0.0/17 142.250.0.0/15 172.217.0.0/16 172.253.0.0/16 173.194.0.0/16 "
        "192.178.0.0/15 207.223.160.0/20 216.58.192.0/19 216.239.32.0/19 2001:4860::/32 2404:6800::/32 "
        "2607:f8b0::/32 2800:3f0::/32 2a00:1450::/32 2c0f:fb50::/32",
        "Google's goog.json less its cloud customers, by lord-alfred/ipranges (CC0)",
        "2026-11",
    ),
    Owner(
        "microsoft",
        "4.144.0.0/12 4.160.0.0/11 4.192.0.0/10 13.64.0.0/11 13.96.0.0/13 13.104.0.0/14 20.0.0.0/11 "
        "20.33.0.0/16 20.34.0.0/15 20.36.0.0/14 20.40.0.0/13 20.48.0.0/12 20.64.0.0/10 20.135.0.0/16 "
        "20.140.0.0/15 20.150.0.0/15 20.152.0.0/16 20.157.0.0/16 20.158.0.0/15 20.160.0.0/12 20.184.0.0/13 "
        "20.192.0.0/10 23.96.0.0/13 40.64.0.0/10 51.4.0.0/15 51.8.0.0/16 51.10.0.0/15 51.12.0.0/15 51.18.0.0/16 "
        "51.53.0.0/16 51.103.0.0/16 51.104.0.0/15 51.107.0.0/16 51.116.0.0/16 51.120.0.0/16 51.124.0.0/16 "
        "51.132.0.0/16 51.136.0.0/15 51.138.0.0/16 51.140.0.0/14 51.144.0.0/15 52.96.0.0/12 52.112.0.0/14 "
        "52.120.0.0/14 52.125.0.0/16 52.126.0.0/15 52.130.0.0/15 52.132.0.0/14 52.136.0.0/13 52.145.0.0/16 "
        "52.146.0.0/15 52.148.0.0/14 52.152.0.0/13 52.160.0.0/11 52.224.0.0/11 64.4.0.0/18 65.52.0.0/14 "
        "68.154.0.0/15 68.210.0.0/15 68.218.0.0/15 68.220.0.0/15 70.37.0.0/17 70.37.128.0/18 74.224.0.0/14 "
        "74.234.0.0/15 74.240.0.0/14 74.248.0.0/15 94.245.64.0/18 98.64.0.0/14 98.70.0.0/15 102.37.0.0/16 "
        "102.133.0.0/16 104.40.0.0/13 104.146.0.0/15 104.208.0.0/13 108.140.0.0/14 111.221.64.0/18 "
        "131.253.0.0/18 132.245.0.0/16 134.170.0.0/16 137.116.0.0/15 137.135.0.0/16 138.91.0.0/16 "
        "150.171.0.0/16 151.206.0.0/16 157.54.0.0/15 157.56.0.0/14 158.23.0.0/16 168.61.0.0/16 168.62.0.0/15 "
        "172.160.0.0/11 172.200.0.0/13 172.208.0.0/13 191.232.0.0/13 199.30.16.0/20 204.79.195.0/24 "
        "204.79.197.0/24 207.46.0.0/16 213.199.128.0/18 2603:1000::/24 2620:1ec::/36 2a01:111::/32",
        "AS8075 and AS8068 by lord-alfred/ipranges (CC0), gathered into whole blocks",
        "2026-11",
    ),
    Owner(
        "microsoft_filter",
        "40.92.0.0/15 40.107.0.0/16 52.100.0.0/14 52.238.78.88/32 104.47.0.0/17 2a01:111:f400::/48 2a01:111:f403::/48",
        "Microsoft 365 endpoints 9 and 10, *.protection.outlook.com (warmbly scanner-networks.txt)",
        "2026-11",
    ),
    Owner(
        "proofpoint",
        "66.159.224.0/19 67.231.144.0/20 91.207.212.0/23 91.209.104.0/24 143.55.144.0/21 148.163.128.0/19 "
        "185.132.180.0/22 185.183.28.0/22 205.220.160.0/19 208.56.0.0/19 208.56.60.0/22 208.84.64.0/22 "
        "208.86.200.0/22",
        "AS22843, AS26211, AS52129 by Medium1992/MikroTik_IPlist",
        "2026-11",
    ),
    Owner(
        "mimecast",
        "41.74.192.0/21 41.74.200.0/22 41.74.204.0/22 51.163.158.0/23 62.140.7.0/24 62.140.10.0/24 63.128.21.0/24 "
        "91.220.42.0/24 103.13.69.0/24 103.15.44.0/22 103.96.20.0/22 124.47.150.0/24 124.47.189.0/24 "
        "146.101.78.0/24 147.28.34.0/23 147.28.36.0/24 170.10.128.0/19 180.189.28.0/24 185.58.84.0/22 "
        "193.7.204.0/22 194.104.108.0/22 195.130.217.0/24 205.139.110.0/23 207.82.80.0/24 207.211.30.0/23 "
        "213.167.75.0/24 213.167.81.0/24 216.35.243.0/24 216.35.244.0/24 216.145.216.0/22 216.145.221.0/24 "
        "216.145.222.0/24 216.205.24.0/24",
        "AS30031, AS37235, AS39588, AS42427, AS60492, AS136792 by Medium1992/MikroTik_IPlist; its own SPF records",
        "2026-11",
    ),
    Owner(
        "hornetsecurity",
        "83.246.65.0/24 94.100.128.0/20 173.45.18.0/24 185.140.204.0/22",
        "support.hornetsecurity.com, article 45997388779537",
        "2026-11",
    ),
    Owner(
        "barracuda",
        "3.24.133.128/25 13.200.136.128/25 15.222.16.128/25 18.133.136.96/27 18.133.136.128/26 "
        "18.184.203.224/27 18.185.115.192/26 35.157.190.224/27 35.176.92.96/27 64.235.144.0/20 209.222.80.0/21",
        "campus.barracuda.com, Email Gateway Defense; AS15324",
        "2026-11",
    ),
    Owner(
        "cisco",
        "23.90.96.0/19 68.232.128.0/19 139.138.24.0/22 139.138.32.0/19 184.94.240.0/20 207.54.64.0/19 "
        "208.90.56.0/21 216.71.128.0/19",
        "AS16417 (IronPort) by Medium1992/MikroTik_IPlist",
        "2026-11",
    ),
    Owner(
        "symantec",
        "46.226.48.0/21 67.219.240.0/20 85.158.136.0/21 95.131.104.0/21 103.9.96.0/22 117.120.16.0/21 "
        "193.109.254.0/23 194.106.220.0/23 195.245.230.0/23 196.14.170.0/23 216.82.240.0/20",
        "Email Security.cloud (MessageLabs), from its customers' SPF records",
        "2026-11",
    ),
    Owner(
        "trend_micro",
        "66.35.255.0/24 66.180.80.0/20 150.70.0.0/16 216.104.15.0/24",
        "published crawler lists that name TrendMicro",
        "2026-11",
    ),
    Owner(
        APPLE_RELAY_ROUGHLY,
        "140.248.0.0/18 146.75.128.0/17 172.224.0.0/15 172.226.0.0/16 2606:54c0::/30 2a02:26f7::/32 2a04:4e41::/32",
        "hroost/icloud-private-relay-iplist 2026-08-17 (MIT), less Cloudflare's, which others share",
        "2026-11",
    ),
)

SCANNERS = frozenset({"proofpoint", "mimecast", "barracuda", "cisco", "symantec", "trend_micro", "hornetsecurity"})
"""Mail security products' own networks. Filters for a company's whole web traffic are left out: those
carry people."""

CLOUDS = frozenset({"gmail", "google", "microsoft", "microsoft_filter"})
"""Networks of data centres: the place of an address in them says nothing about where a reader is."""
