"""Rules on configurations: a change that is a finding of its own, and captures that were refused."""

from collections.abc import Iterable

import msgspec

from forestall.judge import reasons
from forestall.judge.rules import Look, Rule
from forestall.judge.transitions import Estate, make_transition
from forestall.judge.values import JudgedAsset, JudgedCapture, JudgedChange, State, Transition

Key = tuple[int, str, str]


class Held(msgspec.Struct):
    """A change or a refusal on one asset, rule and kind. `open` is the state while it is a finding."""

    at_ms: int
    original: str = ""
    began_ms: int = 0
    ends_ms: int = 0
    open: State = State.IN_SPEC
    told: bool = False


class ChangeJudge:
    """The state of all rules on changes and captures."""

    def __init__(self, estate: Estate) -> None:
        self.estate = estate
        self.held: dict[Key, Held] = {}

    def observe_changes(self, changes: Iterable[JudgedChange]) -> list[Transition]:
        """A change opens a finding; going back to the former content ends it. Repetitions do nothing."""
        taken: list[Transition] = []
        for change in sorted(changes, key=lambda one: (one.at_ms, one.asset, one.kind)):
            owner = self.estate.assets.get(change.asset)
            for rule in self.estate.looking(change.asset, Look.CHANGE):
                if owner is not None and rule.covers(change.kind):
                    taken += self._change(owner, rule, change)
        return taken

    def _change(self, owner: JudgedAsset, rule: Rule, change: JudgedChange) -> list[Transition]:
        key = (owner.number, rule.name, change.kind)
        held = self.held.get(key)
        if held is not None and change.at_ms <= held.at_ms:
            return []
        if held is not None and held.open is not State.IN_SPEC:
            held.at_ms, held.ends_ms = change.at_ms, change.at_ms + rule.ends_after_ms
            if change.after == held.original:
                return self._end(
                    owner,
                    rule,
                    key,
                    at_ms=change.at_ms,
                    reason=f"{change.title or change.kind} is as it was before",
                )
            return []
        level = rule.levels[0]
        state = State.DRIFTING if change.planned else level.state
        held = self.held[key] = Held(
            at_ms=change.at_ms,
            original=change.before,
            began_ms=change.at_ms,
            ends_ms=change.at_ms + rule.ends_after_ms,
            open=state,
            told=level.tells and not change.planned,
        )
        reason = reasons.say_change(change)
        return [self._open(owner, rule, key, held, reason=reason)]

    def observe_captures(self, captures: Iterable[JudgedCapture]) -> list[Transition]:
        """A refused or cut capture opens a finding; a whole one of that kind ends it."""
        taken: list[Transition] = []
        for capture in sorted(captures, key=lambda one: (one.at_ms, one.asset, one.kind)):
            owner = self.estate.assets.get(capture.asset)
            for rule in self.estate.looking(capture.asset, Look.CAPTURE):
                if owner is not None and rule.covers(capture.kind):
                    taken += self._capture(owner, rule, capture)
        return taken

    def _capture(self, owner: JudgedAsset, rule: Rule, capture: JudgedCapture) -> list[Transition]:
        key = (owner.number, rule.name, capture.kind)
        held = self.held.get(key)
        if held is not None and capture.at_ms <= held.at_ms:
            return []
        if not capture.problem:
            if held is None:
                return []
            held.at_ms = capture.at_ms
            if held.open is State.IN_SPEC:
                return []
            return self._end(
                owner, rule, key, at_ms=capture.at_ms, reason=f"{capture.kind} is captured again"
            )
        if held is not None and held.open is not State.IN_SPEC:
            held.at_ms = capture.at_ms
            return []
        level = rule.levels[0]
        held = self.held[key] = Held(
            at_ms=capture.at_ms, began_ms=capture.at_ms, open=level.state, told=level.tells
        )
        reason = f"the capture of {capture.kind} is not whole: {capture.problem}"
        return [self._open(owner, rule, key, held, reason=reason)]

    def accept(self, place: tuple[int, str, str], at_ms: int, *, actor: str) -> list[Transition]:
        """End the finding of a change because a person accepted it. `place`: asset number, rule, kind."""
        held = self.held.get(place)
        owner = self.estate.assets.get(place[0])
        rule = self.estate.rules_of(place[0]).get(place[1])
        if held is None or held.open is State.IN_SPEC or owner is None or rule is None:
            return []
        return self._end(owner, rule, place, at_ms=at_ms, reason=f"accepted by {actor}")

    def tick(self, now_ms: int) -> list[Transition]:
        """End findings of changes after which nothing more was changed for long."""
        taken: list[Transition] = []
        for key in sorted(key for key, held in self.held.items() if 0 < held.ends_ms <= now_ms):
            held = self.held[key]
            owner = self.estate.assets.get(key[0])
            rule = self.estate.rules_of(key[0]).get(key[1])
            if held.open is State.IN_SPEC or owner is None or rule is None:
                held.ends_ms = 0
                continue
            still = (
                f"no further change for {reasons.say_span(rule.ends_after_ms)}; it stands among the changes"
            )
            taken += self._end(owner, rule, key, at_ms=held.ends_ms, reason=still)
        return taken

    def change_assets(self, changed: Iterable[int]) -> None:
        """Forget assets and rules that are gone."""
        numbers = set(changed)
        for key in list(self.held):
            if key[0] in numbers and key[1] not in self.estate.rules_of(key[0]):
                del self.held[key]

    def _open(self, owner: JudgedAsset, rule: Rule, key: Key, held: Held, *, reason: str) -> Transition:
        return make_transition(
            owner,
            rule,
            item=key[2],
            was=State.IN_SPEC,
            to=held.open,
            began_ms=held.began_ms,
            at_ms=held.at_ms,
            reason=reason,
            told=held.told,
        )

    def _end(self, owner: JudgedAsset, rule: Rule, key: Key, *, at_ms: int, reason: str) -> list[Transition]:
        held = self.held[key]
        was, held.open, held.ends_ms = held.open, State.IN_SPEC, 0
        return [
            make_transition(
                owner,
                rule,
                item=key[2],
                was=was,
                to=State.IN_SPEC,
                began_ms=held.began_ms,
                at_ms=at_ms,
                reason=reason,
                told=held.told,
            )
        ]
