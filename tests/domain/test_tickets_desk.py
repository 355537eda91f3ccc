"""The desk in the database: clocks, what only time decides, working on tickets, search."""

from datetime import UTC, datetime, timedelta

import pytest

from estate_factories import EVERYTHING, make_asset, make_client, make_person, scope_for
from forestall.alerts.channels import create_channel
from forestall.alerts.values import SendFailed
from forestall.kernel.errors import Trouble
from forestall.tickets import actions, queries, rounds, working
from forestall.tickets.models import (
    ClockNotice,
    Effort,
    Entry,
    Mention,
    Queue,
    Recurring,
    ServiceLevel,
    Template,
    Ticket,
)
from forestall.tickets.opening import Opening, open_ticket
from forestall.tickets.sla import promised

pytestmark = pytest.mark.django_db

MONDAY = datetime(2026, 11, 23, 8, tzinfo=UTC)  # 9:00 in Berlin
WEEK = [[[480, 1020]]] * 5 + [[], []]
TARGETS = {"1": [900, 4 * 3600], "2": [3600, 8 * 3600], "3": [4 * 3600, 24 * 3600]}


def minutes(count):
    return timedelta(minutes=count)


@pytest.fixture
def level():
    return ServiceLevel.objects.create(
        name="Standard", timezone="Europe/Berlin", hours=WEEK, country="DE", subdivision="BY",
        targets=TARGETS, made_at=MONDAY,
    )  # fmt: skip


def ticket_of(client=None, **given):
    given = {"title": "No mail since nine", "came_by": "mail"} | given
    return open_ticket(
        EVERYTHING, Opening(client=(client or make_client()).pk, **given), now=MONDAY, touched=False
    )


def left_of(ticket, now):
    from forestall.tickets import clock, sla

    ticket.refresh_from_db()
    both = promised(ticket)
    calendar = sla.calendar_of(ticket.service_level)
    return clock.left(calendar, both.first, now), clock.left(calendar, both.solve, now)


def test_a_new_ticket_gets_the_times_of_its_service_level(level):
    ticket = ticket_of(priority=2)
    assert ticket.first_due_at == MONDAY + minutes(60)
    assert ticket.solve_due_at == MONDAY + minutes(8 * 60)
    own = ServiceLevel.objects.create(
        client=make_client("Own"), name="Gold", hours=[[[0, 1440]]] * 7, targets={"2": [60, 120]},
        made_at=MONDAY,
    )  # fmt: skip
    assert ticket_of(own.client, priority=2).first_due_at == MONDAY + minutes(1)


def test_waiting_keeps_what_is_left_and_a_reply_is_the_first_response(level):
    ticket = ticket_of(priority=2)
    working.reply(EVERYTHING, ticket.pk, text="Which machine?", now=MONDAY + minutes(20), status="waiting")
    ticket.refresh_from_db()
    assert (ticket.first_done_at, ticket.solve_due_at) == (MONDAY + minutes(20), None)
    later = MONDAY + timedelta(days=3)
    assert left_of(ticket, later)[1] == 8 * 3600 - 20 * 60
    actions.set_status(EVERYTHING, ticket.pk, status="in_progress", now=later)
    ticket.refresh_from_db()
    assert ticket.solve_due_at == later + minutes(8 * 60 - 20)
    entry = Entry.objects.of(EVERYTHING).get(kind="reply")
    assert (entry.visibility, entry.direction) == ("client", "out")


def test_who_has_it_plays_no_part_in_the_clock(level):
    ticket = ticket_of(priority=2)
    before = left_of(ticket, MONDAY + minutes(10))
    for name in ("ana", "ben", "ana"):
        person = (
            make_person(f"{name}{Ticket.objects.count()}{len(name)}@x.example") if name == "ben" else None
        )
        actions.assign(EVERYTHING, ticket.pk, person=person and person.pk, now=MONDAY + minutes(5))
    assert left_of(ticket, MONDAY + minutes(10)) == before


def test_solved_and_opened_again_goes_on_with_the_rest(level):
    ticket = ticket_of(priority=1)
    actions.set_status(EVERYTHING, ticket.pk, status="resolved", now=MONDAY + minutes(30))
    ticket.refresh_from_db()
    assert ticket.solved_at == MONDAY + minutes(30)
    assert ticket.look_at is None
    actions.set_status(EVERYTHING, ticket.pk, status="open", now=MONDAY + minutes(90))
    assert left_of(ticket, MONDAY + minutes(90))[1] == 4 * 3600 - 30 * 60


def test_a_higher_priority_keeps_what_was_used(level):
    ticket = ticket_of(priority=3)
    working.classify(EVERYTHING, ticket.pk, impact=1, urgency=1, now=MONDAY + minutes(60))
    ticket.refresh_from_db()
    assert ticket.priority == 1
    assert left_of(ticket, MONDAY + minutes(60)) == (0, 3 * 3600)


def test_the_rounds_warn_and_tell_a_breach_once(level):
    ticket = ticket_of(priority=1)
    now, told = MONDAY, []
    while now < MONDAY + timedelta(hours=6):
        told += rounds.watch_clocks(now)
        now += minutes(1)
    said = ClockNotice.objects.of(EVERYTHING).filter(ticket=ticket).order_by("at", "pk")
    assert [one.what for one in said] == ["first_soon", "first_late", "solve_soon", "solve_late"]
    assert said[1].at == MONDAY + minutes(15)
    assert said[3].at == MONDAY + minutes(240)
    assert "due Mon 23 Nov 13:00 CET" in said[3].text
    actions.set_status(EVERYTHING, ticket.pk, status="waiting", now=now)
    actions.set_status(EVERYTHING, ticket.pk, status="open", now=now)
    assert rounds.watch_clocks(now + minutes(600)) == []


