"""Backups in the console: the order of the board, the form of a plan, what people decide, proofs in files."""

import pytest
from django.test import Client as Browser
from django.urls import reverse
from django.utils import timezone

import console_seed
from console_seed import Seeded
from estate_factories import EVERYTHING, make_person
from forestall.backups import queries
from forestall.estate.models import Person
from forestall.estate.values import Role
from forestall.journal.verify import verify_document

pytestmark = pytest.mark.django_db


@pytest.fixture
def seeded() -> Seeded:
    return console_seed.fill(timezone.now(), clients=2)


@pytest.fixture
def browser() -> Browser:
    return signed_in(make_person(role=Role.OWNER))


def signed_in(person: Person) -> Browser:
    browser = Browser()
    browser.force_login(person)
    return browser


def form(**more: str) -> dict[str, str]:
    return {
        "tool": "restic", "name": "Mail", "sources": "/var/mail\n/etc/postfix", "repository": "/mnt/nas/mail",
        "every": "12", "every_unit": "3600", "every_look": "3600", "every_drill": "604800", "slices": "30",
        "setting_password": "never shown again", "keep_daily": "7", "copies": "NAS\ncloud, offsite",
    } | more  # fmt: skip


def test_the_board_has_the_worst_first_and_says_why(seeded: Seeded, browser: Browser) -> None:
    text = browser.get(reverse("backups")).content.decode()
    assert text.index("the source /srv/files is empty") < text.index("Database, nightly")
    assert "Nothing proved" in text and "Breaking" in text
    assert "Database, nightly" not in browser.get(reverse("backups") + "?show=wrong").content.decode()
    assert "No plan is like that" in browser.get(reverse("backups") + "?q=zzz").content.decode()


def test_a_plan_is_made_by_its_form_and_its_secret_never_shown(seeded: Seeded, browser: Browser) -> None:
    answer = browser.post(reverse("backup-new"), form(asset=seeded.ids["asset"]), follow=True)
    plan = next(one for one in queries.list_plans(EVERYTHING) if one.name == "Mail")
    assert answer.redirect_chain[-1][0] == reverse("backup-plan", args=[plan.pk])
    assert (
        plan.every_s == 43_200
        and plan.keep == {"daily": 7}
        and plan.cadences == {"look": 3600, "drill": 604_800}
    )
    assert plan.copies[1] == {"place": "cloud", "offsite": True, "unchangeable": False}
    assert plan.settings["password"].startswith("sealed:")
    for page in ("backup-plan", "backup-edit"):
        text = browser.get(reverse(page, args=[plan.pk])).content.decode()
        assert "never shown again" not in text and "sealed:" not in text
    browser.post(reverse("backup-edit", args=[plan.pk]), form(name="Mails", setting_password=""))
    again = queries.find_plan(EVERYTHING, plan.pk)
    assert (
        again is not None
        and again.name == "Mails"
        and again.settings["password"] == plan.settings["password"]
    )


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("every", "soon", "how often it runs is a whole number"),
        ("sources", "--exec=sh", "cannot begin with a dash"),
        ("copies", "cloud, faraway", "says nothing about a copy"),
        ("name", "", "a name has 1 to"),
        ("slices", "9999", "the number of slices must be"),
    ],
)
def test_what_is_wrong_in_a_form_is_said_and_nothing_is_lost(
    seeded: Seeded, browser: Browser, field: str, value: str, said: str
) -> None:
    answer = browser.post(reverse("backup-new"), form(asset=seeded.ids["asset"], **{field: value}))
    text = answer.content.decode()
    assert answer.status_code == 422 and said in text
    assert "/mnt/nas/mail" in text and "never shown again" not in text


def test_people_pause_accept_and_archive_with_a_reason(seeded: Seeded, browser: Browser) -> None:
    plan = seeded.ids["plan"]

    def do(what: str, **given: str) -> str:
        return browser.post(reverse("backup-change", args=[plan, what]), given, follow=True).content.decode()

    assert "a pause needs a reason" in do("pause", days="7", because=" ")
    assert "Paused" in do("pause", days="7", because="the office moves")
    assert "expected again" in do("resume")
    assert "From now on that is normal" in do("accept", because="the archive was moved away")
    assert "Asked for" in do("want", work="check")
    assert "has no work" in do("want", work="service")
    assert "expected no more" in do("archive")
    assert "Archived" in browser.get(reverse("backup-plan", args=[plan])).content.decode()


def test_a_proof_is_a_page_a_file_and_a_pdf(seeded: Seeded, browser: Browser) -> None:
    proof = seeded.ids["proof"]
    page = browser.get(reverse("backup-proof", args=[proof])).content.decode()
    assert "9955 of 9955" in page and "Holds" in page
    sealed = browser.get(reverse("backup-proof-file", args=[proof]))
    assert verify_document(sealed.content).ok
    altered = sealed.content.replace(b'"files_equal": 9955', b'"files_equal": 9956')
    assert altered != sealed.content and not verify_document(altered).ok
    first, second = (browser.get(reverse("backup-proof-pdf", args=[proof])).content for _ in range(2))
    assert first.startswith(b"%PDF-") and first == second


def test_the_chart_and_what_is_in_no_plan(seeded: Seeded, browser: Browser) -> None:
    plan, client = seeded.ids["plan"], seeded.ids["client"]
    times, *values = browser.get(reverse("backup-series", args=[plan]) + "?what=size").json()
    assert len(times) == len(values[0]) == 4 and values[0][-1] == 12_000_000
    text = browser.get(reverse("backup-coverage", args=[client])).content.decode()
    assert "/home" in text and "postgresql/shop" in text
    browser.post(
        reverse("backup-leave-out", args=[seeded.ids["asset"]]),
        {"thing": "volume", "name": "/home", "because": "roaming profiles live elsewhere"},
    )
    text = browser.get(reverse("backup-coverage", args=[client])).content.decode()
    assert "left out: roaming profiles" in text


def test_who_may_only_read_changes_nothing(seeded: Seeded) -> None:
    reader = signed_in(make_person(role=Role.READ_ONLY))
    plan = seeded.ids["plan"]
    assert reader.get(reverse("backup-plan", args=[plan])).status_code == 200
    assert reader.post(reverse("backup-change", args=[plan, "archive"])).status_code == 403
    assert reader.get(reverse("backup-new")).status_code == 403
