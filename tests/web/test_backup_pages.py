"""Pages and API of backups: what a person and a program are told of plans, runs, proofs, and can decide."""

import json
import re
import sys
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import F
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from backup_seed import judge_now
from domain.backup_rows import PASSWORD, Site, drill_at, look_at, make_backups, run_at
from estate_factories import make_asset, make_client, make_person
from forestall.backups.models import BackupPlan, PlanStanding, Proof
from forestall.estate.access import make_token
from forestall.estate.values import ROLE_RIGHTS, Role
from forestall.journal.verify import verify_document
from forestall.kernel.backups import ProgressReport, SourceSeen, UncoveredSeen, WorthReport
from forestall.kernel.clock import to_ms
from one_line import one_line

pytestmark = pytest.mark.django_db
NOW = timezone.now()


@pytest.fixture(autouse=True)
def _now(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages say how long ago, however late in a run they are looked at."""
    monkeypatch.setattr(sys.modules[__name__], "NOW", timezone.now())


@pytest.fixture
def owner() -> Browser:
    browser = Browser()
    browser.force_login(make_person(role=Role.OWNER))
    return browser


def program(*may: str) -> Browser:
    _, secret = make_token(
        make_person(role=Role.OWNER), name="program", may=may or tuple(ROLE_RIGHTS[Role.OWNER])
    )
    return Browser(headers={"authorization": f"Bearer {secret}"})


def ask(browser: Browser, method: str, path: str, body: Any = None, *, status: int = 200) -> Any:
    text = "" if body is None else json.dumps(body)
    answer = getattr(browser, method)(f"/api/v1/{path}", text, content_type="application/json")
    assert answer.status_code == status, answer.content
    return json.loads(answer.content) if answer.content else None


def page(browser: Browser, address: str, status: int = 200) -> str:
    answer = browser.get(address)
    assert answer.status_code == status, answer.content
    return one_line(answer)


def proved() -> Site:
    """Ten good nights and a restore, two hours ago."""
    site = make_backups(rto_s=14_400, cadences={"look": 21_600, "drill": 604_800})
    runs = [run_at(site.plan, NOW - timedelta(days=day, hours=3)) for day in range(10, -1, -1)]
    drill = drill_at(site.plan, NOW - timedelta(hours=2), runs[-1])
    site.take(*runs, look_at(site.plan, NOW, *runs), drill, now=NOW)
    judge_now(site.plan, NOW)
    return site


def test_each_copy_says_when_it_is_pruned(owner: Browser) -> None:
    site = proved()
    BackupPlan.objects.filter(pk=site.plan.pk).update(keep={"daily": 7})
    said = page(owner, f"/backups/{site.plan.pk}/")
    assert "At the next pruning" not in said  # what was restored is the newest
    assert "In 7 days the copy that was last proved is pruned." in said
    assert said.count("at the next pruning") == 4 and "in 2 days" in said and "✓ restored" in said


def burnt() -> Site:
    """The same, and then a night that found nothing and said success."""
    site = proved()
    empty = SourceSeen("/srv/data", True, "overlay /", False, 0, 0)
    lost = run_at(site.plan, NOW, files=3, size=900, files_removed=9_997, sources=[empty], manifest=None)
    site.take(lost, now=NOW)
    judge_now(site.plan, NOW)
    return site


def test_a_plan_says_first_whether_it_is_back_if_it_burns_now(owner: Browser) -> None:
    good, bad = proved(), burnt()
    assert PlanStanding.objects.get(plan=good.plan).reason == ""
    text = page(owner, f"/backups/{good.plan.pk}/")
    assert "✓ Yes</b>: the last restore that held was 2 h ago." in text
    assert "would be lost (promised: 24 h)" in text and "back within 10 min (promised: 4 h)" in text
    assert "data-copy='forestall agent job" in text and PASSWORD not in text
    text = page(owner, f"/backups/{bad.plan.pk}/")
    assert "✗ Do not count on it</b>" in text and "✗ not plausible" in text and "✗ empty" in text
    assert "with a run that is not plausible" in text
    standing = PlanStanding.objects.get(plan=bad.plan)
    assert standing.last_good_at is not None and standing.last_good_at < NOW - timedelta(hours=2)


def test_a_new_plan_knows_nothing_and_says_what_to_do(owner: Browser) -> None:
    site = make_backups(name="Nächtlich & neu")
    text = page(owner, f"/backups/{site.plan.pk}/")
    assert "! Not known yet</b>" in text and "everything would be lost" in text
    assert "Put this before the job" in text and "Nächtlich &amp; neu" in text
    judge_now(site.plan, NOW)
    assert "nothing was ever restored" in page(owner, f"/backups/{site.plan.pk}/")


def test_the_board_has_the_worst_first_and_finds_by_words(owner: Browser) -> None:
    good, bad = proved(), burnt()
    text = page(owner, "/backups/")
    assert text.index(f"/backups/{bad.plan.pk}/") < text.index(f"/backups/{good.plan.pk}/")
    assert "Proved to level 4 of 6" in text
    wrong = page(owner, "/backups/?show=wrong")
    assert f"/backups/{bad.plan.pk}/" in wrong and f"/backups/{good.plan.pk}/" not in wrong
    assert "No plan is like that" in page(owner, "/backups/?q=nothing+like+it")
    assert f"/backups/{good.plan.pk}/" in page(owner, f"/backups/?q=RESTIC&client={good.client.pk}")
    due = page(owner, "/backups/expected/")
    assert "Nothing stops silently" in due and f"/backups/{bad.plan.pk}/" in due
    first = page(owner, "/")
    assert 'id="h-backups"' in first and f"/backups/{bad.plan.pk}/" in first
    assert f"/backups/{bad.plan.pk}/" in page(owner, f"/assets/{bad.asset.pk}/")


def test_every_deadline_of_a_plan_is_expected(owner: Browser) -> None:
    site = proved()
    text = page(owner, "/backups/expected/")
    assert (
        text.count(f'<tr data-href="/backups/{site.plan.pk}/"') == 2
    )  # the run, the restore; looks prove none
    assert "The next run" in text and "Restore" in text
    BackupPlan.objects.filter(pk=site.plan.pk).update(paused_at=NOW)
    assert "Nothing is expected" in page(owner, "/backups/expected/")


def test_what_proved_a_step_opens_without_a_mouse(owner: Browser) -> None:
    text = page(owner, f"/backups/{proved().plan.pk}/")
    steps = re.findall(r'<li class="step .*?</li>', text, re.S)
    assert len(steps) == 7 and all("<details> <summary" in step for step in steps)
    assert "10,000 files equal" in steps[4] or "10000 files equal" in steps[4], steps[4]


def test_a_client_sees_when_its_backups_were_last_restored_and_nothing_of_others() -> None:
    mine, other = proved(), burnt()
    browser = Browser()
    browser.force_login(make_person(role=Role.CLIENT_CONTACT, clients=(mine.client,)))
    text = page(browser, "/portal/backups/")
    assert "✓ It came back when it was tried" in text and mine.plan.name in text and "2 h ago" in text
    assert other.client.name not in text and other.plan.pk not in text and PASSWORD not in text
    drill = Proof.objects.get(plan=mine.plan, work="drill")
    answer = browser.get(f"/portal/proofs/{drill.pk}/pdf")
    assert answer.status_code == 200 and answer.content.startswith(b"%PDF")
    foreign = Proof.objects.get(plan=other.plan, work="drill")
    assert browser.get(f"/portal/proofs/{foreign.pk}/pdf").status_code == 404
    assert browser.get("/backups/").status_code == 403
    browser.force_login(make_person(role=Role.CLIENT_CONTACT, clients=(other.client,)))
    text = page(browser, "/portal/backups/")
    assert "✗ Something is wrong" in text and "/srv/data" not in text
    browser.force_login(make_person(role=Role.CLIENT_CONTACT, clients=(make_client(),)))
    assert "No backup of yours is watched here" in page(browser, "/portal/backups/")


def test_the_board_reads_an_index_and_a_page_of_fifty(owner: Browser) -> None:
    site = make_backups()
    columns = {"client": site.client, "asset": site.asset, "tool": "restic", "every_s": 86_400,
               "started_at": NOW, "made_at": NOW, "touched_at": NOW}  # fmt: skip
    plans = BackupPlan.objects.bulk_create(BackupPlan(name=f"plan {n:03}", **columns) for n in range(120))
    PlanStanding.objects.bulk_create(
        PlanStanding(plan=plan, client=site.client, concern=n % 3, level=n % 5)
        for n, plan in enumerate(plans)
    )
    with CaptureQueriesContext(connection) as asked:
        text = page(owner, "/backups/")
    assert text.count("<tr data-href") == 50 and len(asked) < 25
    seen: list[str] = []
    address = "/backups/"
    for count in (50, 50, 22):  # one moves to the end and is seen there again
        text = page(owner, address)
        found = re.findall(r'<tr data-href="/backups/(\w+)/"', text)
        assert len(found) == count
        seen += found
        following = re.search(r'href="(\?[^"]*after=[^"]*)"', text)
        address = f"/backups/{following[1].replace('&amp;', '&')}" if following else ""
        PlanStanding.objects.filter(plan=seen[0]).update(concern=0, level=6)
    assert not address and len(set(seen)) == 121, "none is left out, though one moved"
    assert page(owner, "/backups/?after=nonsense").count("<tr data-href") == 50
    oldest = F("proved_at").asc(nulls_first=True)
    rows = PlanStanding.objects.order_by("-concern", "-overdue", "level", oldest, "plan")
    assert "standing_worst" in rows[:51].explain()


def test_a_plan_made_without_choosing_the_machine_first_is_watched_by_its_agent(owner: Browser) -> None:
    site = proved()
    bare = make_asset(site.client, name="bare")
    assert "the agent on that machine" in page(owner, "/backups/new/?tool=restic")
    given = {
        "tool": "restic", "every": "24", "every_unit": "3600", "sources": "/srv/a", "repository": "/mnt/r",
        "setting_password": PASSWORD, "slices": "30", "collector": "own",
    }  # fmt: skip
    made = owner.post("/backups/new/", given | {"asset": site.asset.pk, "name": "one"}, follow=True)
    assert BackupPlan.objects.get(name="one").collector_id == site.collector
    assert "The plan is watched" in made.content.decode()
    made = owner.post("/backups/new/", given | {"asset": bare.pk, "name": "two"}, follow=True)
    assert BackupPlan.objects.get(name="two").collector_id is None
    assert "no collector looks into its repository" in made.content.decode()


def test_a_form_makes_a_plan_and_never_shows_its_secret(owner: Browser) -> None:
    asset = make_asset(make_client())
    assert "It can prove: L1" in page(owner, f"/backups/new/?asset={asset.pk}&tool=restic")
    given = {
        "asset": asset.pk, "tool": "restic", "name": "Files", "every": "24", "every_unit": "3600",
        "sources": "/srv/a\n/srv/b", "repository": "/mnt/r", "setting_password": PASSWORD,
        "keep_daily": "7", "every_drill": str(7 * 86_400), "slices": "30", "copies": "NAS\ncloud, offsite",
    }  # fmt: skip
    wrong = owner.post("/backups/new/", given | {"every": "often"})
    assert wrong.status_code == 422 and "is a whole number" in wrong.content.decode()
    assert 'value="Files"' in wrong.content.decode() and PASSWORD not in wrong.content.decode()
    assert owner.post("/backups/new/", given).status_code == 302
    plan = BackupPlan.objects.get()
    assert (plan.sources, plan.keep, plan.cadences) == (
        ["/srv/a", "/srv/b"],
        {"daily": 7},
        {"drill": 604_800},
    )
    sealed = plan.settings["password"]
    assert PASSWORD not in sealed
    form = page(owner, f"/backups/{plan.pk}/edit/")
    assert PASSWORD not in form and sealed not in form and "cloud, offsite" in form
    BackupPlan.objects.update(keep={"daily": 7, "within": "14d"})
    again = given | {"every": "2", "every_unit": "86400", "setting_password": ""}
    assert owner.post(f"/backups/{plan.pk}/edit/", again).status_code == 302
    plan.refresh_from_db()
    assert plan.every_s == 2 * 86_400 and plan.settings["password"] == sealed
    assert plan.keep == {"daily": 7, "within": "14d"}


def test_a_drill_is_asked_for_and_its_progress_is_seen(owner: Browser) -> None:
    site = proved()
    address = f"/backups/{site.plan.pk}/"
    owner.post(f"{address}want", {"work": "drill"})
    site.plan.refresh_from_db()
    (wanted,) = site.plan.wanted
    assert "Restore and compare is wanted" in page(owner, f"{address}progress")
    going = ProgressReport(
        plan=site.plan.pk, proof=wanted["proof"], work="drill", at_ms=to_ms(NOW), doing="restoring", done=21,
        total=50,
    )  # fmt: skip
    site.take(going)
    text = page(owner, f"{address}progress")
    assert 'value="21" max="50"' in text and "is wanted" not in text and "every 3s" in text
    owner.post(f"{address}pause", {"because": "the NAS moves", "days": "7"})
    text = page(owner, address)
    assert "the NAS moves" in text and "paused it" in text and "asked for a proof" in text
    owner.post(f"{address}resume")
    owner.post(f"{address}accept", {"because": "moved away"})
    assert "accepted what was found" in page(owner, address)
    owner.post(f"{address}archive")
    assert f"/backups/{site.plan.pk}/" not in page(owner, "/backups/")


def test_who_may_only_read_decides_nothing() -> None:
    site = proved()
    reader = Browser()
    reader.force_login(make_person(role=Role.READ_ONLY))
    assert "Prove it now" not in page(reader, f"/backups/{site.plan.pk}/")
    assert reader.post(f"/backups/{site.plan.pk}/want", {"work": "drill"}).status_code in (403, 404)
    site.plan.refresh_from_db()
    assert site.plan.wanted == []
    may_read = program("findings:read")
    ask(may_read, "get", f"backup-plans/{site.plan.pk}")
    ask(may_read, "post", "drills", {"plan": site.plan.pk}, status=403)


def test_a_proof_is_a_page_a_document_and_a_file_for_an_outsider(owner: Browser) -> None:
    proof = Proof.objects.get(plan=proved().plan)
    text = page(owner, f"/proofs/{proof.pk}/")
    assert "10000 of 10000" in text and "ab" * 32 in text and "level 4" in text
    document = owner.get(f"/proofs/{proof.pk}/pdf")
    assert document["Content-Type"] == "application/pdf" and document.content.startswith(b"%PDF-")
    again = ask_raw(f"drills/{proof.pk}/document")
    assert again == document.content, "one proof gives the same bytes"
    assert verify_document(ask_raw(f"drills/{proof.pk}/export")).ok


def ask_raw(path: str) -> bytes:
    answer = program().get(f"/api/v1/{path}")
    assert answer.status_code == 200, answer.content
    return bytes(answer.content)


def test_what_is_in_no_plan_is_said_and_can_be_left_out(owner: Browser) -> None:
    site = make_backups()
    things = [UncoveredSeen("volume", "/srv", 52 * 10**9), UncoveredSeen("database", "postgresql/shop", 3)]
    site.take(WorthReport(at_ms=to_ms(NOW), things=things))
    address = f"/clients/{site.client.pk}/coverage/"
    text = page(owner, address)
    assert "postgresql/shop" in text and "Why it needs none" in text
    left = {"thing": "database", "name": "postgresql/shop", "because": "a test"}
    owner.post(f"/assets/{site.asset.pk}/leave-out", left)
    assert "left out: a test" in page(owner, address)


def test_a_program_makes_amends_and_ends_a_plan() -> None:
    asset, browser = make_asset(make_client()), program()
    body = {
        "asset": asset.pk, "name": "Files", "tool": "restic", "repository": "/mnt/r", "sources": ["/srv"],
        "settings": {"password": PASSWORD}, "keep": {"daily": 7}, "copies": [{"place": "NAS"}],
    }  # fmt: skip
    made = ask(browser, "post", "backup-plans", body, status=201)
    assert made["settings"]["password"] is None and made["keep"] == {"daily": 7}
    assert made["standing"]["level"] == -1 and made["every_s"] == 86_400
    ask(browser, "patch", f"backup-plans/{made['id']}", {"keep": {"dayly": 7}}, status=422)
    ask(browser, "patch", f"backup-plans/{made['id']}", {"repository": "-rf"}, status=422)
    changed = ask(browser, "patch", f"backup-plans/{made['id']}", {"rto_s": 3600, "keep": None})
    assert (changed["rto_s"], changed["keep"], changed["sources"]) == (3600, None, ["/srv"])
    paused = ask(browser, "post", f"backup-plans/{made['id']}/pause", {"because": "a move"})
    assert paused["paused_because"] == "a move"
    assert ask(browser, "post", f"backup-plans/{made['id']}/resume")["paused_at"] is None
    ask(browser, "post", f"backup-plans/{made['id']}/accept", {"because": ""}, status=422)
    assert [one["id"] for one in ask(browser, "get", "backup-plans")["items"]] == [made["id"]]
    ask(browser, "delete", f"backup-plans/{made['id']}", status=204)
    assert ask(browser, "get", "backup-plans")["items"] == []


def test_a_program_reads_runs_and_drills_page_by_page_and_wants_one() -> None:
    site, browser = proved(), program()
    plan = ask(browser, "get", f"backup-plans/{site.plan.pk}")
    assert [one["level"] for one in plan["ladder"]] == list(range(7))
    assert plan["ladder"][4]["status"] == "proved" and plan["ladder"][4]["copy_id"]
    seen, cursor = [], ""
    while cursor is not None:
        found = ask(browser, "get", f"backup-runs?plan={site.plan.pk}&limit=4&cursor={cursor}")
        seen += [one["id"] for one in found["items"]]
        cursor = found["next"]
    assert len(seen) == len(set(seen)) == 11
    run = ask(browser, "get", f"backup-runs/{seen[-1]}")
    assert run["said"] == "success" and run["report"]["manifest"]["root"] == "ab" * 32
    (drill,) = ask(browser, "get", "drills?work=drill")["items"]
    assert drill["ok"] and drill["rto_ms"] == 600_000
    assert ask(browser, "get", f"drills/{drill['id']}")["report"]["files_equal"] == 10_000
    wanted = ask(browser, "post", "drills", {"plan": site.plan.pk}, status=202)
    assert ask(browser, "post", "drills", {"plan": site.plan.pk}, status=202) == wanted
    assert ask(browser, "get", f"backup-plans/{site.plan.pk}")["wanted"][0]["proof"] == wanted["id"]
    ask(browser, "get", f"drills/{wanted['id']}", status=404)
    ask(browser, "post", "drills", {"plan": site.plan.pk, "work": "service"}, status=422)
