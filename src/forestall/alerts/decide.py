"""The life of alerts, decided. Pure: a situation in, changes with reasons out; `actions.py` applies them.

The rules, in the order in which they are decided:
1. findings are grouped by cause (`grouping.py`); what a person knows of stays where it is;
2. a group joins the open alert of its cause, reopens one that recovered a short while ago, becomes the
   larger cause of what was told a short while ago, or opens a new alert;
3. an alert whose findings are all inside maintenance windows is quiet until the windows end;
4. it is told when its group wait is over, told again until somebody acknowledges, and not while another
   alert explains it;
5. it recovers when none of its findings is open; that is told if and only if the opening was.
"""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta

from forestall.alerts import wording
from forestall.alerts.answers import same_answer
from forestall.alerts.grouping import REACH, Causes, chain, find_causes, group_findings, reach_key, sudden
from forestall.alerts.values import (
    Change,
    Explained,
    Group,
    Hushed,
    Opened,
    Recovered,
    Reopened,
    Reshaped,
    Situation,
    Standing,
    Told,
    Unhushed,
    Wrong,
)
from forestall.judge.values import State

GROUP_WAIT = timedelta(seconds=10)
FLAP_WITHIN = timedelta(minutes=15)  # what comes back within this after a recovery is the same alert
FLAP_WAIT = timedelta(minutes=1)  # doubled with every return
FLAP_WAIT_MOST = timedelta(minutes=30)
FLAPS_TOLD = frozenset({5, 10, 20, 40, 80, 160, 320})  # at these returns it is told without the longer wait
ADOPT_WITHIN = timedelta(minutes=10)  # what is found this soon after belongs to what was told
REPEAT_EVERY = timedelta(minutes=30)
REPEATS_MOST = 10


def decide(situation: Situation) -> list[Change]:
    """All changes that are due now."""
    open_alerts = [alert for alert in situation.alerts if alert.recovered_at is None]
    causes = find_causes(situation)
    settled = {
        finding: alert.id
        for alert in sorted(open_alerts, key=lambda a: (a.opened_at, a.id), reverse=True)
        if alert.settled
        for finding in alert.findings
    }
    groups = {group.cause_key: group for group in group_findings(situation, causes, settled)}
    changes: list[Change] = []
    taken: set[str] = set()
    by_key = {alert.cause_key: alert for alert in open_alerts}
    for group in groups.values():
        if group.cause_key in by_key:
            continue
        larger = _adoptable(group, open_alerts, taken, causes, situation)
        back = _recently_recovered(group, situation)
        if back is not None:
            changes.append(_reopen(back, group, situation))
        elif larger is not None:
            taken.add(larger.id)
            changes.append(_adopt(larger, group, situation))
        else:
            changes.append(_open(group, situation))
    for alert in open_alerts:
        if alert.id not in taken:
            changes.extend(_live_on(alert, groups, causes, by_key, situation))
    return changes


def _open(group: Group, situation: Situation) -> Opened:
    return Opened(
        group=group,
        title=wording.alert_title(group, situation.places),
        reason=wording.alert_reason(group, situation.places),
        tell_at=group.findings[0].opened_at + GROUP_WAIT,
    )


def _recently_recovered(group: Group, situation: Situation) -> Standing | None:
    found = [
        alert
        for alert in situation.alerts
        if alert.cause_key == group.cause_key
        and alert.recovered_at is not None
        and situation.now - alert.recovered_at <= FLAP_WITHIN
    ]
    return max(found, key=lambda alert: (alert.recovered_at or alert.opened_at, alert.id), default=None)


def _reopen(alert: Standing, group: Group, situation: Situation) -> Reopened:
    occurrence = alert.occurrence + 1
    wait = flap_wait(occurrence)
    return Reopened(
        alert=alert.id,
        group=group,
        title=wording.alert_title(group, situation.places),
        reason=wording.alert_reason(group, situation.places)
        + "\n"
        + wording.flapping(occurrence, alert.opened_at, wait),
        tell_at=group.findings[0].opened_at + wait,
    )


