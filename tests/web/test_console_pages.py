"""Every page of the console: renders with things and without, hides what is another client's."""

from collections.abc import Callable

import pytest
from django.conf import settings as django_settings
from django.contrib.messages import get_messages
from django.test import Client as Browser
from django.utils import timezone

import console_seed
from console_pages import filled, page_addresses
from console_seed import PASSWORD, Seeded
from estate_factories import EVERYTHING, START, make_asset, make_client, make_person
from forestall.alerts.models import Alert, Channel, Window
from forestall.estate.credentials import add_credential
from forestall.estate.models import ApiToken, Asset, Client, EnrolmentToken, Person, Probe
from forestall.estate.values import Role
from forestall.findings.models import Override
from forestall.intake.models import Stranger
from forestall.intake.poison import list_set_aside
from forestall.tickets.models import Effort, Entry, Ticket
from road_factories import Road, transition

pytestmark = pytest.mark.django_db

PAGES = page_addresses()
# An address with a month in it is a list: of everything that the reader may see in that month.
OF_A_MONTH = {name: address for name, address in PAGES.items() if "<reckoned_month>" in address}
OF_A_CLIENT = {name: address for name, address in PAGES.items() if "<" in address and name not in OF_A_MONTH}
NOBODYS = "0" * 13


@pytest.fixture
def seeded() -> Seeded:
    return console_seed.fill(timezone.now(), clients=2)


@pytest.fixture
def sign_in() -> Callable[..., Browser]:
    def enter(person: Person | None = None, **fields: object) -> Browser:
        browser = Browser()
        browser.force_login(person or make_person(**{"role": Role.OWNER} | fields))  # type: ignore[arg-type]
        return browser

    return enter


def said(answer: object) -> str:
    """What the messages on top of the next page say."""
    return " ".join(str(message) for message in get_messages(answer.wsgi_request))  # type: ignore[attr-defined]


def test_every_page_renders(seeded: Seeded, sign_in: Callable[..., Browser]) -> None:
    browser = sign_in()
    for name, address in PAGES.items():
        answer = browser.get(filled(address, seeded.ids))
        assert answer.status_code == 200, name
        text = answer.content.decode()
        assert text.count("<h1") == 1, name
        for loose in (" style=", "<style", " onclick=", "<script>"):
            assert loose not in text, (name, loose)
        assert answer["Cache-Control"] == "no-store, private", name


def test_every_page_renders_when_there_is_nothing(sign_in: Callable[..., Browser]) -> None:
    browser = sign_in()
    for name in PAGES.keys() - OF_A_CLIENT.keys():
        address = filled(PAGES[name], {"reckoned_month": "2026-10"})
        assert browser.get(address).status_code == 200, name


def test_what_is_another_clients_is_not_there(seeded: Seeded, sign_in: Callable[..., Browser]) -> None:
    """The same 404, byte for byte, as for what does not exist."""
    mine = Client.objects.get(pk=seeded.ids["client"])
    browser = sign_in(role=Role.SERVICE_MANAGER, clients=(mine,))
    for name, address in OF_A_CLIENT.items():
        foreign = browser.get(filled(address, seeded.foreign))
        nothing = browser.get(filled(address, dict.fromkeys(seeded.foreign, NOBODYS)))
        assert foreign.status_code == nothing.status_code == 404, name
        assert foreign.content == nothing.content, name


def test_lists_show_nothing_of_another_client(seeded: Seeded, sign_in: Callable[..., Browser]) -> None:
    mine = Client.objects.get(pk=seeded.ids["client"])
    browser = sign_in(role=Role.TECHNICIAN, clients=(mine,))
    foreign = set(seeded.foreign.values()) - set(seeded.ids.values())
    for name in PAGES.keys() - OF_A_CLIENT.keys():
        answer = browser.get(filled(PAGES[name], seeded.ids), {"q": ""})
        assert answer.status_code in (200, 403), name
        text = answer.content.decode()
        assert "harbor" not in text.lower(), name
        assert not [identifier for identifier in foreign if identifier in text], name


def test_nobody_is_sent_to_sign_in(seeded: Seeded) -> None:
    for name, address in PAGES.items():
        answer = Browser().get(filled(address, seeded.ids))
        assert answer.status_code == 302, name
        portal = address.startswith("/portal/")
        place = "/portal/sign-in/" if portal else "/accounts/login/?next=/"
        assert answer["Location"].startswith(place), name


