"""The agents: which kind of program a User-Agent names.

Promise: an ordered table; the first pattern found decides. Mail providers' proxies come first and by
their own exact marks, never from a ready-made bot list: those call Gmail's proxy a bot and pass its
prefetch as a person (four of them measured, 2026-11). Ready-made lists serve only for machines that name themselves.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from hub.tracking.rules_programs import (
    ANYWHERE,
    AT_THE_START,
    BARE_MAIL,
    BARE_WEBKIT,
    MAIL_ADDRESS,
    without_contacts,
)

CACHED_USER_AGENTS = 4096


class Agent(NamedTuple):
    """One kind of program, by a pattern searched in the User-Agent in lower case.

    The text that a machine's pattern finds is told as its name; if the pattern has a group `name`, only that group.
    """

    kind: str
    pattern: str
    source: str
    checked: str


MAIL_AGENTS: tuple[Agent, ...] = (
    Agent("nameless", r"^[\W_]*$|^\W*(?:null|none|nil|undefined|unknown|user-?agent|n/a|-)\W*$",
          "RFC 9110, 10.1.5; what programs put where they have no name", "2026-11"),
    Agent("gmail_sampling", r"gmail-content-sampling",
          "field research 2.1; seen in production within seconds of delivery, 2026-05", "2026-11"),
    Agent("gmail_prefetch", r"chrome/42\.0\.2311\.135 safari/537\.36 edge/12\.246 mozilla/5\.0$",
          "SparkPost 2022-05; gmass.co/blog/false-opens-in-gmail; Keila tracking.ex", "2026-11"),
    Agent("edge_12", r"chrome/42\.0\.2311\.135 safari/537\.36 edge/12\.246$",
          "the same fetcher without its last word; also a browser of 2015", "2026-11"),
    Agent("gmail_proxy", r"googleimageproxy|ggpht\.com",
          "uap-core 170; GoogleImageProxy's own name", "2026-11"),
    Agent("yahoo_proxy", r"yahoo ?mail ?proxy|ymailatgateway",
          "help.yahoo.com/kb/SLN28749", "2026-11"),
    Agent("apple_prefetch", r"^mozilla/5\.0$",
          "Mailgun, ClickDimensions, MailPoet UserAgentEntity.php", "2026-11"),
    Agent("apple_fetcher", r"^networkingextension/",
          "Crawler-Detect 603: Apple's own process, naming no browser", "2026-11"),
)  # fmt: skip

MACHINES: tuple[Agent, ...] = (
    Agent("scanner",
          r"barracuda|proofpoint|urldefense|mimecast|ironport|cisco (?:secure )?email|safelinks|microsoft atp"
          r"|microsoft defender|trend ?micro|fireeye|trellix|forcepoint|websense|symantec|messagelabs"
          r"|sophos(?! ?secure ?e?mail)|mailmarshal|hornetsecurity|spamtitan|mailscanner|cloudmark|avanan"
          r"|inky/|greathorn|ironscales|perception ?point|tessian|vade ?secure|zix/|zixcorp|mcafee (?:email|saas)"
          r"|forti(?:guard|mail|sandbox)|kaspersky (?:secure|anti)|bitdefender|clamav|spamassassin|rspamd"
          r"|virustotal|urlscan|url ?scan|link ?scan|checkpoint|check point|sonicwall|opendns|umbrella|tmufe|cofense"
          r"|google-safety|paloaltonetworks|palo alto|scmguard"
          r"|mail[ -]?(?:security|guard|cleaner|control|assure|protection|verif)|sandbox",
          "the vendors' own names", "2026-11"),
    Agent("preview",
          r"slackbot|slack-imgproxy|skypeuripreview|skype-url-preview|microsoftpreview|bingpreview"
          r"|facebookexternalhit|facebookexternalua|facebookcatalog|facebot|meta-external|twitterbot|linkedinbot"
          r"|telegrambot|discordbot|snap url preview|pinterest/0|redditbot|mastodon/|misskey|pleroma|akkoma"
          r"|cardyb|vkshare|odklbot|line-poker|linespider|kakaotalk-scrap|google-pagerenderer"
          r"|google web preview|google \(\+https://developers\.google|iframely|embedly|yahoo link preview"
          r"|flipboardproxy|rocket\.chat(?!\+?/\S+ chrome/)|github-camo|link ?preview|url ?preview|zoombot",
          "crawler-user-agents.json; the services' own names", "2026-11"),
    # In the form of a browser these are the programs themselves, in which a person reads; so is Rocket.Chat if Chrome
    # follows it: mattermost/desktop 352, RocketChat/Rocket.Chat 4948.
    Agent("preview", r"^(?!mozilla/).*?(?P<name>whatsapp|viber|mattermost)",
          "crawler-user-agents.json; device-detector fixtures of Viber", "2026-11"),
    Agent("headless",
          r"headlesschrome|headlessedg|phantomjs|slimerjs|puppeteer|playwright|selenium|webdriver|prerender"
          r"|cypress|htmlunit|jsdom|wkhtmlto|rendertron|lighthouse|electron-html",
          "the projects' own names", "2026-11"),
    Agent("tool",
          r"^(?:curl|wget|python|go \d|perl|node(?:\.js)?\b|got\b|bun/|deno/|php|ruby|hyper/|ureq|dart|ahc/|boto"
          r"|k6/|wrk|siege|vegeta|newman|mechanize|java/?\d|mozilla/4\.0 \(compatible; win32)",
          "device-detector libraries.yml; crawler-user-agents.json", "2026-11"),
    Agent("tool",
          r"libcurl|pycurl|python-requests|python-urllib|python-httpx|aiohttp|go-http-client|okhttp"
          r"|apache-httpclient|httpclient/|httpunit|lwp::|lwp-|libwww"
          r"|www-mechanize|node-fetch|superagent|guzzle|symfony|http_request|faraday|http\.rb"
          r"|typhoeus|rest-client|postman|insomnia|httpie|restsharp|winhttp|powershell"
          r"|lua-resty|akka-http|vert\.x|google-http-java|aws-sdk|amazon cloudfront|xmlhttp|jmeter"
          r"|apachebench|gatling|hubspot connect|zapier|ifttt|microsoft office existence discovery"
          r"|microsoft office protocol discovery|ms-office-protocol-discovery|microsoft-webdav"
          r"|office 365 connectors|microsoft exchange/|exchangeservicesclient|microsoft-cryptoapi|dataaccessd"
          r"|phpmailer|mailgun|mailchimp|mailjet|mailinator|feedburner|simplepie|magpierss|wordpress/",
          "device-detector libraries.yml; crawler-user-agents.json", "2026-11"),
    # Short words, taken as whole words because others contain them: WeChat, QQ and TikTok say NetType/WIFI.
    Agent("tool",
          r"\b(?:(?:reactor)?netty|axios|undici|excon|hackney|reqwest|unirest|jakarta)\b|\burllib"
          r"|\b(?:java|c?python|php)/\d|\b(?:jersey|jetty)/",
          "device-detector libraries.yml and its fixtures of people", "2026-11"),
    Agent("monitor",
          r"uptime|pingdom|statuscake|site24x7|datadog|newrelic|better ?stack|checkly|nagios|check_http|zabbix"
          r"|blackbox|stackdriver|catchpoint|gomez|healthchecker|health-check|kube-probe|hetrixtools|freshping"
          r"|nodeping|ghost ?inspector|gtmetrix|page ?speed|w3c_validator|dynatrace|yottaa|alertsite|appinsights",
          "device-detector bots.yml; the services' own names", "2026-11"),
    Agent("monitor",
          r"ruxitsynthetic|ptst/|siteimprove|cloudflare(?:observatory|diagnostics)|securityheaders|dmbrowser|functionize"
          r"|yunjiankong|prtg network|miniature\.io|taginspector|do not track verifier"
          r"|thousandeyes|hardenize|silktide|sucuri|foregenix|watchtowr|dareboost",
          "matomo-org/device-detector fixtures, bots.yml; crawler-user-agents.json", "2026-11"),
    Agent("crawler",
          r"googlebot|google-(?:inspection|read-aloud|extended|adwords|site)|googleother|google favicon"
          r"|apis-google|adsbot|mediapartners-google|feedfetcher|bingbot|slurp|yandex(?:[a-z]{0,20}bot|images|metrika|media"
          r"|favicons|webmaster|imageresizer|turbo)|baiduspider|duckduck(?:bot|go-fav)|duckassist|applebot"
          r"|gptbot|chatgpt-user|oai-searchbot|claude-?(?:bot|user|web)|anthropic|perplexity|ccbot|bytespider"
          r"|amazonbot|petalbot|ahrefs|semrush|mj12|dotbot|ia_archiver|archive\.org|heritrix|nutch|httrack|scrapy"
          r"|censys|shodan|zgrab|masscan|nmap|netcraft|expanse|internet-?measurement|nuclei|nikto|sqlmap",
          "crawler-user-agents.json", "2026-11"),
    # Without names that may also be a person's: a transcoder, an extension, an app made of a page.
    Agent("crawler",
          r"google-(?:amphtml|assess|ads-|hotelads|publisher-plugin|business)|googleadsense|duplexweb-google"
          r"|google search console|amzn-user|manus-user|devin\.ai|geedo(?:bot|shop)|mixnode|tineye|assetnote|datanyze"
          r"|adbeat|daumoa|infegy|inspici|marketgoo|prospectorbr|karnoprospecting|ubermetrics|ucsbnetworkmeasurement"
          r"|cybaaagent|whatcms|visionheight|cypex\.ai|aegis\.network|copyviodetector|sitesucker|larbin_"
          r"|email(?:wolf| exractor)",
          "matomo-org/device-detector fixtures, bots.yml", "2026-11"),
)  # fmt: skip

PEOPLE: tuple[Agent, ...] = (
    Agent("fastmail_proxy", r"fastmailua", "warmbly mailclient.go", "2026-11"),
    Agent("hey_proxy", r"\bhey/\d", "warmbly mailclient.go", "2026-11"),
    Agent("mail_proxy", r"mail[ _-]?proxy|image[ _-]?proxy|img[ _-]?proxy|mail\.ukr\.net proxy|fwdcdn\.com",
          "never call a mail provider's proxy a bot; device-detector bots.yml, UkrNet Mail Proxy", "2026-11"),
    Agent("bare_mail", BARE_MAIL, "rules_programs.BARE_WEBKIT", "2026-11"),
    Agent("bare_webkit", BARE_WEBKIT, "rules_programs.BARE_WEBKIT", "2026-11"),
    Agent("mail_program", AT_THE_START, "rules_programs.PROGRAMS", "2026-11"),
    Agent("mail_program", ANYWHERE, "rules_programs.PROGRAMS", "2026-11"),
    Agent("crawler",
          r"bot(?<!cubot)(?:s?\b|_)|crawl|spider|scrap(?:er|y|ing)|archiver|fetcher|monitor|validator|checker"
          r"|scanner|probe|indexer|optimizer|watcher|[ -]agent\b(?<!user.agent)|\+ ?https?://|\(https?://|; https?://",
          "the words by which machines name themselves; RFC 9309, 2.2.1. CUBOT makes telephones", "2026-11"),
    # Not a word about what it is compatible with, as old browsers have it at the start, nor a transcoder for people.
    Agent("crawler", r"gecko[);]+ ?\(?compatible;",
          "where OpenAI, Google, Amazon and others put their names; crawler-user-agents.json", "2026-11"),
    Agent("crawler", MAIL_ADDRESS,
          "RFC 9110, 10.1.2: a machine says whom to ask about it; crawler-user-agents.json", "2026-11"),
    Agent("app", r"cfnetwork/|dalvik/|darwin/", "programs on Apple's and Google's systems", "2026-11"),
    # Told by where it ends, because too many names may follow an engine: every program with a web view adds its own.
    Agent("bare_engine",
          r"^mozilla/\d\.\d(?: \((?:[^()]|\([^()]*\))*\))? "
          r"(?:applewebkit(?:/[\d.]*\+?)?(?: \(khtml(?:, like(?: gecko)?)?\)?)?|gecko(?:/\d*)?)$",
          "scripts that imitate a browser; some telephones in matomo-org/device-detector fixtures", "2026-11"),
    Agent("browser", r"^(?:mozilla|opera)/.*(?:gecko|applewebkit|trident|msie|presto|khtml|edge|goanna)|^opera/",
          "every browser names its engine", "2026-11"),
    Agent("vague",
          r"^mozilla/\d\.\d \((?:compatible;?\)|.*(?:windows|macintosh|linux|x11|iphone|ipad|android))",
          "scripts that imitate a browser; web filters that cut a User-Agent short", "2026-11"),
    Agent("app", r"mail(?!er|to|man\b|hog|trap|check|scan)", "has to do with mail, and names no machine", "2026-11"),
    Agent("app", r"android|iphone|ipad|\bios\b|macintosh|mac ?os|\bwindows[/ ]|linux|symbian|midp|blackberry",
          "names a system that a person uses", "2026-11"),
    Agent("unknown", "", "names nothing that a person reads mail with", "2026-11"),
)  # fmt: skip

AGENTS = (*MAIL_AGENTS, *MACHINES, *PEOPLE)

MODEL = re.compile(r"\bandroid [\d.]+; (?:[a-z]{2}[-_][a-z]{2}; )?[^;()/]*(?= build/|[;)])")
"""The model of a telephone, as browsers on Android tell it. Some have a crawler's name: VR BOT 552, Spider 8,
Expanse (matomo-org/device-detector fixtures, 2026-11)."""

_AGENTS = tuple((re.compile(row.pattern), row.kind, row in MACHINES) for row in AGENTS)


@lru_cache(maxsize=CACHED_USER_AGENTS)
def identify(user_agent: str) -> tuple[str, str | None]:
    """The kind of program, and the name by which a machine in the table gave itself away."""
    lowered = user_agent.lower()
    without_model = MODEL.sub("", lowered) if lowered.startswith("mozilla/") else lowered
    searched = {"crawler": without_model, "mail_program": without_contacts(lowered)}
    for pattern, kind, named in _AGENTS:
        found = pattern.search(searched.get(kind, lowered))
        if found:
            name = found.groupdict().get("name") or found.group()
            return kind, (name.strip(" ^/(;+") or None) if named else None
    raise AssertionError("the last row holds always")
