"""Working on tickets in the console: many at once, replies, checklists, effort, merging, who else looks."""

import pytest
from django.test import Client as Browser

from estate_factories import make_client, make_person
from forestall.estate.models import Contact
from forestall.tickets.models import Effort, Entry, SavedView, Ticket

pytestmark = pytest.mark.django_db


def test_a_call_becomes_a_ticket_that_is_worked_on_and_found_again() -> None:
    browser, person = Browser(), make_person()
    browser.force_login(person)
    client = make_client("Bakery")
    pat = Contact.objects.create(client=client, name="Pat Miller", email="pat@bakery.example")
    given = {"client": "Bakery", "title": "Oven display is dark", "came_by": "phone", "impact": "2",
             "urgency": "1", "reporter": "Pat", "minutes": "4"}  # fmt: skip
    place = browser.post("/tickets/new", given)["Location"]
    ticket = Ticket.objects.get()
    assert (ticket.came_by, ticket.priority, ticket.reporter) == ("phone", 2, pat)
    assert Effort.objects.get().by_hand
    for what, form in (
        ("reply", {"text": "Please pull the plug for a minute.", "status": "waiting"}),
        ("classify", {"impact": "3", "urgency": "3"}),
        ("file", {"tags": "oven, display"}),
        ("checklist", {"lines": "ask for the model\norder a display"}),
        ("split", {"title": "And the scale is wrong"}),
    ):
        assert browser.post(place + what, form)["Location"] == place, what
    item = ticket.checklist.first()
    assert item is not None
    browser.post(place + "tick", {"checklist_item": item.pk, "done": "1"})
    part = Ticket.objects.latest("number")
    browser.post(f"/tickets/{part.pk}/merge", {"into": f"#{ticket.number}"})
    ticket.refresh_from_db()
    assert (ticket.status, ticket.priority, ticket.tags) == ("waiting", 4, ["oven", "display"])
    assert Entry.objects.get(kind="reply").direction == "out"
    page = browser.get(place).content.decode()
    for text in ("Pat Miller", "pull the plug", "Done: ask for the model", "was merged into this"):
        assert text in page, text
    other = Browser()
    other.force_login(make_person())
    other.post(place + "look")
    assert "has this open too" in browser.post(place + "look").content.decode()
    assert "Oven display" in browser.get("/tickets/", {"q": "plug"}).content.decode()
    browser.post(place + "rename", {"title": "Cooker panel is dark"})
    assert "Cooker panel" in browser.get("/tickets/", {"q": "cooker plug"}).content.decode()


def test_many_are_changed_at_once_and_a_view_is_kept() -> None:
    browser, person = Browser(), make_person()
    browser.force_login(person)
    make_client("Bakery")
    for title in ("One", "Two"):
        browser.post("/tickets/new", {"client": "Bakery", "title": title})
    marked = list(Ticket.objects.values_list("pk", flat=True))
    browser.post("/tickets/many", {"ticket": marked, "status": "closed", "person": person.pk})
    assert set(Ticket.objects.values_list("status", "assignee")) == {("closed", person.pk)}
    browser.post("/tickets/view", {"name": "Mine", "filters": "who=me&all=1"})
    page = browser.get("/tickets/", {"who": "me", "all": "1"}).content.decode()
    assert "?who=me&amp;all=1" in page and "Two" in page
    browser.post("/tickets/view", {"name": "Mine", "forget": "1"})
    assert not SavedView.objects.exists()
