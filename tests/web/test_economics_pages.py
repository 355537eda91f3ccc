"""Pages and API of economics: who may see them, what they name, what is refused in words."""

import json
from datetime import UTC, datetime

import pytest
from django.test import Client as Browser

from estate_factories import EVERYTHING, make_person
from forestall.agreements.calendar import month_of
from forestall.economics.actions import reckon
from forestall.economics.models import CostRate, ToolCost
from forestall.estate.access import make_token
from forestall.estate.values import Role
from forestall.processes.simulated_year import NOISY, YearOfProvider

pytestmark = pytest.mark.django_db
PAGES = (
    "", "rules/", "ahead/", "costs/", "tables/clients", "tables/rules", "tables/kinds", "tables/prevention",
    "tables/renewals",
)  # fmt: skip


def browser(role: Role) -> Browser:
    found = Browser()
    found.force_login(make_person(role=role))
    return found


def test_the_loser_and_its_reason_stand_on_every_page() -> None:
    now = datetime.now(UTC)
    last = month_of(now.date()).before
    year = YearOfProvider(5, clients=3, last=last, months=2)
    books = year.write(planted={1: ("rule", NOISY)})
    reckon(EVERYTHING, year.months, now=now)
    key, name = next((key, books.clients[key]) for key in books.planted)
    owner = browser(Role.OWNER)
    for path in ("?months=12", f"clients/{key}/", f"months/{last}/"):
        text = owner.get(f"/economics/{path}").content.decode()
        assert name in text and f"alert rule {NOISY}" in text, path
    assert "Retire it" in owner.get("/economics/rules/").content.decode()
    assert owner.get(f"/economics/months/{last}/pdf").content.startswith(b"%PDF-")
    table = owner.get("/economics/tables/clients").content.decode().splitlines()
    assert len(table) == 4 and table[1].startswith(name)
    _, secret = make_token(make_person(role=Role.OWNER), name="books", may=["economics:read"])
    program = Browser(headers={"authorization": f"Bearer {secret}"})
    listed = json.loads(program.get("/api/v1/economics/clients").content)["items"]
    assert listed[0]["client"] == key and listed[0]["left_minor"] < 0
    assert json.loads(program.get("/api/v1/economics/rules").content)["items"][0]["rule"] == NOISY
    month = json.loads(program.get(f"/api/v1/economics/owner?month={last}").content)
    assert [one["name"] for one in month["losses"]] == [name]
    assert program.get("/api/v1/economics/clients?since=2026-01&until=2025-01").status_code == 422


@pytest.mark.parametrize("role", [Role.ACCOUNTING, Role.TECHNICIAN, Role.READ_ONLY])
def test_who_does_not_see_what_hours_cost(role: Role) -> None:
    visitor = browser(role)
    for page in PAGES:
        assert visitor.get(f"/economics/{page}").status_code == 403


def test_a_service_manager_reads_and_an_owner_enters() -> None:
    manager, owner = browser(Role.SERVICE_MANAGER), browser(Role.OWNER)
    for page in PAGES:
        assert manager.get(f"/economics/{page}").status_code == 200
    given = {"from_on": "2026-01-01", "amount": "48.00", "currency": "EUR"}
    assert manager.post("/economics/costs/rate/add", given).status_code == 403
    bad = [
        ({"amount": "much"}, "is no number"),
        ({"from_on": ""}, "needs the day"),
        ({"currency": "EUX"}, "no currency"),
    ]
    for change, said in bad:
        answer = owner.post("/economics/costs/rate/add", given | change, follow=True)
        assert said in answer.content.decode() and not CostRate.objects.exists()
    owner.post("/economics/costs/rate/add", given)
    owner.post("/economics/costs/price/add", given)
    owner.post("/economics/costs/tool/add", given | {"name": "Mail filter", "basis": "seat"})
    assert CostRate.objects.get().per_hour_minor == 4_800 and ToolCost.objects.get().basis == "seat"
    owner.post("/economics/reckon")
    owner.post("/economics/costs/rate/withdraw", {"key": CostRate.objects.get().pk})
    assert not CostRate.objects.exists()
    for lost in ("months/2026-13/", "tables/people", "clients/0000000000000/"):
        assert owner.get(f"/economics/{lost}").status_code == 404