def flap_wait(occurrence: int) -> timedelta:
    """How long the given return (2 is the first) must last before it is told."""
    if occurrence in FLAPS_TOLD:
        return timedelta(0)
    doublings = min(occurrence - 2, 16)
    return min(FLAP_WAIT * (1 << doublings), FLAP_WAIT_MOST)


def _adoptable(
    group: Group, alerts: list[Standing], taken: set[str], causes: Causes, situation: Situation
) -> Standing | None:
    """The oldest alert that was told a short while ago and whose cause this group is."""
    if group.cause_key != reach_key(group.root):
        return None
    for alert in sorted(alerts, key=lambda a: (a.opened_at, a.id)):
        live = _live(alert, situation)
        fits = (
            alert.settled
            and alert.id not in taken
            and live
            and situation.now - alert.opened_at <= ADOPT_WITHIN
            and all(sudden(f) and causes.known.get(f.id) == group.root for f in live)
        )
        if fits:
            return alert
    return None


def _adopt(alert: Standing, group: Group, situation: Situation) -> Reshaped:
    whole = _with(group, _live(alert, situation))
    return Reshaped(
        alert=alert.id,
        cause_key=group.cause_key,
        root=group.root,
        title=wording.alert_title(whole, situation.places),
        reason=wording.alert_reason(whole, situation.places),
        severity=_worse_of(alert.severity, whole.severity),
        joined=tuple(finding.id for finding in group.findings),
        larger_cause=alert.told_at is not None,
    )


def _live_on(
    alert: Standing,
    groups: Mapping[str, Group],
    causes: Causes,
    by_key: Mapping[str, Standing],
    situation: Situation,
) -> list[Change]:
    """What is due for one open alert that keeps its cause."""
    group = groups.get(alert.cause_key)
    kept = _live(alert, situation) if alert.settled else []
    live = _in_order([*kept, *(group.findings if group else ())])
    if not live:
        into = "" if alert.settled else _taken_over_by(alert, groups, situation)
        return [Recovered(alert=alert.id, tell=alert.told_at is not None, into=into)]
    changes: list[Change] = []
    quiet = _quiet_because(live, situation)
    shape = _reshape(alert, live, situation, quiet=bool(quiet), causes=causes)
    if shape is not None:
        changes.append(shape)
    if quiet:
        return [*changes, Hushed(alert=alert.id, because=quiet)] if quiet != alert.quiet_because else changes
    if alert.quiet_because:
        changes.append(
            Unhushed(
                alert=alert.id,
                tell_at=alert.tell_at if alert.settled else situation.now,
                reason=wording.window_over(alert.quiet_because),
            )
        )
        if not alert.settled:
            return [*changes, Told(alert=alert.id, step="opened")]
    explained = _explained_by(alert, live, causes, by_key)
    if explained != alert.explained_by:
        changes.append(Explained(alert=alert.id, by=explained))
    if explained is None and (step := _due_step(alert, live, situation.now)):
        changes.append(Told(alert=alert.id, step=step))
    return changes


def _reshape(
    alert: Standing, live: list[Wrong], situation: Situation, *, quiet: bool, causes: Causes
) -> Reshaped | None:
    now_in = {finding.id for finding in live}
    was_in = {finding.id for finding in _live(alert, situation)}
    joined = tuple(finding.id for finding in live if finding.id not in alert.findings)
    left = () if alert.settled else tuple(sorted(alert.findings - now_in & situation.findings.keys()))
    whole = _with(_group_of(alert, causes), live)
    severity = alert.severity if quiet else _worse_of(alert.severity, whole.severity)
    if not joined and not left and severity == alert.severity and was_in == now_in == alert.findings:
        return None
    title = wording.alert_title(whole, situation.places)
    reason = wording.alert_reason(whole, situation.places)
    if alert.occurrence > 1:
        wait = flap_wait(alert.occurrence)
        reason += "\n" + wording.flapping(alert.occurrence, alert.opened_at, wait)
    if not joined and not left and (severity, title, reason) == (alert.severity, alert.title, alert.reason):
        return None
    return Reshaped(
        alert=alert.id,
        cause_key=alert.cause_key,
        root=alert.asset,
        title=title,
        reason=reason,
        severity=severity,
        joined=joined,
        left=left,
        worse=alert.told_at is not None and severity != alert.severity,
        more=not quiet and _is_news(alert, live, joined, situation.now),
    )


