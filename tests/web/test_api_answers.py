"""The API: forms of answers and errors, paging, who is let in. Tenancy: domain/test_tenancy_matrix.py."""

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client as Browser
from django.utils import timezone

from estate_factories import make_asset, make_client, make_person, make_site
from forestall.collect.probes import sql
from forestall.configs.actions import store_snapshot
from forestall.estate.access import make_token
from forestall.estate.enrolment import open_settings
from forestall.estate.models import Client, Person, Probe
from forestall.estate.values import RIGHTS, ROLE_RIGHTS, Role
from forestall.kernel.clock import to_ms
from forestall.kernel.observations import Snapshot
from forestall.web.api.application import description

pytestmark = pytest.mark.django_db
PROBLEM = "application/problem+json"


class Program:
    """Something with a bearer token."""

    def __init__(self, person: Person, *may: str, client: Client | None = None) -> None:
        rights = may or ROLE_RIGHTS[Role(person.role)]
        bound = client.pk if client else None
        _, self.secret = make_token(person, name="program", may=rights, client=bound)
        self.browser = Browser(
            headers={"authorization": f"Bearer {self.secret}"}, raise_request_exception=False
        )

    def ask(self, method: str, path: str, body: Any = None, **query: Any) -> HttpResponse:
        if method == "get":
            return self.browser.get(f"/api/v1/{path}", query)
        text = "" if body is None else json.dumps(body)
        return getattr(self.browser, method)(f"/api/v1/{path}", text, content_type="application/json")  # type: ignore[no-any-return]

    def get(self, path: str, **query: Any) -> Any:
        answer = self.ask("get", path, **query)
        assert answer.status_code == 200, answer.content
        return json.loads(answer.content)

    def post(self, path: str, **body: Any) -> Any:
        answer = self.ask("post", path, body)
        assert answer.status_code == 201, answer.content
        return json.loads(answer.content)


@pytest.fixture
def owner() -> Program:
    return Program(make_person(role=Role.OWNER))


def problem_of(answer: HttpResponse, status: int) -> dict[str, Any]:
    assert (answer.status_code, answer["Content-Type"]) == (status, PROBLEM), answer.content
    body: dict[str, Any] = json.loads(answer.content)
    assert body["status"] == status and body["title"] and body["detail"] and body["type"] == "about:blank"
    return body


def test_the_description_is_openapi_3_1_and_says_what_errors_look_like() -> None:
    answer = Browser().get("/api/v1/openapi.json")
    document = answer.json()
    assert document["openapi"].startswith("3.1") and document == json.loads(description())
    assert "Problem" in document["components"]["schemas"]
    identifiers = [
        operation["operationId"]
        for operations in document["paths"].values()
        for operation in operations.values()
    ]
    assert len(identifiers) == len(set(identifiers)) > 60
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation.get("description"), f"{method} {path}: say what it does"
            assert PROBLEM in operation["responses"]["default"]["content"], f"{method} {path}"


def test_everything_that_goes_wrong_is_a_problem(owner: Program) -> None:
    problem_of(owner.ask("get", "nowhere"), 404)
    problem_of(owner.ask("get", "assets/0000000000000"), 404)
    assert owner.ask("get", "nowhere").content == owner.ask("get", "assets/0000000000000").content
    wrong_method = owner.ask("put", "assets", {})
    assert "GET" in problem_of(wrong_method, 405)["detail"] and wrong_method["Allow"] == "GET, POST"
    missing = problem_of(owner.ask("post", "assets", {"kind": "server"}), 422)
    assert {"body.client", "body.name"} == {error["at"] for error in missing["errors"]}
    text = owner.browser.post("/api/v1/assets", "{", content_type="application/json")
    problem_of(text, 400)
    problem_of(owner.ask("get", "assets", limit=100_000), 422)
    problem_of(owner.ask("get", "assets", cursor="rubbish"), 422)
    problem_of(owner.ask("get", "findings", cursor="rubbish"), 422)
    problem_of(owner.ask("get", "assets", q="\0"), 422)
    problem_of(owner.ask("post", "clients", {"name": " "}), 422)
    problem_of(owner.ask("post", "tickets", {"client": make_client().pk, "title": "x", "priority": 9}), 422)


