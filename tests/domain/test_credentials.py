"""Credentials: sealed, handed to collectors of their client alone, counted, never shown again."""

import io
import json
from typing import Any

import pytest
from django.db import connection
from django.test import Client as Browser
from django.utils import timezone
from typer.testing import CliRunner

from estate_factories import EVERYTHING, make_asset, make_client, make_person, make_site
from forestall.collect.asking import ProbeOrder
from forestall.estate import credentials, enrolment
from forestall.estate.access import make_token
from forestall.estate.actions import add_probe, ask_now
from forestall.estate.credentials import Credential, add_credential, credential_for, note_uses
from forestall.estate.models import Asset, Client, CredentialUse, Probe
from forestall.estate.tenancy import Scope
from forestall.estate.values import Role
from forestall.journal.models import Entry
from forestall.kernel.errors import Trouble
from forestall.processes.admin import admin

pytestmark = pytest.mark.django_db
SECRET = "k3epQu1et-7781"
KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAA\n-----END OPENSSH PRIVATE KEY-----\n"


def make_ssh(client: Client, **more: Any) -> Credential:
    fields = {"user": "reader", "password": SECRET}
    return add_credential(EVERYTHING, **{"client": client.pk, "name": "switches", "kind": "ssh",
                                         "fields": fields} | more)  # fmt: skip


def make_collector(client: Client, **more: str) -> str:
    _, token = enrolment.make_enrolment_token(EVERYTHING, client=client.pk, **more)
    return enrolment.enrol_collector(
        token, public_key=b"\x05" * 32, hostname="box", platform="linux", version="1", addresses=[],
        now=timezone.now(),
    ).id  # fmt: skip


def make_probe(asset: Asset, row: Credential | None, *, collector: str = "") -> Probe:
    return add_probe(
        EVERYTHING, asset=asset, kind="tcp", target="10.0.0.2:22", collector=collector, credential=row
    )


def everything_stored() -> str:
    """All texts and bytes of all tables."""
    with connection.cursor() as cursor:
        found = []
        for table in connection.introspection.table_names():
            cursor.execute(f'SELECT * FROM "{table}"')
            found += [str(value) for row in cursor.fetchall() for value in row]
    return "\n".join(found)


def test_what_is_secret_is_nowhere_in_the_database() -> None:
    client = make_client()
    row = make_ssh(
        client, fields={"user": "reader", "password": SECRET, "private_key": KEY, "enable": "up-5512"}
    )
    credentials.change_credential(EVERYTHING, row, fields={"user": "reader", "password": SECRET + "2"})
    stored = everything_stored()
    for secret in (SECRET, "b3BlbnNzaC1rZXktdjEAAAAA", "up-5512"):
        assert secret not in stored
    kinds = list(Entry.objects.filter(subject=row.pk).order_by("seq").values_list("kind", flat=True))
    assert kinds == ["estate.credential_created", "estate.credential_changed"]


def test_a_collector_of_the_client_gets_it_opened_and_is_noted_once() -> None:
    client = make_client()
    asset, row, collector = make_asset(client), make_ssh(client), make_collector(client)
    probe = make_probe(asset, row, collector=collector)
    for _ in range(2):
        (order,) = enrolment.work_of(collector)["probes"]
        assert order["credential"] == {"user": "reader", "password": SECRET}
    assert SECRET not in repr(ProbeOrder(**order))
    first = Entry.objects.filter(kind="estate.credential_first_used", subject=row.pk)
    assert first.count() == 1
    assert json.loads(bytes(first.get().body))["body"]["collector"] == collector
    note_uses({(probe.pk, collector): 3, ("0" * 13, collector): 9}, now=timezone.now())
    (use,) = credentials.uses_of(EVERYTHING, row)
    assert (use.name, use.count) == ("box", 3)


def test_the_server_gets_it_for_what_it_asks_itself() -> None:
    client = make_client()
    make_probe(make_asset(client), make_ssh(client))
    (order,) = enrolment.server_orders()
    assert order["credential"]["password"] == SECRET
    assert order["client"] == client.pk
    assert CredentialUse.objects.get().by == ""