def test_a_stranger_learns_nothing_from_a_wrong_address(seeded: Seeded) -> None:
    assert Browser().get("/assets/" + NOBODYS + "/").status_code == 302


def test_a_client_contact_does_not_get_the_console(seeded: Seeded, sign_in: Callable[..., Browser]) -> None:
    mine = Client.objects.get(pk=seeded.ids["client"])
    browser = sign_in(role=Role.CLIENT_CONTACT, clients=(mine,))
    assert browser.get("/").status_code == 403
    assert browser.get("/people/").status_code == 403


def test_overview_says_what_is_wrong_and_why(seeded: Seeded, sign_in: Callable[..., Browser]) -> None:
    text = sign_in().get("/").content.decode()
    assert text.index("postgresql.service failed") < text.index("/srv is 94.2% full")  # the worst first
    assert "was last heard 12 min ago" in text
    assert "Answers take 1.9 s." in text or "prevented" in text.lower()


def test_search_finds_assets_clients_and_tickets(seeded: Seeded, sign_in: Callable[..., Browser]) -> None:
    browser = sign_in()
    text = browser.get("/search", {"q": "fairway"}).content.decode()
    assert seeded.ids["client"] in text and seeded.ids["asset"] in text
    assert browser.get("/search", {"q": ""}).status_code == 200


@pytest.mark.parametrize("page", ["/findings/", "/tickets/", "/alerts/"])
def test_a_wrong_cursor_is_said_in_words(page: str, sign_in: Callable[..., Browser]) -> None:
    answer = sign_in().get(page, {"after": "nonsense"})
    assert answer.status_code == 400
    assert "Begin again" in answer.content.decode()


@pytest.mark.parametrize(
    ("page", "given"),
    [
        ("/logs/", {"q": '"open phrase'}),
        ("/logs/", {"q": "severity>=enormous"}),
        ("/logs/", {"q": "a", "before": "nonsense"}),
        ("/logs/", {"span": "a century"}),
        ("/assets/", {"kind": "nothing", "q": "%\x00'"}),
        ("/findings/", {"state": "nothing", "client": "nobody"}),
    ],
)
def test_odd_questions_get_an_answer(
    page: str, given: dict[str, str], sign_in: Callable[..., Browser]
) -> None:
    assert sign_in().get(page, given).status_code in (200, 400, 404)


def test_a_search_mistake_is_shown_at_its_place(sign_in: Callable[..., Browser]) -> None:
    text = sign_in().get("/logs/", {"q": "severity>=enormous disk"}).content.decode()
    assert "enormous" in text and "severity" in text


def test_what_was_sent_is_shown_as_text(seeded: Seeded, sign_in: Callable[..., Browser]) -> None:
    """A device's name, a note and a log reason may be anything; none of it becomes markup."""
    bad = "<img src=x onerror=alert(1)>"
    Asset.objects.filter(pk=seeded.ids["asset"]).update(name=bad, notes=bad)
    Ticket.objects.filter(pk=seeded.ids["ticket"]).update(title=bad)
    browser = sign_in()
    for name in ("overview", "assets", "asset", "ticket", "tickets", "findings"):
        assert bad not in browser.get(filled(PAGES[name], seeded.ids)).content.decode()


# --- what people do on pages


def test_working_on_a_ticket(seeded: Seeded, sign_in: Callable[..., Browser]) -> None:
    browser, ticket = sign_in(), seeded.ids["ticket"]
    person = Person.objects.latest("joined_at")
    page = f"/tickets/{ticket}/"
    for what, given in (
        ("note", {"text": "Looked at it."}),
        ("assign", {"person": person.pk}),
        ("priority", {"priority": "3"}),
        ("start", {}),
    ):
        assert browser.post(page + what, given)["Location"] == page
    assert Effort.objects.get(ended_at=None).person == person
    assert "Looked at it." in browser.get(page).content.decode()
    browser.post(page + "stop")
    browser.post(page + "status", {"status": "closed"})
    row = Ticket.objects.get(pk=ticket)
    assert (row.assignee, row.priority, row.status) == (person, 3, "closed")
    assert not Effort.objects.filter(ended_at=None).exists()