def _is_news(alert: Standing, live: list[Wrong], joined: Collection[str], now: datetime) -> bool:
    """Whether findings join that the person who was told long ago cannot know of; what an away asset
    explains is no news, nor is what the same answer of a probe says besides."""
    if (
        alert.told_at is None
        or now - alert.told_at <= ADOPT_WITHIN
        or alert.cause_key == reach_key(alert.asset)
    ):
        return False
    known = [finding for finding in live if finding.id not in joined]
    return any(
        (finding.rule, finding.item) not in alert.seen
        and not any(same_answer(finding, other) for other in known)
        for finding in live
        if finding.id in joined
    )


def _group_of(alert: Standing, causes: Causes) -> Group:
    if alert.cause_key != f"{alert.asset}/{REACH}":
        why = "one thing, one kind"
    elif alert.asset in causes.down:
        why = "it is away, which explains what hangs on it"
    else:
        why = "several things behind it fail together"
    return Group(cause_key=alert.cause_key, client=alert.client, root=alert.asset, why=why, findings=())


def _due_step(alert: Standing, live: list[Wrong], now: datetime) -> str:
    if not alert.settled:
        return "opened" if alert.tell_at <= now else ""
    breaking = any(finding.state is State.BREAKING for finding in live)
    last = alert.last_told_at or alert.told_at
    if alert.acknowledged_at is not None or not breaking or last is None or alert.repeats >= REPEATS_MOST:
        return ""
    return "repeat" if last + REPEAT_EVERY <= now else ""


def _explained_by(
    alert: Standing, live: list[Wrong], causes: Causes, by_key: Mapping[str, Standing]
) -> str | None:
    """The open alert at whose root the cause of all of this lies; only what was told needs an explanation,
    the rest moves there by itself."""
    if not alert.settled:
        return None
    roots = {causes_root for finding in live if (causes_root := causes.known.get(finding.id))}
    if len(roots) != 1 or any(finding.id not in causes.known for finding in live):
        return None
    larger = by_key.get(reach_key(roots.pop()))
    return larger.id if larger is not None and larger.id != alert.id else None


def _taken_over_by(alert: Standing, groups: Mapping[str, Group], situation: Situation) -> str:
    """The cause whose group has findings of this alert now."""
    for group in groups.values():
        if any(finding.id in alert.findings for finding in group.findings):
            return group.cause_key
    return ""


def _quiet_because(live: list[Wrong], situation: Situation) -> str:
    """Why nobody is told: every finding lies inside a window. The words of the window that ends last."""
    covering = []
    for finding in live:
        line = chain(finding.asset, situation.places)
        around = {place.id for place in line}
        over = [
            window
            for window in situation.windows
            if line
            and window.client == finding.client
            and window.ends_at > situation.now
            and (window.asset is None or window.asset in around)
            and (window.site is None or window.site == line[0].site)
        ]
        if not over:
            return ""
        covering.append(max(over, key=lambda window: window.ends_at))
    return wording.window_on(max(covering, key=lambda window: window.ends_at))


def _live(alert: Standing, situation: Situation) -> list[Wrong]:
    return _in_order(
        [situation.findings[finding] for finding in alert.findings if finding in situation.findings]
    )


def _in_order(findings: list[Wrong]) -> list[Wrong]:
    return sorted({finding.id: finding for finding in findings}.values(), key=lambda f: (f.opened_at, f.id))


def _with(group: Group, more: list[Wrong]) -> Group:
    return Group(
        cause_key=group.cause_key,
        client=group.client,
        root=group.root,
        why=group.why,
        findings=tuple(_in_order([*group.findings, *more])),
    )


def _worse_of(one: State, other: State) -> State:
    return max(one, other, key=lambda state: state.concern)