def test_another_clients_credential_is_handed_to_nobody() -> None:
    mine, other = make_client(), make_client()
    asset, foreign, collector = make_asset(mine), make_ssh(other), make_collector(mine)
    with pytest.raises(Trouble, match="no such credential"):
        credential_for(EVERYTHING, asset, foreign.pk, kinds=("ssh",))
    probe = make_probe(asset, None, collector=collector)
    Probe.objects.filter(pk=probe.pk).update(credential=foreign)  # what no action does
    assert enrolment.work_of(collector)["probes"][0]["credential"] == {}
    assert not CredentialUse.objects.exists()


def test_one_for_a_site_stays_there() -> None:
    client = make_client()
    here, there = make_site(client, name="here"), make_site(client, name="there")
    row, collector = make_ssh(client, site=here.pk), make_collector(client)
    asset = make_asset(client, site=here)
    with pytest.raises(Trouble, match="for the site here alone"):
        credential_for(EVERYTHING, make_asset(client, name="other", site=there), row.pk, kinds=("ssh",))
    with pytest.raises(Trouble, match="signs in with SNMP v2c"):
        credential_for(EVERYTHING, asset, row.pk, kinds=("snmp_v2c",))
    make_probe(asset, credential_for(EVERYTHING, asset, row.pk, kinds=("ssh",)), collector=collector)
    assert enrolment.work_of(collector)["probes"][0]["credential"]["user"] == "reader"
    Asset.objects.filter(pk=asset.pk).update(site=there)
    assert enrolment.work_of(collector)["probes"][0]["credential"] == {}


def test_it_stays_while_a_probe_has_it() -> None:
    client = make_client()
    row = make_ssh(client)
    probe = make_probe(make_asset(client, name="sw-1"), row)
    with pytest.raises(Trouble, match="switches is used by tcp of sw-1"):
        credentials.remove_credential(EVERYTHING, row)
    probe.delete()
    credentials.remove_credential(EVERYTHING, row)
    assert not Credential.objects.exists()


@pytest.mark.parametrize(
    ("kind", "fields", "says"),
    [
        ("ssh", {"user": "a"}, "give a password or a private key"),
        ("ssh", {"password": SECRET}, "user is missing"),
        ("snmp_v2c", {}, "community is missing"),
        ("snmp_v2c", {"community": SECRET, "user": "a"}, "has no field 'user'"),
        ("snmp_v3", {"user": "a", "auth_protocol": "SHA"}, "go together"),
        (
            "snmp_v3",
            {"user": "a", "privacy_protocol": "DES", "privacy_passphrase": SECRET},
            "auth_protocol too",
        ),
        ("snmp_v3", {"user": "a", "auth_protocol": "ROT13", "auth_passphrase": SECRET}, "must be one of SHA"),
        ("ssh", {"user": "a", "password": SECRET + "\0"}, "without NUL"),
        ("rlogin", {}, "no kind of credential"),
    ],
)
def test_a_wrong_one_is_refused_without_repeating_it(kind: str, fields: dict[str, str], says: str) -> None:
    with pytest.raises(Trouble, match=says) as refused:
        make_ssh(make_client(), kind=kind, fields=fields)
    assert SECRET not in str(refused.value)


def test_the_api_gives_everything_but_what_is_secret() -> None:
    client = make_client()
    person = make_person(role=Role.OWNER)
    _, token = make_token(person, name="t", may=["estate:read", "estate:write"])
    browser = Browser(headers={"authorization": f"Bearer {token}"})
    body = {"client": client.pk, "name": "fw", "kind": "ssh", "fields": {"user": "r", "password": SECRET}}
    made = browser.post("/api/v1/credentials", body, content_type="application/json")
    assert made.status_code == 201, made.content
    one = f"/api/v1/credentials/{made.json()['id']}"
    browser.patch(one, {"name": "firewalls"}, content_type="application/json")
    listed = browser.get("/api/v1/credentials")
    for answer in (made, listed, browser.get(one)):
        assert SECRET not in answer.content.decode()
    assert listed.json()["items"][0]["name"] == "firewalls"
    assert listed.json()["items"][0]["user"] == "r"
    asset = make_asset(client)
    probe = {"asset": asset.pk, "kind": "tcp", "target": "10.0.0.1:22", "credential": made.json()["id"]}
    refused = browser.post("/api/v1/probes", probe, content_type="application/json")
    assert refused.status_code == 422 and "signs in nowhere" in refused.json()["detail"]
    assert browser.delete(one).status_code == 204


