"""A service that fails every few days because of a nightly change: recognised at the second time, the change
ranked first, the fix proven or reopened. Time is the test's own; the road is the production one."""

from datetime import timedelta

import pytest

from estate_factories import EVERYTHING, START, make_asset, make_client, scope_for
from forestall.configs.actions import store_snapshots
from forestall.configs.models import Change
from forestall.journal.models import Entry as JournalEntry
from forestall.judge.values import State
from forestall.kernel.clock import to_ms
from forestall.kernel.errors import Trouble
from forestall.kernel.observations import Snapshot
from forestall.problems import actions, queries
from forestall.problems.expecting import expect_and_score
from forestall.problems.models import Expectation, Occurrence, Problem, Suspects
from forestall.problems.rounds import go_round, template_of
from forestall.processes.road import Road
from forestall.tickets import actions as tickets
from forestall.tickets.models import Effort, Ticket
from road_factories import Sources, transition

pytestmark = pytest.mark.django_db
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


class Nights:
    """A web server whose nginx.conf is written anew at two, and what the road makes of it."""

    def __init__(self, asset=None):
        self.asset = asset or make_asset(name="web-1")
        self.beside = make_asset(self.asset.client, name="db-1")
        self.road = Road(Sources())
        self.serial = 0
        self.capture(START - 90 * DAY)

    def capture(self, at, *, asset=None, kind="nginx.conf", text=None):
        shot = Snapshot(to_ms(at), kind, text or f"workers {self.serial}\n", title=kind)
        store_snapshots([((asset or self.asset).client_id, (asset or self.asset).pk, shot)], now=at)

    def change(self, at, **more):
        """It was as before an hour earlier, and is another text now."""
        self.capture(at - HOUR, **({"text": f"{more['kind']} {self.serial}\n"} | more if more else {}))
        self.serial += 1
        self.capture(at, **({"text": f"{more['kind']} {self.serial}\n"} | more if more else {}))

    def fail(self, at, *, hours=1):
        self.go(transition(self.asset, State.BREAKING, rule="service-down", item="nginx.service", at=at), at)
        self.road.tick(now=at + timedelta(minutes=5))
        end = at + hours * HOUR
        over = transition(
            self.asset, State.IN_SPEC, rule="service-down", item="nginx.service", at=end, began=at,
            was=State.BREAKING,
        )  # fmt: skip
        self.go(over, end)

    def go(self, one, at):
        self.road.take([one], now=at)
        self.road.tick(now=at + timedelta(seconds=61))

    def bad_night(self, day):
        """The change at two, others before and after it on the neighbour, the failure forty minutes later."""
        at = START + day * DAY
        self.change(at - 40 * timedelta(minutes=1))
        self.change(at - 15 * timedelta(minutes=1), asset=self.beside, kind="packages")
        self.fail(at)
        return at


def the_problem():
    return Problem.objects.of(EVERYTHING).get()


def test_recognised_at_the_second_time_and_the_change_is_ranked_first():
    nights = Nights()
    nights.bad_night(0)
    assert not Problem.objects.of(EVERYTHING).exists()
    at = nights.bad_night(3)
    problem = the_problem()
    assert problem.status == "proposed"
    assert problem.why == "Proposed because the same trouble came 2 times within 3 days."
    ranked = Suspects.objects.of(EVERYTHING).get(problem=problem, onset_at=at).ranked
    change = Change.objects.get(pk=ranked[0]["id"])
    assert (change.asset, change.kind) == (nights.asset, "nginx.conf")
    assert any("came before 2 of the 2 times" in said for said in ranked[0]["evidence"])
    page = queries.page_of(EVERYTHING, problem, now=at + HOUR)
    assert page.times == 2
    assert len(page.tickets) == 2
    assert {ticket.fingerprint for ticket in page.tickets} == {problem.key}


def test_a_fix_that_holds_is_proven_with_the_date():
    nights = Nights()
    for day in (0, 3, 7):
        at = nights.bad_night(day)
    nights.change(at + 2 * HOUR)
    fix = actions.fix_problem(
        EVERYTHING, the_problem().pk, change=queries.page_of(EVERYTHING, the_problem(), now=at).changes[0].pk,
        now=at + 3 * HOUR,
    )  # fmt: skip
    assert the_problem().status == "on_watch"
    assert fix.watch_until - fix.done_at == timedelta(days=10.5)  # 3 mean gaps of 3.5 days, over 2 × 4
    assert "it came 3 times, every 4 days in the mean" in fix.because
    nights.road.tick(now=fix.watch_until - HOUR)
    assert the_problem().status == "on_watch"
    nights.road.tick(now=fix.watch_until + HOUR)
    fix.refresh_from_db()
    assert (fix.state, fix.proven_at) == ("proven", fix.watch_until + HOUR)
    assert the_problem().status == "proven"
    assert queries.came_back_rates(EVERYTHING)["fix"][0].came_back == 0


