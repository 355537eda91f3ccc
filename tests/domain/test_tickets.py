"""Tickets in the database: from alerts and by hand, effort, recovery, the gate, the journal."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction

from estate_factories import EVERYTHING, START, make_asset, make_client, make_person, scope_for
from forestall.alerts.actions import acknowledge_alert
from forestall.alerts.models import Alert
from forestall.configs.models import Change, Content, Version
from forestall.journal.models import Entry as JournalEntry
from forestall.judge.values import State
from forestall.kernel.errors import Trouble
from forestall.tickets import actions, queries
from forestall.tickets.following import follow_alerts
from forestall.tickets.models import Effort, Ticket
from road_factories import Road, transition

pytestmark = pytest.mark.django_db


def told(asset=None, road=None):
    road = road or Road()
    asset = asset or make_asset()
    road.feed(transition(asset, at=road.now))
    road.wait(10)
    return road, asset, Ticket.objects.latest("number")


def recover(road, asset):
    began = asset.findings.latest("began_at").began_at
    road.feed(transition(asset, State.IN_SPEC, at=road.now, began=began))


def test_an_untouched_ticket_closes_by_itself():
    road, asset, ticket = told()
    assert (ticket.priority, ticket.status, ticket.occurrences) == (1, "open", 1)
    recover(road, asset)
    ticket.refresh_from_db()
    assert ticket.status == "closed"
    kinds = [entry.kind for entry in queries.page_of(EVERYTHING, ticket.pk, now=road.now).timeline]
    assert kinds == ["opened", "recovered"]


def test_a_touched_ticket_only_notes_the_recovery():
    road, asset, ticket = told()
    actions.note(EVERYTHING, ticket.pk, text="Looking at it.", now=road.now)
    recover(road, asset)
    ticket.refresh_from_db()
    assert ticket.status == "open"
    timeline = queries.page_of(EVERYTHING, ticket.pk, now=road.now).timeline
    assert "decides whether it is done" in timeline[-1].text


def test_an_acknowledged_alert_counts_as_touched():
    road, asset, ticket = told()
    acknowledge_alert(EVERYTHING, Alert.objects.get().pk, now=road.now)
    recover(road, asset)
    ticket.refresh_from_db()
    assert ticket.closed_at is None


def test_the_same_cause_again_is_counted_on_the_open_ticket():
    road, asset, ticket = told()
    actions.note(EVERYTHING, ticket.pk, text="Mine.", now=road.now)
    recover(road, asset)
    road.wait(7200)
    _, _, again = told(asset, road)
    assert again.pk == ticket.pk
    assert again.occurrences == 2
    assert Alert.objects.count() == 2


def test_a_second_call_changes_nothing_and_a_lost_one_is_made_up_for():
    road, _, ticket = told()
    entries = JournalEntry.objects.count()
    assert follow_alerts(now=road.now).opened == []
    assert JournalEntry.objects.count() == entries
    ticket.delete()  # as if the process had died between alert and ticket
    assert len(follow_alerts(now=road.now).opened) == 1


def test_work_by_hand_from_open_to_closed_is_on_the_timeline_and_in_the_journal():
    client, person = make_client(), make_person()
    ticket = actions.open_by_hand(
        EVERYTHING, client=client.pk, title="Printer jams", text="Again.", now=START
    )
    actions.assign(EVERYTHING, ticket.pk, person=person.pk, now=START)
    actions.start_timer(EVERYTHING, ticket.pk, person=person, now=START)
    actions.stop_timer(EVERYTHING, person=person, now=START + timedelta(minutes=12))
    actions.set_priority(EVERYTHING, ticket.pk, priority=2, now=START)
    actions.set_status(
        EVERYTHING, ticket.pk, status="closed", text="New roller.", now=START + timedelta(hours=1)
    )
    page = queries.page_of(EVERYTHING, ticket.pk, now=START + timedelta(hours=2))
    assert page.spent == timedelta(minutes=12)
    assert [entry.kind for entry in page.timeline].count("status") == 2
    assert page.ticket.closed_at == START + timedelta(hours=1)
    kinds = list(JournalEntry.objects.filter(subject=ticket.pk).values_list("kind", flat=True))
    assert kinds[0] == "ticket.opened"
    assert kinds[-1] == "ticket.closed"


def test_a_person_has_one_running_timer():
    client, person = make_client(), make_person()
    first, second = (
        actions.open_by_hand(EVERYTHING, client=client.pk, title=f"{n}", now=START) for n in range(2)
    )
    actions.start_timer(EVERYTHING, first.pk, person=person, now=START)
    actions.start_timer(EVERYTHING, first.pk, person=person, now=START + timedelta(minutes=1))
    actions.start_timer(EVERYTHING, second.pk, person=person, now=START + timedelta(minutes=5))
    assert queries.running_timer(EVERYTHING, person).ticket_id == second.pk
    assert Effort.objects.get(ticket=first).ended_at == START + timedelta(minutes=5)
    with pytest.raises(IntegrityError), transaction.atomic():
        Effort.objects.create(client=client, ticket=first, person=person, started_at=START)
    assert actions.stop_timer(EVERYTHING, person=make_person(), now=START) is None


def test_a_forgotten_timer_is_cut():
    person = make_person()
    ticket = actions.open_by_hand(EVERYTHING, client=make_client().pk, title="x", now=START)
    actions.start_timer(EVERYTHING, ticket.pk, person=person, now=START)
    effort = actions.stop_timer(EVERYTHING, person=person, now=START + timedelta(days=3))
    assert effort.ended_at - effort.started_at == actions.EFFORT_MOST


def test_a_reopened_ticket_may_not_be_the_second_of_its_cause():
    road, asset, ticket = told()
    actions.set_status(EVERYTHING, ticket.pk, status="closed", now=road.now)
    recover(road, asset)
    road.wait(7200)
    told(asset, road)
    with pytest.raises(Trouble, match="another open ticket"):
        actions.set_status(EVERYTHING, ticket.pk, status="open", now=road.now)


def test_the_page_shows_reason_evidence_and_the_changes_before_it():
    road, asset = Road(), make_asset()
    versions = [
        Version.objects.create(
            client=asset.client, asset=asset, kind="sshd_config", number=n, seen_at=START,
            captured_at=START + timedelta(minutes=n),
            content=Content.objects.create(
                client=asset.client, digest=bytes([n]), size_bytes=1, compressed=b""
            ),
        )
        for n in range(2)
    ]  # fmt: skip
    for hours in (-2, 2, -24 * 30):
        Change.objects.create(
            client=asset.client, asset=asset, kind="sshd_config", before=versions[0], after=versions[1],
            after_at=START, at=START + timedelta(hours=hours), added=1, removed=0, summary=f"{hours}",
        )  # fmt: skip
    _, _, ticket = told(asset, road)
    page = queries.page_of(EVERYTHING, ticket.pk, now=road.now)
    assert [change.summary for change in page.changes] == ["-2"]
    assert len(page.evidence) == len(page.findings) == len(page.alerts) == 1
    assert "does not answer" in page.timeline[0].text


def test_lists_are_paged_and_filtered():
    client, person = make_client(), make_person(name="Vera")
    tickets = [
        actions.open_by_hand(
            EVERYTHING, client=client.pk, title=f"Job {chr(97 + n)}", priority=1 + n % 4, now=START
        )
        for n in range(9)
    ]
    actions.assign(EVERYTHING, tickets[0].pk, person=person.pk, now=START)
    actions.set_status(EVERYTHING, tickets[1].pk, status="closed", now=START)
    seen, after = [], None
    while True:
        page = queries.list_tickets(EVERYTHING, after=after, most=2)
        seen += page.items
        after = page.next
        if after is None:
            break
    assert len({ticket.pk for ticket in seen}) == len(seen) == 8
    assert [ticket.priority for ticket in seen] == sorted(ticket.priority for ticket in seen)
    assert queries.list_tickets(EVERYTHING, assignee=person.pk).items == [tickets[0]]
    assert queries.list_tickets(EVERYTHING, words=f"job {tickets[3].number}").items == [tickets[3]]
    with pytest.raises(Trouble):
        queries.list_tickets(EVERYTHING, after="nonsense")


def test_no_client_sees_the_tickets_of_another():
    ticket = actions.open_by_hand(EVERYTHING, client=make_client().pk, title="x", now=START)
    scope = scope_for(make_client())
    person = make_person()
    assert queries.list_tickets(scope).items == []
    for attempt in (
        lambda: queries.page_of(scope, ticket.pk, now=START),
        lambda: actions.note(scope, ticket.pk, text="x", now=START),
        lambda: actions.assign(scope, ticket.pk, person=None, now=START),
        lambda: actions.set_status(scope, ticket.pk, status="closed", now=START),
        lambda: actions.start_timer(scope, ticket.pk, person=person, now=START),
    ):
        with pytest.raises(Ticket.DoesNotExist):
            attempt()


def test_a_ticket_is_not_given_to_somebody_who_does_not_see_its_client():
    ticket = actions.open_by_hand(EVERYTHING, client=make_client().pk, title="x", now=START)
    outsider = make_person(clients=(make_client(),))
    with pytest.raises(Trouble, match="cannot have"):
        actions.assign(EVERYTHING, ticket.pk, person=outsider.pk, now=START)


@pytest.mark.parametrize(
    "call",
    [
        lambda t: actions.note(EVERYTHING, t, text=" ", now=START),
        lambda t: actions.set_status(EVERYTHING, t, status="gone", now=START),
        lambda t: actions.set_priority(EVERYTHING, t, priority=9, now=START),
    ],
)
def test_wrong_input_is_answered_with_what_to_do(call):
    ticket = actions.open_by_hand(EVERYTHING, client=make_client().pk, title="x", now=START)
    with pytest.raises(Trouble) as trouble:
        call(ticket.pk)
    assert trouble.value.remedy