def test_who_is_not_let_in() -> None:
    nobody = Browser().get("/api/v1/assets")
    problem_of(nobody, 401)
    assert nobody["WWW-Authenticate"] == "Bearer"
    stranger = Browser(headers={"authorization": "Bearer fst_wrong"})
    stranger.force_login(make_person(role=Role.OWNER), "allauth.account.auth_backends.AuthenticationBackend")
    problem_of(stranger.get("/api/v1/assets"), 401)
    reader = Program(make_person(role=Role.OWNER), "estate:read")
    assert reader.get("clients") == {"items": [], "next": None}
    refused = reader.ask("post", "clients", {"name": "New"})
    assert "estate:write" in problem_of(refused, 403)["detail"]


def test_a_session_needs_the_csrf_token() -> None:
    browser = Browser(enforce_csrf_checks=True)
    browser.force_login(make_person(role=Role.OWNER), "allauth.account.auth_backends.AuthenticationBackend")
    assert browser.get("/api/v1/clients").status_code == 200
    body = json.dumps({"name": "New"})
    problem_of(browser.post("/api/v1/clients", body, content_type="application/json"), 403)
    assert not Client.objects.exists()
    token = "a" * 32
    browser.cookies["csrftoken"] = token
    answer = browser.post(
        "/api/v1/clients", body, content_type="application/json", headers={"X-CSRFToken": token}
    )
    assert answer.status_code == 201, answer.content


