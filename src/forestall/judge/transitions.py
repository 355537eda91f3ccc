"""What all parts of the judge share: the estate with its resolved rules, and the making of a transition."""

import json

from forestall.judge.overrides import resolve
from forestall.judge.rules import Book, Look, Rule
from forestall.judge.values import JudgedAsset, State, Transition

NO_LONGER = "no longer watched"
TROUBLES_MAX = 1000
ANSWER_MAX_CHARS = 8192


class Estate:
    """The assets by number, and the rules that hold at each (overrides laid over its packs)."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self.assets: dict[int, JudgedAsset] = {}
        self.troubles: list[str] = []  # overrides that no longer fit, in words
        self._resolved: dict[tuple[str, str], dict[str, Rule]] = {}
        self._looking: dict[tuple[int, Look], list[Rule]] = {}  # by id of a resolved dict, which stays alive

    def rules_of(self, asset: int) -> dict[str, Rule]:
        """The rules of an asset by name, without those that are off; none when the asset is unknown."""
        known = self.assets.get(asset)
        if known is None:
            return {}
        if not known.overrides and (known.kind, "") in self._resolved:
            return self._resolved[(known.kind, "")]
        spelled = [(one.rule, one.place, one.settings) for one in known.overrides]
        key = (known.kind, json.dumps(spelled, sort_keys=True) if spelled else "")
        found = self._resolved.get(key)
        if found is None:
            said: list[str] = []
            rules = self.book.rules_for(known.kind)
            changed = {name: resolve(rule, known.overrides, said) for name, rule in rules.items()}
            found = {name: rule for name, rule in changed.items() if not rule.off}
            self._resolved[key] = found
            self.troubles = [*self.troubles, *(f"{known.name}: {one}" for one in said)][-TROUBLES_MAX:]
        return found

    def looking(self, asset: int, look: Look) -> list[Rule]:
        """The asset's rules that look at one kind of thing."""
        rules = self.rules_of(asset)
        if not rules:
            return []
        found = self._looking.get((id(rules), look))
        if found is None:
            found = self._looking[(id(rules), look)] = [one for one in rules.values() if one.look is look]
        return found


def make_transition(
    asset: JudgedAsset,
    rule: Rule,
    *,
    item: str,
    was: State,
    to: State,
    began_ms: int,
    at_ms: int,
    reason: str,
    told: bool,
    numbers: dict[str, float] | None = None,
    answer: str = "",
    cause: str | None = None,
) -> Transition:
    """A transition of a rule on an asset. `told`: whether it tells (for an end: whether it ever did)."""
    return Transition(
        client=asset.client,
        asset=asset.id,
        rule=rule.name,
        item=item,
        pack=rule.pack,
        pack_version=rule.pack_version,
        was=was,
        to=to,
        began_at_ms=began_ms,
        at_ms=at_ms,
        metric=rule.metric,
        reason=reason,
        why=rule.why,
        first_step=rule.first,
        cause=rule.cause if cause is None else cause,
        tells=told,
        numbers=numbers or {},
        answer=answer[:ANSWER_MAX_CHARS],
    )
