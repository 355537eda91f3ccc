"""Spec packs: YAML texts to a `Book` of rules. Every mistake names file, line and what to write instead."""

import hashlib
from collections.abc import Mapping

from forestall.judge.marked import Marked, Mistakes, PackMistake, PackMistakes, read_yaml, words_of
from forestall.judge.reading import check_keys, read_rule, suggest
from forestall.judge.rules import KINDS, Book, Pack, Rule

VERSION_CHARS = 12
PACKS_MAX = 200
RULES_MAX = 200
PACK_KEYS = ("pack", "title", "for", "rules")

__all__ = ["PackMistake", "PackMistakes", "load_packs", "read_pack"]


def pack_version(text: str) -> str:
    """The short SHA-256 of a pack's text."""
    return hashlib.sha256(text.encode()).hexdigest()[:VERSION_CHARS]


def load_packs(files: Mapping[str, str]) -> Book:
    """The book of all packs. `files`: file name → YAML text. Raises PackMistakes with every mistake."""
    found: list[PackMistake] = []
    packs: list[Pack] = []
    texts: dict[str, str] = {}
    for file, text in sorted(files.items())[:PACKS_MAX]:
        mistakes = Mistakes(file)
        pack = read_pack(text, mistakes)
        if pack is not None and pack.name in texts:
            mistakes.add(1, f"two packs are called {pack.name}", "Rename one of them.")
        found += mistakes.found
        if pack is not None:
            packs.append(pack)
            texts[pack.name] = text
    if len(files) > PACKS_MAX:
        extra = sorted(files)[PACKS_MAX]
        found.append(PackMistake(extra, 1, f"there are more than {PACKS_MAX} packs", "Merge some of them."))
    found += _collisions(packs)
    if found:
        raise PackMistakes(found)
    return Book(tuple(packs), texts)


def read_pack(text: str, mistakes: Mistakes) -> Pack | None:
    """One pack, or None after noting every mistake in it."""
    document = read_yaml(text, mistakes)
    if document is None:
        return None
    if not isinstance(document.value, dict):
        mistakes.add(document, "a pack is a table", "Begin with `pack: NAME`, `for: [server]`, `rules:`.")
        return None
    check_keys(document, PACK_KEYS, "a pack", mistakes)
    table: dict[str, Marked] = document.value
    name = table.get("pack")
    if name is None or not isinstance(name.value, str) or not name.value:
        mistakes.add(name or document, "the pack has no name", "Begin with `pack: linux-server`.")
    title = table.get("title")
    version = pack_version(text)
    rules = _read_rules(table, str(name.value) if name else "?", version, mistakes)
    kinds = _read_kinds(document, mistakes)
    if mistakes.found or name is None:
        return None
    return Pack(
        name=str(name.value),
        title=str(title.value) if title is not None else str(name.value),
        version=version,
        kinds=kinds,
        rules=tuple(rules),
        file=mistakes.file,
    )


def _read_kinds(document: Marked, mistakes: Mistakes) -> frozenset[str]:
    at = document.value.get("for")
    if at is None:
        mistakes.add(
            document, "it is not said for which kinds of assets", "Add `for: [server]` or `for: any`."
        )
        return frozenset()
    if at.value == "any":
        return KINDS
    found = set()
    for word in words_of(at):
        if word.value in KINDS:
            found.add(word.value)
        else:
            mistakes.add(
                word.line, f"`{word.value}` is no kind of asset", suggest(word.value, ["any", *sorted(KINDS)])
            )
    if not found and not mistakes.found:
        mistakes.add(at, "`for` is a list of kinds", "Write `for: [server]`.")
    return frozenset(found)


def _read_rules(table: dict[str, Marked], pack: str, version: str, mistakes: Mistakes) -> list[Rule]:
    at = table.get("rules")
    if at is None or not isinstance(at.value, list) or not at.value:
        mistakes.add(at or 1, "the pack has no rules", "Add `rules:` and below it `- name: …`.")
        return []
    if len(at.value) > RULES_MAX:
        mistakes.add(at, f"a pack has at most {RULES_MAX} rules", "Split it.")
        return []
    rules: list[Rule] = []
    lines: dict[str, int] = {}
    for one in at.value:
        if not isinstance(one.value, dict):
            mistakes.add(one, "a rule is a table", "Write `- name: …` with `look_at`, `why`, `first` below.")
            continue
        name = one.value.get("name")
        if name is None or not isinstance(name.value, str):
            mistakes.add(one, "the rule has no name", "Add `name: disk-full`.")
            continue
        if name.value in lines:
            mistakes.add(
                name, f"the rule {name.value} stands twice, first in line {lines[name.value]}", "Rename one."
            )
        lines[name.value] = name.line
        rule = read_rule(one, pack=pack, version=version, mistakes=mistakes)
        if rule is not None:
            rules.append(rule)
    return rules


def _collisions(packs: list[Pack]) -> list[PackMistake]:
    """Rules of one name for one kind of asset in two packs."""
    found = []
    owner: dict[tuple[str, str], Pack] = {}
    told: set[tuple[str, str]] = set()
    for pack in packs:
        for rule in pack.rules:
            for kind in sorted(pack.kinds):
                other = owner.setdefault((kind, rule.name), pack)
                if other is not pack and (pack.name, rule.name) not in told:
                    told.add((pack.name, rule.name))
                    found.append(
                        PackMistake(
                            pack.file,
                            1,
                            f"the pack {other.name} has a rule {rule.name} for {kind} too",
                            "Rename the rule, or change `for`.",
                        )
                    )
    return found