@pytest.mark.parametrize(
    ("path", "make"),
    [
        ("clients", lambda client, number: make_client(f"extra {number:02}")),
        ("sites", lambda client, number: make_site(client, f"site {number % 3}-{number}")),
        ("assets", lambda client, number: make_asset(make_client(), "the same name")),
        ("people", lambda client, number: make_person(f"p{number}@example.org")),
    ],
)
def test_pages_hold_everything_once(owner: Program, path: str, make: Any) -> None:
    client = make_client()
    for number in range(11):
        make(client, number)
    everything = [row["id"] for row in owner.get(path, limit=200)["items"]]
    assert len(everything) >= 11
    seen, cursor = [], ""
    for _ in range(10):
        page = owner.get(path, limit=3, cursor=cursor)
        seen += [row["id"] for row in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert seen == everything


def test_the_estate_from_a_client_to_a_probe(owner: Program) -> None:
    client = owner.post("clients", name="Alder Dental", timezone="Europe/Berlin")
    site = owner.post("sites", client=client["id"], name="Here", ranges=["10.1.2.3/24"])
    assert site["ranges"] == ["10.1.2.0/24"]
    switch = owner.post("assets", client=client["id"], name="sw-1", kind="switch", site=site["id"])
    server = owner.post(
        "assets", client=client["id"], name="srv", parent=switch["id"], addresses=["10.1.2.5"], tags=["hot"]
    )
    details = owner.get(f"assets/{switch['id']}")
    assert [one["id"] for one in details["children"]] == [server["id"]]
    assert [one["id"] for one in owner.get(f"assets/{server['id']}")["parents"]] == [switch["id"]]
    tree = owner.get(f"clients/{client['id']}/tree")
    assert tree[0]["branches"][0]["asset"]["name"] == "srv"
    changed = owner.ask("patch", f"assets/{server['id']}", {"name": "srv-1"}).json()
    assert (changed["name"], changed["addresses"], changed["tags"]) == ("srv-1", ["10.1.2.5"], ["hot"])
    problem_of(owner.ask("patch", f"assets/{switch['id']}", {"parent": server["id"]}), 422)
    probe = owner.post("probes", asset=server["id"], kind="tcp", target="10.1.2.5:22")
    assert owner.ask("patch", f"probes/{probe['id']}", {"interval_s": 30}).json()["interval_s"] == 30
    problem_of(owner.ask("post", "probes", {"asset": server["id"], "kind": "nonsense", "target": "x"}), 422)
    assert owner.ask("delete", f"probes/{probe['id']}").status_code == 204
    assert owner.ask("delete", f"clients/{client['id']}").status_code == 204
    assert owner.get("assets", client=client["id"])["items"] == []
    token = owner.post("enrolment-tokens", client=make_client().pk)
    assert token["secret"] and "secret" not in owner.get("enrolment-tokens")["items"][0]


def test_a_probes_secret_goes_in_and_never_comes_out(owner: Program) -> None:
    name = next(setting.name for setting in sql.SPEC.settings if setting.kind == "secret")
    required = {
        setting.name: (setting.choices or ("monitor",))[0]
        for setting in sql.SPEC.settings
        if setting.required
    }
    settings = required | {name: "hush-hush"}
    probe = owner.post(
        "probes", asset=make_asset().pk, kind="sql", target="db.example:5432", settings=settings
    )
    assert probe["settings"][name] is None and "hush" not in owner.ask("get", "probes").content.decode()
    kept = owner.ask("patch", f"probes/{probe['id']}", {"settings": required})
    assert kept.status_code == 200 and kept.json()["settings"][name] is None
    assert open_settings(Probe.objects.get())[name] == "hush-hush", "left out, it stays"
    assert (
        "nonsense"
        in problem_of(owner.ask("patch", f"probes/{probe['id']}", {"settings": {"nonsense": 1}}), 422)[
            "detail"
        ]
    )


def test_configurations_with_their_difference(owner: Program) -> None:
    asset, now = make_asset(), timezone.now()
    for minute, text in enumerate(("a\n", "b\n")):
        at_ms = to_ms(now - timedelta(minutes=9 - minute))
        store_snapshot(asset.client_id, asset.pk, Snapshot(at_ms, "hosts", text), now=now)
    newest = owner.get("snapshots", asset=asset.pk, latest=True)["items"][0]
    assert newest["number"] == 2
    assert owner.get(f"snapshots/{newest['id']}")["text"] == "b\n"
    rows = owner.get(f"snapshots/{newest['id']}/difference")
    assert [row["kind"] for row in rows] == ["-", "+"]
    change = owner.get("changes", client=asset.client_id)["items"][0]
    assert owner.get(f"changes/{change['id']}")["rows"] == rows
    assert datetime.fromisoformat(change["at"]).utcoffset() == timedelta()


def test_configurations_searched_compared_and_given_a_baseline(owner: Program) -> None:
    client, now = make_client(), timezone.now()
    assets = [make_asset(client, kind="switch") for _ in range(3)]
    for number, asset in enumerate(assets):
        text = f"line vty 0 4\n transport input ssh\nntp server 10.0.0.{number // 2}\n"
        store_snapshot(asset.client_id, asset.pk, Snapshot(to_ms(now), "running", text), now=now)
    found = owner.get("configurations/search", q="transport ssh", client=client.pk)
    assert (found["matched"], found["complete"], found["next"]) == (3, True, None)
    line = found["items"][0]["lines"][0]
    assert (line["number"], line["path"], line["after"]) == (2, ["line vty 0 4"], ["ntp server 10.0.0.0"])
    assert owner.get("configurations/search", q="^ntp .*1$", mode="re")["matched"] == 1
    assert owner.get("configurations/search", q="10.0.0.1", absent=True)["assets"] == 2
    assert owner.get("configurations/search", q="ntp", at="2020-01-01T00:00:00Z")["total"] == 0
    problem_of(owner.ask("get", "configurations/search", None, q="(", mode="re"), 422)
    settings = owner.get("configurations/settings", client=client.pk, q="ntp server")
    assert (settings["usual"], settings["agree"]) == (["ntp server 10.0.0.0"], 2)
    assert settings["items"][0]["more"] == ["ntp server 10.0.0.1"]
    first, other = (
        owner.get("snapshots", asset=asset.pk, latest=True)["items"][0]["id"] for asset in assets[1:]
    )
    across = owner.get(f"snapshots/{first}/difference", **{"with": other})
    assert [row["text"] for row in across if row["kind"] in "+-"] == [
        "ntp server 10.0.0.1",
        "ntp server 10.0.0.0",
    ]
    named = owner.ask("put", f"snapshots/{first}/baseline", {"because": "Handed over."}).json()
    assert named["baseline"] == first and named["baseline_because"] == "Handed over."
    (held,) = owner.get("configurations", asset=assets[1].pk)["items"]
    assert (held["baseline"], held["broken"], held["newest"]) == (first, {}, first)
    assert owner.ask("delete", f"snapshots/{first}/baseline").status_code == 204
    problem_of(owner.ask("delete", f"snapshots/{first}/baseline"), 422)
    problem_of(owner.ask("put", f"snapshots/{first}/baseline", {"because": " "}), 422)


def test_tickets_from_opening_to_closing(owner: Program) -> None:
    client = make_client()
    ticket = owner.post("tickets", client=client.pk, title="Printer is jammed", text="since today")
    place = f"tickets/{ticket['id']}"
    owner.post(f"{place}/notes", text="looked at it")
    assert owner.ask("post", f"{place}/timer").status_code == 200
    assert owner.ask("delete", f"{place}/timer").status_code == 204
    me = owner.get("me")
    changed = owner.ask("patch", place, {"assignee": me["id"], "priority": 1, "status": "closed"}).json()
    assert (changed["assignee"], changed["priority"], changed["status"]) == (me["id"], 1, "closed")
    kinds = [entry["kind"] for entry in owner.get(place)["timeline"]]
    assert {"opened", "note", "assigned", "status", "effort"} <= set(kinds)
    before = owner.get(place)
    problem_of(owner.ask("patch", place, {"priority": 2, "status": "nonsense"}), 422)
    assert owner.get(place)["priority"] == before["priority"], "all of it or nothing"


def test_tokens_and_people_never_exceed_who_makes_them() -> None:
    client = make_client()
    manager = make_person(role=Role.SERVICE_MANAGER, clients=(client,))
    program = Program(manager, "people:read", "people:write", "estate:read", client=client)
    problem_of(
        program.ask("post", "tokens", {"name": "x", "may": ["tickets:write"], "client": client.pk}), 422
    )
    problem_of(program.ask("post", "tokens", {"name": "x", "may": ["estate:read"]}), 422)
    made = program.post("tokens", name="x", may=["estate:read"], client=client.pk)
    assert made["secret"] not in program.ask("get", "tokens").content.decode()
    assert program.ask("delete", f"tokens/{made['id']}").status_code == 204
    new = {"name": "New", "email": "n@example.org", "clients": [client.pk]}
    problem_of(program.ask("post", "people", new | {"role": "owner"}), 403)
    problem_of(program.ask("post", "people", new | {"role": "technician"}), 403)
    assert not Person.objects.filter(email="n@example.org").exists()
    whole = Program(manager, *sorted(ROLE_RIGHTS[Role.SERVICE_MANAGER]))
    person = whole.post("people", **new, role="technician")
    assert person["password_link"].startswith("/accounts/password/reset/key/")
    assert set(RIGHTS) > set(whole.get("me")["rights"])


def test_channels_do_not_show_their_secrets(owner: Program) -> None:
    settings = {"url": "https://example.org/hook", "secret": "hush-hush"}
    channel = owner.post("channels", notifier="webhook", title="Hook", settings=settings)
    assert channel["settings"]["secret"] is None
    assert "hush-hush" not in owner.ask("get", "channels").content.decode()
    changed = owner.ask("patch", f"channels/{channel['id']}", {"enabled": False}).json()
    assert changed["enabled"] is False and changed["settings"]["url"] == settings["url"]


def test_the_installation_says_how_it_is(owner: Program) -> None:
    found = owner.get("installation")
    assert {role["name"] for role in found["roles"]} == {"store", "watch", "web", "guard"}
    assert len(found["journal"]["root"]) == 64
    assert owner.ask("patch", "installation", {"provider": "Seed MSP"}).json()["provider"] == "Seed MSP"
    assert owner.ask("get", "rejected").status_code == 200