def test_a_fix_that_does_not_hold_is_reopened_and_counts_against_it():
    nights = Nights()
    for day in (0, 3):
        at = nights.bad_night(day)
    fix = actions.fix_problem(EVERYTHING, the_problem().pk, what="restarted nginx", now=at + 2 * HOUR)
    back = nights.bad_night(6)
    problem = the_problem()
    assert (problem.status, problem.reopened) == ("open", 1)
    fix.refresh_from_db()
    assert (fix.state, fix.came_back_at) == ("came_back", back)
    rates = queries.came_back_rates(EVERYTHING)
    assert (rates["client"][0].came_back, rates["client"][0].fixes) == (1, 1)
    assert (rates["kind of asset"][0].group, rates["technician"][0].share) == ("server", 1.0)
    said = [line.kind for line in queries.page_of(EVERYTHING, problem, now=back).timeline]
    assert said.count("onset") == 3 and "fix" in said and "back" in said
    assert JournalEntry.objects.filter(kind="problem.reopened", subject=problem.pk).count() == 1


def test_a_round_again_changes_nothing_and_looks_at_what_is_new_alone(django_assert_max_num_queries):
    nights = Nights()
    at = nights.bad_night(0)
    nights.bad_night(3)
    before = (Occurrence.objects.of(EVERYTHING).count(), JournalEntry.objects.count())
    assert go_round(now=at + 4 * DAY) == []
    assert before == (Occurrence.objects.of(EVERYTHING).count(), JournalEntry.objects.count())
    with django_assert_max_num_queries(8):
        go_round(now=at + 4 * DAY)


def test_what_flaps_is_one_time():
    nights = Nights()
    nights.fail(START, hours=0.1)
    nights.fail(START + timedelta(minutes=30), hours=0.1)
    assert not Problem.objects.of(EVERYTHING).exists()


def test_another_client_with_the_same_trouble_has_a_problem_of_its_own():
    first, second = Nights(), Nights(make_asset(make_client(), name="theirs"))
    for nights in (first, second):
        nights.bad_night(0)
        nights.bad_night(3)
    assert Problem.objects.of(EVERYTHING).count() == 2
    keys = (
        Occurrence.objects.of(EVERYTHING)
        .filter(problem__isnull=False)
        .values_list("key_everywhere", flat=True)
    )
    assert len(set(keys)) == 1
    seen = queries.list_problems(scope_for(first.asset.client), status="").items
    assert [one.client_id for one in seen] == [first.asset.client_id]


def test_reports_in_other_words_are_one_trouble_and_people_part_and_join():
    asset = make_asset()
    client = asset.client_id

    def report(title, day):
        made = tickets.open_by_hand(
            EVERYTHING, client=client, asset=asset.pk, title=title, now=START + day * DAY
        )
        go_round(now=START + day * DAY)
        return Ticket.objects.of(EVERYTHING).get(pk=made.pk)

    one, two = report("Outlook is slow again", 0), report("my mail is so slow today", 2)
    other = report("The printer eats paper", 4)
    assert one.fingerprint == two.fingerprint != other.fingerprint
    assert the_problem().occurrences.count() == 2
    at = START + 5 * DAY
    given = {"client": client, "left": one.fingerprint, "right": other.fingerprint}
    actions.say_same(EVERYTHING, **given, same=True, now=at)
    assert the_problem().occurrences.count() == 3
    actions.say_same(EVERYTHING, **given, same=False, now=at + HOUR)
    assert the_problem().occurrences.count() == 2
    with pytest.raises(Trouble, match="nothing of this client"):
        actions.say_same(EVERYTHING, client=client, left="0", right=one.fingerprint, same=True, now=at)