def test_a_mistake_on_a_ticket_is_said(seeded: Seeded, sign_in: Callable[..., Browser]) -> None:
    browser, ticket = sign_in(), seeded.ids["ticket"]
    before = Entry.objects.count()
    for what, given in (
        ("note", {"text": " "}),
        ("priority", {"priority": "9"}),
        ("status", {"status": "x"}),
    ):
        assert said(browser.post(f"/tickets/{ticket}/{what}", given))
    assert Entry.objects.count() == before


def test_foreign_tickets_cannot_be_changed(seeded: Seeded, sign_in: Callable[..., Browser]) -> None:
    mine = Client.objects.get(pk=seeded.ids["client"])
    browser = sign_in(role=Role.TECHNICIAN, clients=(mine,))
    given = {"text": "x", "status": "closed", "priority": "2"}
    for what in ("note", "status", "assign", "priority", "start", "stop"):
        answer = browser.post(f"/tickets/{seeded.foreign['ticket']}/{what}", given)
        assert answer.status_code == 404, what


def test_a_new_ticket(seeded: Seeded, sign_in: Callable[..., Browser]) -> None:
    browser = sign_in()
    answer = browser.post(
        "/tickets/new",
        {"client": seeded.ids["client"], "asset": seeded.ids["asset"], "title": "Printer", "priority": "4"},
    )
    row = Ticket.objects.latest("number")
    assert answer["Location"] == f"/tickets/{row.pk}/" and row.priority == 4
    kept = browser.post("/tickets/new", {"client": seeded.ids["client"], "title": "", "text": "My words"})
    assert kept.status_code == 200 and "My words" in kept.content.decode()


def test_acknowledging_an_alert(seeded: Seeded, sign_in: Callable[..., Browser]) -> None:
    sign_in().post(f"/alerts/{seeded.ids['alert']}/acknowledge", {"note": "On it."})
    assert Alert.objects.get(pk=seeded.ids["alert"]).acknowledged_at is not None


def test_maintenance_begins_and_ends(seeded: Seeded, sign_in: Callable[..., Browser]) -> None:
    browser = sign_in()
    before = Window.objects.count()
    given = {"client": seeded.ids["client"], "title": "New disks", "lasts": "02:00:00"}
    browser.post("/windows/open", given)
    assert Window.objects.count() == before + 1
    window = Window.objects.get(title="New disks")
    browser.post(f"/windows/{window.pk}/close")
    window.refresh_from_db()
    assert window.ends_at <= timezone.now()


def test_overriding_a_rule(seeded: Seeded, sign_in: Callable[..., Browser]) -> None:
    browser = sign_in()
    answer = browser.post(
        "/spec/override",
        {
            "rule": "memory-short", "client": seeded.ids["client"], "because": "A cache by design.",
            "settings": '{"drifting": {"above": "97%"}, "out_of_spec": {"above": "99%"}}',
        },
    )  # fmt: skip
    row = Override.objects.get(rule="memory-short")
    assert "Overridden" in said(answer) and row.because == "A cache by design."
    browser.post(f"/spec/override/{row.pk}/remove")
    assert not Override.objects.filter(pk=row.pk).exists()


def test_overriding_a_limit_at_an_asset(seeded: Seeded, sign_in: Callable[..., Browser]) -> None:
    browser, asset = sign_in(), seeded.ids["asset"]
    text = browser.get("/spec/", {"rule": "memory-short", "asset": asset}).content.decode()
    assert 'name="level.out_of_spec.above" value="97%"' in text
    given = {"rule": "memory-short", "asset": asset, "because": "A cache by design."}
    browser.post("/spec/override", given | {"level.out_of_spec.above": "98%", "level.drifting.above": "92%"})
    row = Override.objects.get(rule="memory-short")
    assert row.asset_id == asset and row.settings == {"out_of_spec": {"above": "98%"}}
    assert "nothing differs" in said(browser.post("/spec/override", given))


