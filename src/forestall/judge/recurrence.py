"""Fingerprints: which findings and tickets are the same trouble. Pure; room `problems` keeps them.

An occurrence has traits; three hashes of them say at which level two occurrences are the same: on the same
asset, at the same client, anywhere. The last one is made of the product's own vocabulary (rules, kinds,
symptoms of a closed list), unit names and numbers of log templates, never of a client's free words.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import blake2b

VERSION = 1
TEMPLATES_MAX = 8  # of one occurrence, the smallest numbers
WORDS_MAX = 40  # of a report
DEPTH_MAX = 10_000  # joins that are applied; the newest

SYMPTOMS: dict[str, tuple[str, ...]] = {
    "mail": ("mail", "email", "outlook", "inbox", "postfach", "smtp", "imap", "exchange"),
    "printer": ("print", "drucke", "toner", "scanner", "papierstau"),
    "network": ("internet", "wifi", "wlan", "network", "netzwerk", "vpn", "ethernet", "offline"),
    "sign-in": ("login", "log in", "sign in", "password", "passwort", "anmeld", "locked out", "mfa", "2fa"),
    "slow": ("slow", "langsam", "hangs", "freez", "lag", "haengt", "hängt"),
    "down": ("down", "not work", "does not open", "unreachable", "cannot open", "can't open", "geht nicht"),
    "storage": ("disk full", "no space", "storage", "drive", "share", "laufwerk", "festplatte", "speicher"),
    "telephone": ("phone", "telephone", "voip", "telefon", "call drop", "headset"),
    "website": ("website", "web site", "webshop", "homepage", "webseite"),
    "backup": ("backup", "restore", "sicherung"),
    "crash": ("crash", "blue screen", "bluescreen", "error", "fehler", "abst", "restart"),
    "screen": ("monitor", "screen", "display", "bildschirm"),
    "file": ("file", "document", "folder", "datei", "ordner", "excel", "word", "pdf"),
    "security": ("virus", "phishing", "spam", "ransom", "malware", "hacked"),
}  # fmt: skip

_NUMBERS = re.compile(r"[0-9]+")
_URL = re.compile(r"[a-z][a-z0-9+.-]*://")
_ADDRESS = re.compile(
    r"(?:\d{1,3}\.){3}\d{1,3}(?:[:/]\d+)?|[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,7}", re.IGNORECASE
)
_WORD = re.compile(r"[^\W\d_]{3,}")
_PROBES = frozenset(
    ("icmp", "tcp", "http", "tls", "dns", "smtp", "ntp", "sql", "nagios", "snmp", "domain", "device")
)
_KINDS = _PROBES | {"path", "url", "address", "heartbeat"}
_UNITS = (".service", ".timer", ".mount", ".socket")


class Sameness(StrEnum):
    """How near two occurrences of the same trouble are."""

    ASSET = "asset"
    CLIENT = "client"
    EVERYWHERE = "everywhere"


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What an occurrence is recognised by. A finding has a rule; a client's report has `words` and no rule.
    `templates`: numbers of kernel.templates, for rules on logs; `changes`: kinds, for rules on changes."""

    client: str
    asset: str = ""
    asset_kind: str = ""
    rule: str = ""
    item: str = ""
    templates: tuple[int, ...] = ()
    changes: tuple[str, ...] = ()
    words: str = ""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The keys of an occurrence, one a level ("" where it has no trait for it), and why in words."""

    asset: str
    client: str
    everywhere: str
    said: str

    def at(self, level: Sameness) -> str:
        """The key of a level."""
        return str(getattr(self, level.value))


@dataclass(frozen=True, slots=True)
class Verdict:
    """A person joined or parted two fingerprints."""

    left: str
    right: str
    same: bool
    at: datetime


def fingerprint(traits: Traits) -> Fingerprint:
    """The keys of an occurrence. Stable: the same traits give the same keys in every process and order."""
    kind = item_kind(traits.item)
    core: list[str]
    if traits.rule:
        templates = [str(number) for number in sorted(set(traits.templates))[:TEMPLATES_MAX]]
        changes = sorted({_plain(change) for change in traits.changes})
        core = ["rule", traits.rule, kind, traits.asset_kind, *templates, *changes]
        everybody = [*core[:2], kind if kind in _KINDS or kind.endswith(_UNITS) else "", *core[3:]]
        said = f"{traits.rule} of {kind or 'the asset'} on a {traits.asset_kind or 'thing'}"
        said += f", {len(templates)} log templates" if templates else ""
    else:
        found = symptoms(traits.words)
        said = "a report of " + " and ".join(found) if found else "a report in other words"
        core = ["report", traits.asset_kind, *found] if found else []
        everybody = core
    everywhere = _hash(everybody) if everybody else ""
    inside = core or ["words", traits.asset_kind, *wording(traits.words)]
    client = _hash([traits.client, *inside]) if len(inside) > 2 else ""
    asset = _hash([traits.asset, traits.item, *inside]) if traits.asset and client else ""
    return Fingerprint(asset, client, everywhere, said)


def item_kind(item: str) -> str:
    """What kind of thing an item is: `path`, `url`, `address`, the kind of a probe, or a name without its
    numbers and instance (`php8.2-fpm@web1.service` → `php#.#-fpm.service`)."""
    text = item.strip().lower()
    first = text.split(" ", 1)[0]
    if first in _PROBES:
        return first
    if text.startswith("heartbeat "):
        return "heartbeat"
    if _URL.match(text):
        return "url"
    if _ADDRESS.fullmatch(text):
        return "address"
    if text.startswith("/") or re.match(r"[a-z]:(\\|/|$)", text):
        return "path"
    return _plain(text)


def symptoms(words: str) -> list[str]:
    """The symptoms of SYMPTOMS that a text speaks of, in alphabetical order."""
    text = " ".join(words.lower().split())
    return sorted(
        name
        for name, stems in SYMPTOMS.items()
        if any(re.search(rf"(?<!\w){re.escape(stem)}", text) for stem in stems)
    )


def wording(words: str) -> list[str]:
    """The words of a report that stand for it inside its client: stems of five letters, sorted."""
    return sorted({word.lower()[:5] for word in _WORD.findall(words)})[:WORDS_MAX]


def likeness(left: str, right: str) -> float:
    """How alike two reports of one client are worded, 0 to 1 (Jaccard of `wording`)."""
    one, other = set(wording(left)), set(wording(right))
    return len(one & other) / len(one | other) if one and other else 0.0


class Families:
    """Fingerprints that people say are the same: union-find over their verdicts, the last word first."""

    def __init__(self, verdicts: Iterable[Verdict] = ()) -> None:
        self._above: dict[str, str] = {}
        self._members: dict[str, set[str]] = {}
        parted: dict[str, set[str]] = {}
        newest = sorted(verdicts, key=lambda one: (one.at, one.same, one.left, one.right), reverse=True)
        for verdict in newest[:DEPTH_MAX]:
            left, right = self.root(verdict.left), self.root(verdict.right)
            if verdict.same:
                if left != right and not self._apart(left, right, parted):
                    self._unite(left, right)
            elif left != right:
                parted.setdefault(verdict.left, set()).add(verdict.right)
                parted.setdefault(verdict.right, set()).add(verdict.left)

    def root(self, key: str) -> str:
        """The name of its family: the smallest key in it."""
        while (above := self._above.get(key, key)) != key:
            key = above
        return key

    def of(self, key: str) -> frozenset[str]:
        """Everything that is the same as `key`, itself among it."""
        return frozenset(self._members.get(self.root(key), {key}))

    def _apart(self, left: str, right: str, parted: dict[str, set[str]]) -> bool:
        theirs = self._members.get(right, {right})
        return any(parted.get(one, set()) & theirs for one in self._members.get(left, {left}))

    def _unite(self, left: str, right: str) -> None:
        root, below = sorted((left, right))
        self._above[below] = root
        self._members.setdefault(root, {root}).update(self._members.pop(below, {below}))


def _plain(text: str) -> str:
    low = re.sub(r"@[^.]*", "", text.strip().lower())
    return _NUMBERS.sub("#", low)[:128]


def _hash(parts: Sequence[str]) -> str:
    held = "\x1f".join([str(VERSION), *parts])
    return blake2b(held.encode(), digest_size=12).hexdigest()