def test_effort_hypotheses_cause_and_knowledge(django_user_model):
    from estate_factories import make_person

    nights = Nights()
    nights.bad_night(0)
    at = nights.bad_night(3)
    problem = the_problem()
    for ticket in Ticket.objects.of(EVERYTHING).all():
        Effort.objects.create(
            client=ticket.client, ticket=ticket, person=make_person(), started_at=at, ended_at=at + HOUR
        )
    made = actions.add_hypothesis(EVERYTHING, problem.pk, text="The job writes half a file", now=at)
    actions.decide_hypothesis(EVERYTHING, made.pk, state="confirmed", now=at)
    actions.describe(EVERYTHING, problem.pk, root_cause="The job", workaround="Restart it", now=at)
    for text in ("Restart nginx.", "Restart nginx, then run nginx -t."):
        actions.write_article(
            EVERYTHING, client=problem.client_id, key=problem.key, title="nginx", text=text, now=at
        )
    page = queries.page_of(EVERYTHING, the_problem(), now=at)
    assert page.spent == 2 * HOUR
    assert list(page.spent_on.values()) == [HOUR, HOUR]
    assert page.problem.known_error
    assert [one.version for one in page.articles] == [2, 1]
    assert page.hypotheses[0].state == "confirmed"
    ticket = page.tickets[0]
    assert queries.behind(EVERYTHING, ticket).problem == problem
    assert actions.open_problem(EVERYTHING, ticket=ticket.pk, now=at).status == "open"


def test_a_change_that_is_seen_after_the_failure_is_ranked_then():
    nights = Nights()
    nights.bad_night(0)
    at = START + 3 * DAY
    nights.fail(at)
    problem = the_problem()
    before = {one["id"] for one in Suspects.objects.get(problem=problem, onset_at=at).ranked}
    nights.capture(at - 2 * HOUR)
    nights.serial += 1
    nights.capture(at + HOUR)
    nights.road.tick(now=at + 2 * HOUR)
    late = Suspects.objects.get(problem=problem, onset_at=at).ranked
    assert {one["id"] for one in late} - before


def test_a_fix_needs_to_be_something():
    nights = Nights()
    nights.bad_night(0)
    at = nights.bad_night(3)
    with pytest.raises(Trouble, match="needs a name"):
        actions.fix_problem(EVERYTHING, the_problem().pk, now=at)
    with pytest.raises(Trouble, match="lies ahead"):
        actions.fix_problem(EVERYTHING, the_problem().pk, what="x", done_at=at + DAY, now=at)


def silent(asset, began, ended):
    from forestall.findings.models import Finding

    return Finding.objects.create(
        client=asset.client, asset=asset, rule="asset-silent", pack="probes", pack_version="1",
        state="silent", worst="silent", concern=2, began_at=began, opened_at=began, changed_at=began,
        ended_at=ended, reason="nothing was heard", tells=False,
    )  # fmt: skip


def test_a_watch_lasts_longer_when_the_asset_was_not_observed():
    nights = Nights()
    nights.bad_night(0)
    at = nights.bad_night(3)
    fix = actions.fix_problem(EVERYTHING, the_problem().pk, what="mended the job", now=at + HOUR)
    first = fix.watch_until
    silent(nights.asset, at + DAY, at + 3 * DAY)
    nights.road.tick(now=first + HOUR)
    fix.refresh_from_db()
    assert (fix.state, fix.watch_until, fix.unseen_s) == ("on_watch", first + 2 * DAY, 2 * 86_400)
    nights.road.tick(now=first + 2 * DAY + HOUR)
    assert the_problem().status == "proven"
    assert JournalEntry.objects.filter(kind="problem.watched_longer").count() == 1


def test_what_was_expected_is_held_against_what_came():
    nights = Nights()
    nights.bad_night(0)
    at = nights.bad_night(3)
    assert expect_and_score(now=at + HOUR) == (1, 0)
    assert expect_and_score(now=at + 2 * HOUR) == (0, 0)
    nights.bad_night(10)
    assert expect_and_score(now=at + 31 * DAY)[1] == 1
    row = Expectation.objects.order_by("at").first()
    assert (row.times, row.effort_s) == (2, 1800)
    assert (row.came_times, row.came_effort_s, row.fixed) == (1, 900, False)
    assert [one.pk for one in queries.scored(EVERYTHING)] == [row.pk]


def test_of_a_rule_on_logs_the_template_of_its_lines_is_a_trait():
    one, two = ["disk sda: I/O error at sector 4711"], ["disk sda: I/O error at sector 99"]
    assert template_of(one) == template_of(two) != template_of(["Out of memory: killed process 7 (java)"])