def test_a_foreign_asset_cannot_be_overridden(seeded: Seeded, sign_in: Callable[..., Browser]) -> None:
    mine = Client.objects.get(pk=seeded.ids["client"])
    browser = sign_in(role=Role.TECHNICIAN, clients=(mine,))
    given = {"rule": "memory-short", "asset": seeded.foreign["asset"], "off": "1", "because": "x"}
    assert browser.post("/spec/override", given).status_code == 404
    assert browser.get("/spec/", {"rule": "x", "asset": seeded.foreign["asset"]}).status_code == 404
    for client in (seeded.foreign["client"], "Harbor Credit Union", ""):
        given = {"rule": "memory-short", "client": client, "off": "1", "because": "x"}
        assert f"there is no client called {client!r}" in said(browser.post("/spec/override", given))
    assert not Override.objects.filter(rule="memory-short").exists()


def test_clients_are_suggested_while_their_name_is_typed(
    seeded: Seeded, sign_in: Callable[..., Browser]
) -> None:
    """However many there are; nobody is offered a client that they do not see."""
    Client.objects.bulk_create(Client(name=f"Client {number:04}") for number in range(1_000))
    browser = sign_in()
    assert browser.get("/clients/names").content.count(b"<option") == 20
    found = browser.get("/clients/names", {"client": "client 0999"}).content.decode()
    assert found.strip() == '<option value="Client 0999"></option>'
    assert browser.get("/channels/").content.count(b'<option value="Client 0') <= 20
    sites = browser.get("/clients/sites", {"client": "fairway motors"}).content.decode()
    assert seeded.ids["site"] in sites and "Main office" in sites
    mine = Client.objects.get(pk=seeded.ids["client"])
    narrow = sign_in(role=Role.TECHNICIAN, clients=(mine,))
    assert narrow.get("/clients/names", {"client": "harbor"}).content.strip() == b""
    assert b"Main office" not in narrow.get("/clients/sites", {"client": "Harbor Credit Union"}).content


def test_a_client_is_chosen_by_its_name(seeded: Seeded, sign_in: Callable[..., Browser]) -> None:
    browser = sign_in()
    browser.post("/tickets/new", {"client": " harbor credit union ", "title": "The printer squeaks"})
    assert Ticket.objects.get(title="The printer squeaks").client_id == seeded.foreign["client"]
    given = {"what": "person", "name": "Sam", "email": "sam@provider.example", "role": "technician"}
    given |= {"password": "correct horse battery", "client": "No such Ltd"}
    assert "there is no client called 'No such Ltd'" in said(browser.post("/people/", given))
    assert not Person.objects.filter(email="sam@provider.example").exists()
    browser.post("/people/", given | {"client": "Fairway Motors"})
    sam = Person.objects.get(email="sam@provider.example")
    assert [one.pk for one in sam.clients.all()] == [seeded.ids["client"]] and not sam.all_clients


@pytest.mark.parametrize("settings", ["{", "[1]", '{"nonsense": 1}', '{"drifting": {"above": "lots"}}'])
def test_a_wrong_override_is_refused_in_words(
    settings: str, seeded: Seeded, sign_in: Callable[..., Browser]
) -> None:
    given = {
        "rule": "memory-short", "client": seeded.ids["client"], "because": "x", "settings": settings
    }  # fmt: skip
    assert said(sign_in().post("/spec/override", given))
    assert not Override.objects.filter(rule="memory-short").exists()


def test_enrolling_shows_the_token_once(seeded: Seeded, sign_in: Callable[..., Browser]) -> None:
    browser = sign_in()
    text = browser.post("/collectors/", {"client": seeded.ids["client"]}).content.decode()
    assert "forestall agent enrol" in text
    assert EnrolmentToken.objects.count() == 1
    assert "forestall agent enrol http" not in browser.get("/collectors/").content.decode()


def test_channels(sign_in: Callable[..., Browser]) -> None:
    browser = sign_in()
    given = {"title": "Pager", "url": "https://hooks.example/x", "secret": "very secret"}
    browser.post("/channels/add/webhook", given)
    channel = Channel.objects.get()
    text = browser.get("/channels/").content.decode()
    assert "Pager" in text and "very secret" not in text
    assert said(browser.post("/channels/add/webhook", {"title": "Pager"}))  # its address is missing
    browser.post(f"/channels/{channel.pk}/remove")
    assert not Channel.objects.exists()


