"""Decisions on alerts: tables of situations, and whole lives in a state machine. No database."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from forestall.alerts.decide import (
    FLAP_WAIT_MOST,
    GROUP_WAIT,
    REPEAT_EVERY,
    REPEATS_MOST,
    decide,
    flap_wait,
)
from forestall.alerts.grouping import chain, family
from forestall.alerts.values import (
    Explained,
    Hushed,
    Opened,
    Place,
    Quiet,
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

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
CLIENT = "client"


def place(name: str, parent: str | None = None, client: str = CLIENT, site: str | None = None) -> Place:
    return Place(id=name, client=client, name=name, parent=parent, site=site)


SERVICES = [place(f"s{n}", "host") for n in range(6)]
TREE = {p.id: p for p in [place("switch"), place("host", "switch"), *SERVICES]}
HARD = [State.SILENT, State.OUT_OF_SPEC, State.BREAKING]
RECENT = timedelta(minutes=15)


def wrong(name: str, asset: str, *, ago_s: float = 0, state: State = State.BREAKING, cause: str = "", **more):
    opened_at = NOW - timedelta(seconds=ago_s)
    return Wrong(
        id=name,
        client=CLIENT,
        asset=asset,
        rule=more.pop("rule", "probe-fails"),
        item=more.pop("item", ""),
        state=state,
        cause=cause,
        opened_at=opened_at,
        began_at=more.pop("began_at", opened_at),
        changed_at=more.pop("changed_at", opened_at),
        reason=f"{asset} is wrong.",
        **more,
    )


def standing(name: str, asset: str, *findings: str, key: str = "", **more) -> Standing:
    fields = {
        "severity": State.BREAKING,
        "opened_at": NOW - timedelta(minutes=1),
        "tell_at": NOW - timedelta(seconds=50),
        "told_at": NOW - timedelta(seconds=50),
        "title": f"{asset}: {asset} is wrong",
        "reason": f"{asset} is wrong.",
    } | more
    return Standing(
        id=name,
        client=CLIENT,
        asset=asset,
        cause_key=key or f"{asset}/probe",
        findings=frozenset(findings),
        **fields,
    )


def situation(findings=(), alerts=(), windows=(), now=NOW, places=None) -> Situation:
    return Situation(
        now=now,
        findings={f.id: f for f in findings},
        alerts=tuple(alerts),
        places=places or TREE,
        windows=tuple(windows),
    )


def keys(changes) -> list[str]:
    return [change.group.cause_key for change in changes if isinstance(change, Opened)]


def test_nothing_wrong_is_nothing_to_do():
    assert decide(situation()) == []


@pytest.mark.parametrize(
    ("findings", "expected"),
    [
        ([wrong("a", "s0")], ["s0/probe"]),
        ([wrong("a", "s0"), wrong("b", "s0", rule="probe-slow")], ["s0/probe"]),
        ([wrong("a", "s0"), wrong("b", "s0", rule="disk-full")], ["s0/probe", "s0/disk"]),
        ([wrong("a", "s0"), wrong("b", "s1")], ["s0/probe", "s1/probe"]),
        ([wrong("a", "s0"), wrong("b", "s1"), wrong("c", "s2")], ["host/reach"]),
        ([wrong("a", "s0"), wrong("b", "host", cause="reachability")], ["host/reach"]),
        ([wrong("a", "s0"), wrong("b", "switch", cause="reachability")], ["switch/reach"]),
        (
            [wrong("a", "host", cause="reachability"), wrong("b", "switch", cause="reachability")],
            ["switch/reach"],
        ),
        ([wrong("a", "host", cause="reachability"), wrong("b", "switch", rule="disk-full")],
         ["host/reach", "switch/disk"]),
        (
            [wrong(f"{n}", f"s{n}", state=State.OUT_OF_SPEC, metric="probe.up") for n in range(3)],
            ["host/reach"],
        ),
        (
            [wrong(f"{n}", f"s{n}", state=State.OUT_OF_SPEC, rule="updates-pending") for n in range(4)],
            [f"s{n}/updates" for n in range(4)],
        ),
        ([wrong("a", "s0", ago_s=999), wrong("b", "s1", ago_s=999), wrong("c", "s2")],
         ["s0/probe", "s1/probe", "s2/probe"]),
    ],
)  # fmt: skip
def test_which_findings_are_one_alert(findings, expected):
    assert sorted(keys(decide(situation(findings)))) == sorted(expected)


def test_two_levels_of_shared_causes_meet_at_the_top():
    places = {"core": place("core")}
    findings = []
    for h in range(3):
        places[f"h{h}"] = place(f"h{h}", "core")
        for s in range(3):
            places[f"h{h}s{s}"] = place(f"h{h}s{s}", f"h{h}")
            findings.append(wrong(f"f{h}{s}", f"h{h}s{s}"))
    assert keys(decide(situation(findings, places=places))) == ["core/reach"]


def test_circles_and_strange_parents_end():
    places = {
        "a": place("a", "b"),
        "b": place("b", "a"),
        "c": place("c", "x", client="other"),
        "x": place("x"),
    }
    assert [p.id for p in chain("a", places)] == ["a", "b"]
    assert [p.id for p in chain("c", places)] == ["c"]
    decide(situation([wrong("f", "a", cause="reachability")], places=places))


def test_children_that_were_not_told_yet_move_to_their_parents_alert():
    child = standing("A", "s0", "a", told_at=None, tell_at=NOW + GROUP_WAIT)
    changes = decide(situation([wrong("a", "s0"), wrong("b", "host", cause="reachability")], [child]))
    assert keys(changes) == ["host/reach"]
    assert [c for c in changes if isinstance(c, Recovered)] == [
        Recovered(alert="A", tell=False, into="host/reach")
    ]


def test_a_child_that_was_told_a_while_ago_stays_and_is_explained():
    old = standing("A", "s0", "a", opened_at=NOW - timedelta(hours=3))
    parent = standing("P", "host", "b", key="host/reach")
    changes = decide(situation([wrong("a", "s0"), wrong("b", "host", cause="reachability")], [old, parent]))
    assert Explained(alert="A", by="P") in changes
    back = standing("A", "s0", "a", explained_by="P", last_told_at=NOW)
    assert Explained(alert="A", by=None) in decide(situation([wrong("a", "s0")], [back]))


def test_a_larger_cause_takes_over_what_was_told_a_moment_ago():
    told = standing("A", "s0", "a")
    changes = decide(
        situation([wrong("a", "s0", ago_s=60), wrong("b", "host", cause="reachability")], [told])
    )
    assert [(c.alert, c.cause_key, c.larger_cause) for c in changes if isinstance(c, Reshaped)] == [
        ("A", "host/reach", True)
    ]
    assert not keys(changes)


@pytest.mark.parametrize(
    ("alert", "told"),
    [
        (standing("A", "s0", "a", told_at=None, tell_at=NOW), ["opened"]),
        (standing("A", "s0", "a", told_at=None, tell_at=NOW + timedelta(seconds=1)), []),
        (standing("A", "s0", "a", last_told_at=NOW - REPEAT_EVERY), ["repeat"]),
        (standing("A", "s0", "a", last_told_at=NOW - REPEAT_EVERY + timedelta(seconds=1)), []),
        (standing("A", "s0", "a", last_told_at=NOW - REPEAT_EVERY, acknowledged_at=NOW), []),
        (standing("A", "s0", "a", last_told_at=NOW - REPEAT_EVERY, repeats=REPEATS_MOST), []),
    ],
)
def test_when_it_is_told(alert, told):
    changes = decide(situation([wrong("a", "s0")], [alert]))
    assert [c.step for c in changes if isinstance(c, Told)] == told


@pytest.mark.parametrize(
    ("window", "quiet"),
    [
        (Quiet(client=CLIENT, title="w", ends_at=NOW + timedelta(hours=1)), True),
        (Quiet(client=CLIENT, asset="s0", title="w", ends_at=NOW + timedelta(hours=1)), True),
        (Quiet(client=CLIENT, asset="switch", title="w", ends_at=NOW + timedelta(hours=1)), True),
        (Quiet(client=CLIENT, asset="s1", title="w", ends_at=NOW + timedelta(hours=1)), False),
        (Quiet(client=CLIENT, site="here", title="w", ends_at=NOW + timedelta(hours=1)), False),
        (Quiet(client="other", title="w", ends_at=NOW + timedelta(hours=1)), False),
        (Quiet(client=CLIENT, title="w", ends_at=NOW), False),
    ],
)
def test_which_windows_keep_quiet(window, quiet):
    alert = standing("A", "s0", "a", told_at=None, tell_at=NOW)
    changes = decide(situation([wrong("a", "s0")], [alert], [window]))
    assert any(isinstance(c, Hushed) for c in changes) is quiet
    assert any(isinstance(c, Told) for c in changes) is not quiet


def test_when_the_window_is_over_it_is_told_at_once():
    muted = standing("A", "s0", "a", told_at=None, quiet_because="maintenance “w”", tell_at=NOW)
    changes = decide(situation([wrong("a", "s0")], [muted]))
    assert [type(c) for c in changes] == [Unhushed, Told]


def test_a_half_covered_alert_is_told():
    alert = standing("A", "s0", "a", "b", key="host/reach", told_at=None, tell_at=NOW)
    findings = [wrong("a", "s0", cause=""), wrong("b", "host", cause="reachability")]
    window = Quiet(client=CLIENT, asset="s0", title="w", ends_at=NOW + timedelta(hours=1))
    changes = decide(situation(findings, [alert.__class__(**_fields(alert, asset="host"))], [window]))
    assert any(isinstance(c, Told) for c in changes)


def _fields(alert: Standing, **more):
    return {name: getattr(alert, name) for name in alert.__dataclass_fields__} | more


@pytest.mark.parametrize(
    ("told_ago", "seen", "rule_name", "more"),
    [
        (timedelta(days=2), ("disk-full", ""), "disk-failing", True),
        (timedelta(days=2), ("disk-failing", ""), "disk-failing", False),
        (timedelta(minutes=2), ("disk-full", ""), "disk-failing", False),
    ],
)
def test_what_joins_an_old_alert_is_told_when_it_is_news(told_ago, seen, rule_name, more):
    old = standing(
        "A", "s0", "a", key="s0/disk", told_at=NOW - told_ago, last_told_at=NOW, seen=frozenset({seen})
    )
    changes = decide(situation([wrong("a", "s0", rule="disk-full"), wrong("b", "s0", rule=rule_name)], [old]))
    assert [change.more for change in changes] == [more]


def test_recovery_is_told_exactly_when_the_opening_was():
    for told_at, tell in ((NOW, True), (None, False)):
        changes = decide(situation([], [standing("A", "s0", "a", told_at=told_at)]))
        assert changes == [Recovered(alert="A", tell=tell)]


def test_what_returns_soon_is_the_same_alert_and_waits_longer():
    over = standing("A", "s0", "a", recovered_at=NOW - timedelta(minutes=2))
    (change,) = decide(situation([wrong("b", "s0")], [over]))
    assert isinstance(change, Reopened)
    assert change.tell_at > NOW + GROUP_WAIT
    assert "occurrence 2" in change.reason
    late = standing("A", "s0", "a", recovered_at=NOW - timedelta(hours=2))
    assert keys(decide(situation([wrong("b", "s0")], [late]))) == ["s0/probe"]


def test_the_wait_of_returns_grows_to_a_limit_but_flapping_is_told_now_and_then():
    waits = [flap_wait(n) for n in range(2, 60)]
    assert waits[0] < waits[1] < waits[2]
    assert max(waits) == FLAP_WAIT_MOST
    assert [n for n in range(2, 60) if not flap_wait(n)] == [5, 10, 20, 40]


@pytest.mark.parametrize(("rule_name", "expected"), [("disk-full", "disk"), ("probe", "probe"), ("a.b", "a")])
def test_families(rule_name, expected):
    assert family(rule_name) == expected


class AlertLives(RuleBasedStateMachine):
    """Assets fail and recover, windows open and close, people acknowledge; a small model applies the changes
    as the database does. What is told must make sense to the one who reads it."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.wrong: dict[str, Wrong] = {}
        self.alerts: dict[str, dict] = {}
        self.windows: list[Quiet] = []
        self.told: list[tuple[str, int, str]] = []
        self.number = 0

    @rule(
        asset=st.sampled_from(sorted(TREE)),
        state=st.sampled_from(HARD),
        name=st.sampled_from(["probe-fails", "disk-full", "unreachable"]),
    )
    def fails(self, asset, state, name):
        here = [f for f in self.wrong.values() if (f.asset, f.rule) == (asset, name)]
        self.number += 1
        finding = here[0].id if here else f"f{self.number:05}"
        opened_at = here[0].opened_at if here else self.now
        self.wrong[finding] = Wrong(
            id=finding, client=CLIENT, asset=asset, rule=name, item="", state=state, opened_at=opened_at,
            began_at=opened_at, changed_at=self.now,
            cause="reachability" if name == "unreachable" else "", reason=f"{asset} {name}",
        )  # fmt: skip
        self.settle()

    @precondition(lambda self: self.wrong)
    @rule(data=st.data())
    def recovers(self, data):
        del self.wrong[data.draw(st.sampled_from(sorted(self.wrong)))]
        self.settle()

    @rule(asset=st.sampled_from([None, *sorted(TREE)]), minutes=st.integers(1, 90))
    def window(self, asset, minutes):
        ends_at = self.now + timedelta(minutes=minutes)
        self.windows.append(Quiet(client=CLIENT, asset=asset, title="w", ends_at=ends_at))
        self.settle()

    @precondition(lambda self: self.open_alerts())
    @rule(data=st.data())
    def acknowledge(self, data):
        alert = self.alerts[data.draw(st.sampled_from(sorted(self.open_alerts())))]
        alert["acknowledged_at"] = alert.get("acknowledged_at") or self.now

    @rule(seconds=st.sampled_from([1, 5, 11, 61, 700, 1900, 7200]))
    def waits(self, seconds):
        self.now += timedelta(seconds=seconds)
        self.settle()

    def open_alerts(self):
        return [key for key, alert in self.alerts.items() if alert["recovered_at"] is None]

    def look(self) -> Situation:
        recent = [Standing(**alert) for alert in self.alerts.values()]
        return Situation(
            now=self.now,
            findings=dict(self.wrong),
            alerts=tuple(
                a for a in recent if a.recovered_at is None or self.now - a.recovered_at < RECENT
            ),
            places=TREE,
            windows=tuple(w for w in self.windows if w.ends_at > self.now),
        )  # fmt: skip

    def covered(self, asset: str) -> bool:
        around = {None, asset, "switch", *(["host"] if asset.startswith("s") and asset != "switch" else [])}
        return any(w.ends_at > self.now and w.asset in around for w in self.windows)

    def settle(self):
        """Rounds until nothing is due: the decisions must come to rest."""
        for _ in range(6):
            changes = decide(self.look())
            if not changes:
                return
            for change in changes:
                self.apply(change)
        raise AssertionError(f"the decisions do not come to rest: {changes}")

    def apply(self, change):
        match change:
            case Opened():
                self.number += 1
                key = f"A{self.number:05}"
                self.alerts[key] = _fields(
                    standing(key, change.group.root, *(f.id for f in change.group.findings)),
                    cause_key=change.group.cause_key, told_at=None, tell_at=change.tell_at,
                    opened_at=self.now, severity=change.group.severity,
                    title=change.title, reason=change.reason,
                )  # fmt: skip
            case Reopened():
                alert = self.alerts[change.alert]
                alert |= {
                    "recovered_at": None, "told_at": None, "last_told_at": None, "acknowledged_at": None,
                    "repeats": 0,
                    "occurrence": alert["occurrence"] + 1, "tell_at": change.tell_at, "explained_by": None,
                    "severity": change.group.severity, "title": change.title, "reason": change.reason,
                    "findings": alert["findings"] | {f.id for f in change.group.findings},
                }  # fmt: skip
            case Reshaped():
                alert = self.alerts[change.alert]
                alert |= {
                    "cause_key": change.cause_key, "asset": change.root, "title": change.title,
                    "reason": change.reason, "severity": change.severity,
                    "findings": (alert["findings"] | set(change.joined)) - set(change.left),
                }  # fmt: skip
                if change.worse or change.larger_cause:
                    assert alert["told_at"] is not None, "worse than what nobody was told of"
            case Hushed():
                self.alerts[change.alert]["quiet_because"] = change.because
            case Unhushed():
                self.alerts[change.alert] |= {"quiet_because": "", "tell_at": change.tell_at}
            case Explained():
                self.alerts[change.alert]["explained_by"] = change.by
            case Told():
                alert = self.alerts[change.alert]
                live = [self.wrong[f] for f in alert["findings"] if f in self.wrong]
                assert not all(self.covered(f.asset) for f in live), "told inside a window"
                assert alert["acknowledged_at"] is None, "told although somebody knows"
                alert["last_told_at"] = self.now
                if change.step == "opened":
                    alert["told_at"] = self.now
                else:
                    alert["repeats"] += 1
                    assert alert["repeats"] <= REPEATS_MOST
                self.told.append((change.alert, alert["occurrence"], change.step))
            case Recovered():
                alert = self.alerts[change.alert]
                alert |= {"recovered_at": self.now, "quiet_because": "", "explained_by": None}
                if change.into:
                    alert["findings"] = frozenset()
                if change.tell:
                    self.told.append((change.alert, alert["occurrence"], "recovered"))

    @invariant()
    def nobody_is_told_twice(self):
        firsts = [told for told in self.told if told[2] in {"opened", "recovered"}]
        assert len(firsts) == len(set(firsts))

    @invariant()
    def a_recovery_is_told_when_and_only_when_the_opening_was(self):
        opened = {told[:2] for told in self.told if told[2] == "opened"}
        recovered = {told[:2] for told in self.told if told[2] == "recovered"}
        assert recovered <= opened
        still_open = {(key, self.alerts[key]["occurrence"]) for key in self.open_alerts()}
        assert opened - recovered <= still_open

    @invariant()
    def every_finding_is_in_an_open_alert(self):
        inside = {f for key in self.open_alerts() for f in self.alerts[key]["findings"]}
        assert self.wrong.keys() <= inside

    @invariant()
    def no_finding_is_in_two_open_alerts(self):
        inside = [f for key in self.open_alerts() for f in self.alerts[key]["findings"] if f in self.wrong]
        assert len(inside) == len(set(inside))

    @invariant()
    def a_cause_has_one_open_alert(self):
        causes = [self.alerts[key]["cause_key"] for key in self.open_alerts()]
        assert len(causes) == len(set(causes))

    @invariant()
    def an_open_alert_has_something_wrong(self):
        for key in self.open_alerts():
            assert self.alerts[key]["findings"] & self.wrong.keys()

    @invariant()
    def what_lasts_is_told_unless_there_is_a_reason_not_to(self):
        for key in self.open_alerts():
            alert = self.alerts[key]
            if alert["told_at"] is None and not alert["quiet_because"] and not alert["acknowledged_at"]:
                assert alert["tell_at"] > self.now


AlertLives.TestCase.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestAlertLives = AlertLives.TestCase