def test_the_pages_never_show_it_again() -> None:
    client = make_client()
    browser = Browser()
    browser.force_login(make_person(role=Role.TECHNICIAN))
    given = {"client": client.name, "kind": "ssh", "name": "fw", "field_user": "reader",
             "field_password": SECRET, "field_private_key": KEY.replace("\n", "\r\n")}  # fmt: skip
    answer = browser.post("/credentials/add", given, follow=True)
    row = Credential.objects.get()
    assert answer.redirect_chain[-1][0] == f"/credentials/{row.pk}/"
    assert "b3BlbnN" not in answer.content.decode() and SECRET not in answer.content.decode()
    asset, collector = make_asset(client), make_collector(client)
    make_probe(asset, row, collector=collector)
    assert enrolment.work_of(collector)["probes"][0]["credential"]["private_key"] == KEY
    refused = browser.post(f"/credentials/{row.pk}/remove", follow=True)
    assert "is used by" in refused.content.decode()
    answer = browser.post(
        f"/credentials/{row.pk}/replace", {"field_user": "r2", "field_password": "new"}, follow=True
    )
    assert "Replaced" in answer.content.decode()
    assert enrolment.work_of(collector)["probes"][0]["credential"] == {"user": "r2", "password": "new"}


def test_who_may_not_write_sees_no_form() -> None:
    make_ssh(make_client())
    browser = Browser()
    browser.force_login(make_person(role=Role.READ_ONLY))
    assert "Seal it" not in browser.get("/credentials/").content.decode()
    assert browser.post("/credentials/add", {}).status_code == 403


def test_from_the_shell_secrets_come_from_standard_input_alone() -> None:
    client = make_client("Birch")
    add = ["credential", "add", "sw", "--client", "Birch", "--kind", "ssh", "--set", "user=reader"]
    made = CliRunner().invoke(admin, add, input=SECRET + "\n")
    assert made.exit_code == 0, made.output
    assert SECRET not in made.output
    row = Credential.objects.get()
    assert (row.client, row.user) == (client, "reader")
    refused = CliRunner().invoke(admin, [*add, "--set", f"password={SECRET}"])
    assert isinstance(refused.exception, Trouble) and "password is a secret" in str(refused.exception)
    both = io.StringIO(json.dumps({"password": "p-8812", "enable": "e-8812"})).read()
    replaced = CliRunner().invoke(admin, ["credential", "replace", row.pk, "--set", "user=r"], input=both)
    assert replaced.exit_code == 0, replaced.output
    assert "e-8812" not in CliRunner().invoke(admin, ["credential", "list", "--json"]).output
    asset, collector = make_asset(client), make_collector(client)
    make_probe(asset, row, collector=collector)
    opened = enrolment.work_of(collector)["probes"][0]["credential"]
    assert opened == {"user": "r", "password": "p-8812", "enable": "e-8812"}


def test_a_probe_is_wanted_at_once() -> None:
    client = make_client()
    collector = make_collector(client)
    probe = make_probe(make_asset(client), None, collector=collector)
    now = timezone.now()
    assert ask_now(EVERYTHING, [probe], now=now) == 1
    assert enrolment.work_of(collector)["now"] == {probe.pk: int(now.timestamp() * 1000)}
    assert ask_now(Scope("nobody"), [probe], now=now) == 0
    assert ask_now(EVERYTHING, [probe], now=now - 2 * enrolment.ASK_NOW_FOR) == 1
    assert enrolment.work_of(collector)["now"] == {}