def test_a_stranger_is_given_to_an_asset(seeded: Seeded, sign_in: Callable[..., Browser]) -> None:
    browser = sign_in()
    row = Stranger.objects.get(client=None, sender="10.66.0.0")
    assert "Whose is it?" in browser.get(f"/strangers/{row.pk}/").content.decode()
    text = browser.get(f"/strangers/{row.pk}/", {"client": "harbor credit union"}).content.decode()
    assert "It is an asset of Harbor Credit Union" in text and seeded.ids["asset"] not in text
    owner = Client.objects.get(pk=seeded.ids["client"])
    assert (
        seeded.ids["asset"] in browser.get(f"/strangers/{row.pk}/", {"client": owner.name}).content.decode()
    )
    browser.post(f"/strangers/{row.pk}/assign", {"asset": seeded.ids["asset"]})
    assert "10.66.0.0" in Asset.objects.get(pk=seeded.ids["asset"]).addresses
    row.refresh_from_db()
    assert (row.state, row.asset_id) == ("released", seeded.ids["asset"])
    assert "being taken in" in browser.get(f"/strangers/{row.pk}/").content.decode()


def test_an_asset_is_made_of_a_stranger_and_another_is_ignored(
    seeded: Seeded, sign_in: Callable[..., Browser]
) -> None:
    browser = sign_in()
    row = Stranger.objects.get(client=seeded.ids["client"], state="ignored")
    given = {"name": "Web 8", "kind": "server", "client": seeded.foreign["client"]}
    browser.post(f"/strangers/{row.pk}/make", given)
    made = Asset.objects.get(name="Web 8")
    assert (made.client_id, made.addresses) == (seeded.ids["client"], ["web-8.alder.example"])
    odd = Stranger.objects.get(pk=seeded.ids["stranger"])
    assert said(browser.post(f"/strangers/{odd.pk}/make", {"name": "Odd", "kind": "server"}))
    assert not Asset.objects.filter(name="Odd").exists()
    browser.post(f"/strangers/{odd.pk}/ignore")
    odd.refresh_from_db()
    assert odd.state == "ignored"
    browser.post(f"/strangers/{odd.pk}/heed")
    odd.refresh_from_db()
    assert odd.state == "waiting"


def test_what_was_set_aside_is_replayed_by_those_who_see_everything(
    seeded: Seeded, sign_in: Callable[..., Browser]
) -> None:
    browser = sign_in()
    poison = django_settings.DATA.queue / "poison"
    name = list_set_aside(poison)[0].name
    text = browser.get("/set-aside/").content.decode()
    assert "no such column" in text and name in text
    browser.post("/set-aside/", {"what": "replay", "name": name})
    assert list_set_aside(poison)[0].about.replay
    assert "is being replayed" in browser.get("/set-aside/").content.decode()
    assert said(browser.post("/set-aside/", {"what": "throw-away", "name": "../secret"}))
    browser.post("/set-aside/", {"what": "throw-away", "name": name})
    assert name not in {one.name for one in list_set_aside(poison)}


def test_a_token_is_shown_once(sign_in: Callable[..., Browser]) -> None:
    browser = sign_in()
    text = browser.post(
        "/people/", {"what": "token", "name": "Report", "may": ["estate:read"]}
    ).content.decode()
    assert "fst_" in text and ApiToken.objects.get().may == ["estate:read"]
    assert "fst_" not in browser.get("/people/").content.decode()


def test_a_token_for_a_program_that_pushes(seeded: Seeded, sign_in: Callable[..., Browser]) -> None:
    browser = sign_in()
    asset = Asset.objects.get(pk=seeded.ids["asset"])
    given = {"what": "token", "name": "Push", "may": ["intake"], "asset": asset.name, "rate": "1.5"}
    assert "Name the client too" in said(browser.post("/people/", given))
    given |= {"client": asset.client.name}
    assert "not a number of megabytes" in said(browser.post("/people/", given | {"rate": "lots"}))
    text = browser.post("/people/", given).content.decode()
    token = ApiToken.objects.get(name="Push")
    assert "fst_" in text and (token.asset, token.rate_bytes_per_s, token.body_max_bytes) == (
        asset,
        1_500_000,
        None,
    )


