"""Decisions on tickets: tables, and lives in a state machine. No database."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from forestall.judge.values import State
from forestall.tickets.decide import (
    REOPEN_WITHIN,
    CloseByItself,
    CountOn,
    NoteRecovery,
    OpenTicket,
    TicketNow,
    decide_for_alert,
    decide_recovery,
)

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)


def ticket(name: str = "t", **fields) -> TicketNow:
    return TicketNow(
        **{
            "id": name,
            "cause_key": "web/probe",
            "status": "open",
            "priority": 2,
            "touched": False,
            "closed_at": None,
        }
        | fields
    )


@pytest.mark.parametrize(
    ("tickets", "expected"),
    [
        ([], None),
        ([ticket(cause_key="web/disk")], None),
        ([ticket()], ("t", False)),
        ([ticket(status="resolved")], ("t", True)),
        ([ticket(status="waiting")], ("t", False)),
        ([ticket(status="closed", closed_at=NOW - timedelta(minutes=5))], ("t", True)),
        ([ticket(status="closed", closed_at=NOW - REOPEN_WITHIN - timedelta(seconds=1))], None),
        ([ticket("old", cause_key="x", linked=True), ticket("t")], ("old", False)),
        ([ticket("closed", closed_at=NOW), ticket("open")], ("open", False)),
    ],
)
def test_which_ticket_an_alert_belongs_to(tickets, expected):
    decision = decide_for_alert(cause_key="web/probe", severity=State.OUT_OF_SPEC, tickets=tickets, now=NOW)
    if expected is None:
        assert isinstance(decision, OpenTicket)
    else:
        assert isinstance(decision, CountOn)
        assert (decision.ticket, decision.reopen) == expected
    assert decision.why


@pytest.mark.parametrize(
    ("severity", "priority"), [(State.BREAKING, 1), (State.OUT_OF_SPEC, 2), (State.SILENT, 2)]
)
def test_what_breaks_is_more_urgent(severity, priority):
    decision = decide_for_alert(cause_key="a", severity=severity, tickets=[], now=NOW)
    assert decision.priority == priority


def test_an_occurrence_never_makes_a_ticket_less_urgent():
    decision = decide_for_alert(
        cause_key="web/probe", severity=State.OUT_OF_SPEC, tickets=[ticket(priority=1)], now=NOW
    )
    assert decision.priority == 1


@pytest.mark.parametrize(
    ("one", "others", "acknowledged", "closes"),
    [
        (ticket(), 0, False, True),
        (ticket(touched=True), 0, False, False),
        (ticket(), 0, True, False),
        (ticket(), 1, False, False),
        (ticket(status="closed", closed_at=NOW), 0, False, False),
    ],
)
def test_a_ticket_closes_by_itself_only_when_untouched_and_recovered(one, others, acknowledged, closes):
    decision = decide_recovery(one, others_wrong=others, acknowledged=acknowledged)
    assert isinstance(decision, CloseByItself if closes else NoteRecovery)
    assert decision.why


class TicketLives(RuleBasedStateMachine):
    """One cause that comes and goes while a person may work on its tickets."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.tickets: dict[str, TicketNow] = {}
        self.wrong_on = ""
        self.occurrences = 0
        self.counted = 0

    def put(self, one: TicketNow, **fields) -> None:
        now = {name: getattr(one, name) for name in one.__dataclass_fields__} | fields
        self.tickets[one.id] = TicketNow(**now)

    @precondition(lambda self: not self.wrong_on)
    @rule(severity=st.sampled_from([State.SILENT, State.OUT_OF_SPEC, State.BREAKING]))
    def comes(self, severity):
        self.occurrences += 1
        decision = decide_for_alert(
            cause_key="web/probe", severity=severity, tickets=list(self.tickets.values()), now=self.now
        )
        self.counted += 1
        if isinstance(decision, OpenTicket):
            self.wrong_on = f"t{self.occurrences:03}"
            self.tickets[self.wrong_on] = ticket(self.wrong_on, priority=decision.priority)
            return
        self.wrong_on = decision.ticket
        one = self.tickets[decision.ticket]
        status = "open" if decision.reopen else one.status
        self.put(one, status=status, closed_at=None, priority=decision.priority)

    @precondition(lambda self: self.wrong_on)
    @rule()
    def goes(self):
        one = self.tickets[self.wrong_on]
        decision = decide_recovery(one, others_wrong=0, acknowledged=False)
        if isinstance(decision, CloseByItself):
            assert not one.touched, "a person's ticket was closed under their hands"
            self.put(one, status="closed", closed_at=self.now)
        self.wrong_on = ""

    @precondition(lambda self: self.tickets)
    @rule(data=st.data(), status=st.sampled_from(["in_progress", "waiting", "resolved", "closed"]))
    def is_worked_on(self, data, status):
        still_open = sorted(key for key, one in self.tickets.items() if one.closed_at is None)
        if still_open:
            one = self.tickets[data.draw(st.sampled_from(still_open))]
            self.put(one, status=status, touched=True, closed_at=self.now if status == "closed" else None)

    @rule(minutes=st.integers(1, 40))
    def waits(self, minutes):
        self.now += timedelta(minutes=minutes)

    @invariant()
    def a_cause_has_one_open_ticket(self):
        assert sum(one.closed_at is None for one in self.tickets.values()) <= 1

    @invariant()
    def every_occurrence_is_on_a_ticket(self):
        assert self.counted == self.occurrences


TicketLives.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestTicketLives = TicketLives.TestCase