def test_a_notice_goes_over_each_channel_once_also_when_one_fails(level):
    ticket_of(priority=1)
    for title, client in (("one", None), ("two", None), ("three", make_client("Other").pk)):
        given = {"url": f"https://{title}.example/", "secret": "a word of ours"}
        create_channel(EVERYTHING, client=client, notifier="webhook", title=title, given=given, now=MONDAY)
    sent, fails = [], {"https://two.example/"}

    def send(notifier, opened, message):
        if opened["url"] in fails:
            raise SendFailed("it is away")
        sent.append((opened["url"], message.title))

    rounds.watch_clocks(MONDAY + minutes(15))
    assert rounds.send_notices(MONDAY + minutes(15), send=send) == 0
    fails.clear()
    rounds.send_notices(MONDAY + minutes(30), send=send)
    assert rounds.send_notices(MONDAY + minutes(60), send=send) == 0
    assert sorted(url for url, _ in sent) == ["https://one.example/", "https://two.example/"]


def test_recurring_work_opens_once_a_time(level):
    template = Template.objects.create(
        name="Patch day", title="Patches of the month", checklist=["snapshot", "patch", "reboot"]
    )
    row = Recurring.objects.create(
        client=make_client(), template=template, every="month", first_at=MONDAY, next_at=MONDAY
    )
    assert rounds.open_recurring(MONDAY - minutes(1)) == 0
    assert rounds.open_recurring(MONDAY) == 1
    assert rounds.open_recurring(MONDAY + minutes(1)) == 0
    ticket = Ticket.objects.of(EVERYTHING).get()
    assert (ticket.came_by, ticket.checklist.count()) == ("recurring", 3)
    row.refresh_from_db()
    assert row.next_at == MONDAY + timedelta(days=30)
    assert rounds.open_recurring(MONDAY + timedelta(days=200)) == 1


def test_merging_takes_occurrences_assets_and_effort_along():
    asset = make_asset()
    one, two = ticket_of(asset.client, asset=asset.pk), ticket_of(asset.client, title="The same")
    ana = make_person("ana@x.example")
    working.log_effort(
        EVERYTHING, one.pk, person=ana, minutes=12, cost_class="remote", note="Rang Pat", now=MONDAY
    )
    working.merge(EVERYTHING, one.pk, into=two.pk, now=MONDAY)
    one.refresh_from_db()
    two.refresh_from_db()
    assert (one.status, one.merged_into_id, two.occurrences) == ("closed", two.pk, 2)
    assert list(two.assets.all()) == [asset]
    assert Effort.objects.of(EVERYTHING).get().ticket_id == two.pk
    with pytest.raises(Trouble, match="two clients"):
        working.merge(EVERYTHING, two.pk, into=ticket_of(make_client("Else")).pk, now=MONDAY)
    with pytest.raises(Trouble, match="itself"):
        working.merge(EVERYTHING, two.pk, into=two.pk, now=MONDAY)
    part = working.split(EVERYTHING, two.pk, title="And the printer", now=MONDAY)
    assert part.split_from_id == two.pk


def test_a_checklist_is_ticked_and_many_are_changed_at_once():
    one, two = ticket_of(checklist=["look", "ask"]), ticket_of(make_client("B"))
    item = one.checklist.first()
    working.tick(EVERYTHING, one.pk, item=item.pk, done=True, now=MONDAY)
    assert one.checklist.filter(done_at=None).count() == 1
    queue = Queue.objects.create(name="Second line")
    done = working.change_many(
        EVERYTHING, [one.pk, two.pk], status="waiting", queue=queue.pk, priority=2, now=MONDAY
    )
    assert done == 2
    assert set(Ticket.objects.of(EVERYTHING).values_list("status", "queue", "priority")) == {
        ("waiting", queue.pk, 2)
    }
    with pytest.raises(Ticket.DoesNotExist):
        working.change_many(scope_for(one.client), [one.pk, two.pk], status="closed", now=MONDAY)
    assert not Ticket.objects.of(EVERYTHING).filter(status="closed")


def test_who_is_named_is_told_until_they_look():
    ticket = ticket_of()
    ana = make_person("ana@x.example")
    working.note(EVERYTHING, ticket.pk, text="@ana can you look? mail@ana.example", now=MONDAY)
    assert Mention.objects.of(EVERYTHING).get().person == ana
    ben = make_person("ben@x.example")
    assert working.look_at(EVERYTHING, ticket.pk, person=ben, now=MONDAY) == []
    assert working.look_at(EVERYTHING, ticket.pk, person=ana, now=MONDAY) == [ben.name]
    assert Mention.objects.of(EVERYTHING).get().seen_at == MONDAY
    assert working.look_at(EVERYTHING, ticket.pk, person=ana, now=MONDAY + minutes(5)) == []


def test_words_are_found_in_what_was_said_and_only_by_who_sees_the_client():
    one = ticket_of(title="Drucker im Büro druckt nicht", text="Papierstau im Einzug")
    other = ticket_of(make_client("B"), title="Drucker schief")
    actions.note(EVERYTHING, one.pk, text="Fuser replaced, 80k pages", now=MONDAY)

    def found(scope, words):
        return [row.pk for row in queries.list_tickets(scope, words=words).items]

    assert found(EVERYTHING, "fuser drucker") == [one.pk]
    assert found(EVERYTHING, "papiers") == [one.pk]
    assert set(found(EVERYTHING, "drucker")) == {one.pk, other.pk}
    assert found(scope_for(other.client), "drucker") == [other.pk]
    assert found(EVERYTHING, f"{other.number}") == [other.pk]
    assert found(EVERYTHING, '" OR * NEAR(') == []
    one.delete()
    assert found(EVERYTHING, "fuser") == []
