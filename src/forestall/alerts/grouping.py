"""Which findings have one cause. Pure: the situation in, groups with named reasons out.

A finding with cause "reachability" on an asset explains every finding of that asset and of everything that
hangs on it. Where at least SHARED_LEAST things behind one asset fail together and nothing is known of that
asset itself, the cause is sought there. Otherwise the cause is the asset and the rule's family, and findings
that stand on one answer of one probe have one cause whatever their rules.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from forestall.alerts.answers import is_asked, same_answer
from forestall.alerts.values import REACHABILITY, Group, Place, Situation, Standing, Wrong
from forestall.judge.values import State

SHARED_LEAST = 3
SHARED_WITHIN = timedelta(seconds=120)  # neighbours that fail further apart have different causes
CHAIN_MOST = 32
REACH = "reach"
PROBE_UP = "probe.up"


def chain(asset: str, places: Mapping[str, Place]) -> list[Place]:
    """The asset and what it hangs on, upwards; within one client, without circles."""
    found: list[Place] = []
    seen: set[str] = set()
    here = places.get(asset)
    while here is not None and here.id not in seen and len(found) < CHAIN_MOST:
        if found and here.client != found[0].client:
            break
        found.append(here)
        seen.add(here.id)
        here = places.get(here.parent) if here.parent else None
    return found


def reach_key(asset: str) -> str:
    """The cause key of everything that an asset's being away explains."""
    return f"{asset}/{REACH}"


def family(rule: str) -> str:
    """The family of a rule: its name's first word."""
    return re.split(r"[-._]", rule, maxsplit=1)[0]


def sudden(finding: Wrong) -> bool:
    """Whether a finding looks like something that broke (a question without its answer, silence), not like
    something that crept up."""
    return (
        finding.cause == REACHABILITY
        or finding.state in {State.BREAKING, State.SILENT}
        or finding.metric.startswith("probe.")
    )


@dataclass(slots=True)
class Causes:
    """Where causes lie: assets that are down themselves, and assets behind which several things fail."""

    down: set[str] = field(default_factory=set)
    shared: dict[str, int] = field(default_factory=dict)  # asset → how many things fail behind it
    known: dict[str, str] = field(default_factory=dict)  # finding → the asset at which its cause lies

    def root(self, asset: str, places: Mapping[str, Place]) -> str | None:
        """The topmost asset that is down and that this one hangs on (or is)."""
        return next((place.id for place in reversed(chain(asset, places)) if place.id in self.down), None)

    def shared_root(self, asset: str, places: Mapping[str, Place]) -> str | None:
        """The topmost asset, without a gap from here, behind which several things fail."""
        found: str | None = None
        line = chain(asset, places)
        start = 0 if asset in self.shared else 1
        for place in line[start:]:
            if place.id not in self.shared:
                break
            found = place.id
        return found

    def of(self, finding: Wrong, places: Mapping[str, Place]) -> str | None:
        """The asset at which a finding's cause lies, when that is known."""
        root = self.root(finding.asset, places)
        if root is not None:
            return self.shared_root(root, places) or root
        return self.shared_root(finding.asset, places) if sudden(finding) else None


def find_causes(situation: Situation) -> Causes:
    """Where the causes of the open findings lie."""
    causes = Causes(down={f.asset for f in situation.findings.values() if f.cause == REACHABILITY})
    members: dict[str, set[str]] = defaultdict(set)  # cause key → findings of its open alert
    for alert in situation.alerts:
        if alert.recovered_at is None:
            members[alert.cause_key] |= alert.findings
    failing: dict[str, list[Wrong]] = defaultdict(list)  # asset at which it fails → why
    for finding in situation.findings.values():
        if sudden(finding) and finding.asset in situation.places:
            failing[causes.root(finding.asset, situation.places) or finding.asset].append(finding)
    for _ in range(CHAIN_MOST):
        grown = _shared_above(failing, members, situation)
        fresh = {parent: count for parent, count in grown.items() if parent not in causes.shared}
        if not fresh:
            break
        causes.shared.update(fresh)
        for parent in fresh:
            children = [child for child in failing if _parent(child, situation.places) == parent]
            for child in children:
                failing[parent] = failing[parent] + failing[child]
    for finding in situation.findings.values():
        if root := causes.of(finding, situation.places):
            causes.known[finding.id] = root
    return causes


def _shared_above(
    failing: Mapping[str, list[Wrong]], members: Mapping[str, set[str]], situation: Situation
) -> dict[str, int]:
    children: dict[str, set[str]] = defaultdict(set)
    for asset, findings in failing.items():
        parent = _parent(asset, situation.places)
        if parent is None:
            continue
        inside = members.get(reach_key(parent), set())
        if any(finding.id in inside or _recent(finding, situation.now) for finding in findings):
            children[parent].add(asset)
    return {parent: len(found) for parent, found in children.items() if len(found) >= SHARED_LEAST}


def _parent(asset: str, places: Mapping[str, Place]) -> str | None:
    line = chain(asset, places)
    return line[1].id if len(line) > 1 else None


def _recent(finding: Wrong, now: datetime) -> bool:
    return now - finding.opened_at <= SHARED_WITHIN


def group_findings(situation: Situation, causes: Causes, settled: Mapping[str, str]) -> list[Group]:
    """The findings that are in no settled alert, by cause; `settled` maps a finding to its settled alert.

    In the order of their first findings, so that the same situation gives the same groups.
    """
    keyed: dict[str, list[Wrong]] = defaultdict(list)
    roots: dict[str, tuple[str, str]] = {}
    told = {alert.id: alert for alert in situation.alerts}
    asked: dict[str, list[Wrong]] = defaultdict(list)  # asset → findings that stand on answers of probes
    for finding in situation.findings.values():
        if finding.metric and is_asked(finding):
            asked[finding.asset].append(finding)
    for finding in sorted(situation.findings.values(), key=lambda f: (f.opened_at, f.id)):
        if finding.id in settled or finding.asset not in situation.places:
            continue
        root = causes.known.get(finding.id)
        if root is None:
            others = [one for one in asked[finding.asset] if same_answer(one, finding)]
            key, root, why = _own_cause(finding, others, settled=settled, told=told)
        elif root in causes.down:
            key, why = reach_key(root), "it is away, which explains what hangs on it"
        else:
            key, why = reach_key(root), "several things behind it fail together"
        keyed[key].append(finding)
        roots[key] = (root, why)
    return [
        Group(
            cause_key=key,
            client=found[0].client,
            root=roots[key][0],
            why=roots[key][1],
            findings=tuple(found),
        )
        for key, found in keyed.items()
    ]


def _own_cause(
    finding: Wrong, others: Sequence[Wrong], *, settled: Mapping[str, str], told: Mapping[str, Standing]
) -> tuple[str, str, str]:
    """Cause key, root and reason for what no other asset explains. `others` stand on the same answer (it may
    be among them): what was told of the same answer takes it in, else it goes with the probe that failed."""
    for other in sorted(others, key=lambda f: (f.opened_at, f.id)):
        if other.id in settled:
            alert = told[settled[other.id]]
            return alert.cause_key, alert.asset, "one answer of one probe"
    failed = [other for other in others if other.metric == PROBE_UP]
    leading = min(failed, key=lambda f: (f.opened_at, f.id)) if failed else finding
    why = "one thing, one kind" if leading is finding else "one answer of one probe"
    return f"{finding.asset}/{family(leading.rule)}", finding.asset, why
