"""Rules on the texts of configurations: what they demand, and whether a text has left its baseline.

A text is judged when it is new, when what is asked of it changed, and when another baseline was named;
`judged` remembers which text was judged by what, so that nothing is judged twice.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from forestall.judge.compliance import ReadText, Verdict, check_text
from forestall.judge.reasons import say_span
from forestall.judge.rules import Look, Rule
from forestall.judge.transitions import Estate, make_transition
from forestall.judge.values import JudgedAsset, JudgedText, State, Transition

Key = tuple[int, str, str]  # asset, rule, kind
Place = tuple[int, str]  # asset, kind
PRINT_CHARS = 16
ANSWER_LINES = 50


class HeldText(msgspec.Struct):
    """A rule that a text does not meet."""

    began_ms: int
    open: State
    told: bool


@dataclass(frozen=True, slots=True)
class JudgedResult:
    """What the spec says of one text: why it does not meet some rules, and which rules it meets."""

    asset: int
    kind: str
    broken: dict[str, str] = field(default_factory=dict)
    held: tuple[str, ...] = ()


class TextJudge:
    """The state of all rules on texts."""

    def __init__(self, estate: Estate) -> None:
        self.estate = estate
        self.held: dict[Key, HeldText] = {}
        self.judged: dict[Place, str] = {}
        self.stale = True  # whether there may be texts that were judged by other rules than those of now
        self._prints: dict[int, str] = {}  # by id of a resolved dict, which stays alive

    def is_judged(self, asset: int, kind: str, *, content: str, baseline: str) -> bool:
        """Whether this text was judged already by the rules of now. A kind that no rule asks about is."""
        rules = self._rules(asset, kind)
        return not rules or self.judged.get((asset, kind)) == self._print(asset, content, baseline)

    def knows(self, asset: int, kind: str, *, content: str) -> bool:
        """Whether this text was judged before, by whatever rules."""
        return f":{content[:PRINT_CHARS]}:" in self.judged.get((asset, kind), "")

    def observe(self, text: JudgedText) -> tuple[list[Transition], JudgedResult]:
        """Judge a text, whatever was judged before."""
        owner = self.estate.assets.get(text.asset)
        broken: dict[str, str] = {}
        held: list[str] = []
        taken: list[Transition] = []
        if owner is None:
            return [], JudgedResult(text.asset, text.kind)
        read: ReadText | None = None
        for rule in self._rules(text.asset, text.kind):
            if rule.look is Look.BASELINE:
                verdict = _left_baseline(text)
            else:
                read = read or ReadText(text.text)
                verdict = check_text(rule.demand, read) if rule.demand else Verdict(False, True)
            if verdict.applies and verdict.holds:
                held.append(rule.name)
            elif not verdict.holds:
                broken[rule.name] = verdict.reason
            taken += self._move(owner, rule, text, verdict)
        self.judged[(text.asset, text.kind)] = self._print(text.asset, text.content, text.baseline)
        return taken, JudgedResult(text.asset, text.kind, broken, tuple(held))

    def change_assets(self, changed: Iterable[int]) -> None:
        """Forget assets and rules that are gone; texts of the others may have to be judged again."""
        self.stale = True
        numbers = set(changed)
        for key in [key for key in self.held if key[0] in numbers]:
            owner, rule = self.estate.assets.get(key[0]), self.estate.rules_of(key[0]).get(key[1])
            if owner is None or rule is None or not rule.covers(key[2]) or not _tagged(rule, owner):
                del self.held[key]
        for place in [place for place in self.judged if place[0] in numbers - self.estate.assets.keys()]:
            del self.judged[place]

    def _rules(self, asset: int, kind: str) -> list[Rule]:
        owner = self.estate.assets.get(asset)
        if owner is None:
            return []
        found = [*self.estate.looking(asset, Look.CONFIGURATION), *self.estate.looking(asset, Look.BASELINE)]
        return [rule for rule in found if rule.covers(kind) and _tagged(rule, owner)]

    def _print(self, asset: int, content: str, baseline: str) -> str:
        rules = self.estate.rules_of(asset)
        known = self._prints.get(id(rules))
        if known is None:
            asked = [
                (rule.name, rule.written)
                for rule in rules.values()
                if rule.look in (Look.CONFIGURATION, Look.BASELINE)
            ]
            spelled = json.dumps(asked, sort_keys=True, default=str)
            known = self._prints[id(rules)] = hashlib.sha256(spelled.encode()).hexdigest()[:PRINT_CHARS]
        owner = self.estate.assets[asset]
        tags = ",".join(owner.tags)
        return f"{known}:{content[:PRINT_CHARS]}:{baseline[:PRINT_CHARS]}:{tags}"

    def _move(self, owner: JudgedAsset, rule: Rule, text: JudgedText, verdict: Verdict) -> list[Transition]:
        key = (owner.number, rule.name, text.kind)
        held = self.held.get(key)
        if verdict.holds == (held is None):
            return []
        name = text.title or text.kind
        if held is None:
            level = rule.levels[0]
            held = self.held[key] = HeldText(text.at_ms, level.state, level.tells)
            was, to = State.IN_SPEC, level.state
            reason = f"{name}, version {text.version}: {verdict.reason}"
        else:
            del self.held[key]
            was, to = held.open, State.IN_SPEC
            lasted = say_span(max(0, text.at_ms - held.began_ms))
            reason = f"{name} is as it should be in version {text.version}, after {lasted}"
        listed = verdict.lines[:ANSWER_LINES]
        return [
            make_transition(
                owner,
                rule,
                item=text.kind,
                was=was,
                to=to,
                began_ms=held.began_ms,
                at_ms=text.at_ms,
                reason=reason,
                told=held.told,
                numbers={"version": float(text.version)},
                answer="\n".join(f"{number}: {line}" for number, line in listed),
            )
        ]


def _tagged(rule: Rule, owner: JudgedAsset) -> bool:
    return not rule.tags or not set(rule.tags).isdisjoint(owner.tags)


def _left_baseline(text: JudgedText) -> Verdict:
    if not text.baseline:
        return Verdict(applies=False, holds=True)
    if text.baseline == text.content:
        return Verdict(applies=True, holds=True)
    said = f"it is no longer like its baseline, version {text.baseline_version}: {text.drift}"
    return Verdict(applies=True, holds=False, reason=said)