def test_a_service_manager_makes_no_owner(sign_in: Callable[..., Browser]) -> None:
    """Nobody gives more than they have."""
    browser = sign_in(role=Role.SERVICE_MANAGER)
    answer = browser.post(
        "/people/",
        {"what": "person", "name": "Eve", "email": "eve@x.example", "role": "owner", "password": PASSWORD},
    )  # fmt: skip
    assert answer.status_code < 500
    assert not Person.objects.filter(email="eve@x.example").exists()


def test_a_technician_manages_no_people(sign_in: Callable[..., Browser]) -> None:
    browser = sign_in(role=Role.READ_ONLY)
    assert browser.post("/people/", {"what": "person"}).status_code == 403
    assert browser.post("/spec/override", {}).status_code == 403
    assert browser.post("/collectors/", {"client": make_client().pk}).status_code in (200, 403)
    assert not EnrolmentToken.objects.exists()


def test_the_worst_clients_come_first_whatever_their_name(sign_in: Callable[..., Browser]) -> None:
    for number in range(12):
        make_client(f"Aa {number:02}")
    last = make_client("Zz Works")
    Road().feed(transition(make_asset(last), at=START))
    text = sign_in().get("/").content.decode()
    assert text.index("Zz Works") < text.index("Aa 00") and "Aa 11" not in text


def test_clients_are_paged(sign_in: Callable[..., Browser]) -> None:
    for number in range(205):
        make_client(f"Client {number:03} Ltd")
    browser = sign_in()
    first = browser.get("/clients/").content.decode()
    assert "Client 199 Ltd" in first and "Client 200 Ltd" not in first and "?after=Client%20199" in first
    second = browser.get("/clients/", {"after": "Client 199 Ltd"}).content.decode()
    assert "Client 204 Ltd" in second and "Client 199 Ltd" not in second


def test_assets_are_paged(sign_in: Callable[..., Browser]) -> None:
    client = make_client()
    for number in range(103):
        make_asset(client, f"asset {number:03}")
    browser = sign_in()
    first = browser.get("/assets/")
    assert "asset 099" in first.content.decode() and "asset 100" not in first.content.decode()
    second = browser.get("/assets/", {"after": first.context["next"]}).content.decode()
    assert "asset 102" in second and "asset 099" not in second


def test_a_ticket_about_an_asset_of_ones_own(seeded: Seeded, sign_in: Callable[..., Browser]) -> None:
    mine = Client.objects.get(pk=seeded.ids["client"])
    browser = sign_in(role=Role.TECHNICIAN, clients=(mine,))
    text = browser.get("/tickets/new", {"asset": seeded.ids["asset"]}).content.decode()
    assert "srv-fairway" in text
    text = browser.get("/tickets/new", {"asset": seeded.foreign["asset"]}).content.decode()
    assert "harbor" not in text.lower()


def test_a_device_is_captured_with_recipe_and_credential_in_one_form(sign_in: Callable[..., Browser]) -> None:
    client = make_client()
    asset = make_asset(client, kind="switch", addresses=["10.4.0.2"])
    browser = sign_in()
    page = browser.get(f"/assets/{asset.pk}/").content.decode()
    assert "Add a credential for SSH first" in page
    fields = {"user": "reader", "password": "r-7781-x"}
    row = add_credential(EVERYTHING, client=client.pk, name="switches", kind="ssh", fields=fields)
    assert "<option>cisco-ios</option>" in browser.get(f"/assets/{asset.pk}/").content.decode()
    given = {"recipe": "cisco-ios", "target": "10.4.0.2", "credential": row.pk, "every_h": "6"}
    browser.post(f"/assets/{asset.pk}/capture", given)
    probe = Probe.objects.get(asset=asset)
    assert (probe.kind, probe.credential, probe.interval_s) == ("device", row, 6 * 3600)
    assert probe.settings == {"recipe": "cisco-ios"}
    page = browser.get(f"/assets/{asset.pk}/").content.decode()
    assert "Capture now" in page and "r-7781-x" not in page
    browser.post(f"/assets/{asset.pk}/capture-now")
    probe.refresh_from_db()
    assert probe.ask_now_at is not None
    for wrong, says in (
        ({"recipe": "toaster"}, "no recipe"),
        ({"credential": ""}, "signs in with a credential"),
    ):
        answer = browser.post(f"/assets/{asset.pk}/capture", given | wrong)
        assert says in said(answer)
