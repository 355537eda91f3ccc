"""Administration from the shell: what it makes, how it answers programs, one line for what is wrong."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from estate_factories import make_asset, make_client, make_person
from forestall.alerts.models import Channel
from forestall.collect.probes import sql
from forestall.estate.access import bearer_of
from forestall.estate.models import ApiToken, Asset, Client, Person, Site
from forestall.estate.values import Role
from forestall.estate.vault import is_sealed
from forestall.journal.models import Entry
from forestall.kernel.errors import Trouble
from forestall.processes.admin import admin

pytestmark = pytest.mark.django_db


def run(*arguments: str, said: str = "") -> str:
    result = CliRunner().invoke(admin, list(arguments), input=said)
    if isinstance(result.exception, Exception):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_a_client_with_a_site_an_asset_and_a_probe() -> None:
    client = run("client", "add", "Alder Dental").strip()
    run("site", "add", "Here", "--client", "alder dental", "--range", "10.0.0.0/24")
    run("asset", "add", "sw-1", "--client", "Alder Dental", "--kind", "switch")
    asset = json.loads(run("asset", "add", "srv", "--client", client, "--parent", "sw-1", "--json"))
    assert Asset.objects.get(pk=asset["id"]).parent == Asset.objects.get(name="sw-1")
    run("probes", "add", "srv", "tcp", "10.0.0.5:22", "--every", "30")
    assert {row["name"] for row in json.loads(run("asset", "list", "--json"))} == {"sw-1", "srv"}
    assert "Alder Dental" in run("client", "list")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["asset", "add", "x", "--client", "nobody"], "there is no client 'nobody'"),
        (["client", "add", "  "], "a name has 1 to 160 characters"),
        (["asset", "add", "x", "--client", "Birch", "--kind", "toaster"], "there is no kind of asset"),
        (["site", "add", "x", "--client", "Birch", "--range", "10.0.0.300/8"], "is not a network"),
        (["probes", "add", "nothing", "tcp", "x:1"], "there is no asset 'nothing'"),
        (["token", "create", "--may", "everything"], "there is no right 'everything'"),
        (["channel", "add", "pigeon", "x"], "there is no notifier 'pigeon'"),
        (["channel", "add", "webhook", "x", "--set", "secret=s"], "secret is a secret"),
        (["user", "add", "a@b.example", "--name", "A", "--role", "king"], "there is no role 'king'"),
    ],
)
def test_what_is_wrong_is_said_with_what_to_do(arguments: list[str], says: str) -> None:
    make_client("Birch")
    make_person(role=Role.OWNER)
    with pytest.raises(Trouble, match=says) as error:
        run(*arguments)
    assert error.value.remedy


def test_a_user_a_token_and_a_channel() -> None:
    run(
        "user",
        "add",
        "ana@provider.example",
        "--name",
        "Ana",
        "--role",
        "owner",
        said="a long enough password\n",
    )
    assert Person.objects.get().check_password("a long enough password")
    client = make_client("Birch")
    secret = run("token", "create", "--client", "birch", "--may", "estate:read").strip()
    bearer = bearer_of(f"Bearer {secret}")
    assert bearer.scope.clients == {client.pk} and bearer.rights == {"estate:read"}
    asset = make_asset(client, "srv-1")
    run("token", "create", "--client", "birch", "--may", "intake", "--asset", "SRV-1", "--rate", "5000")
    pusher = ApiToken.objects.get(asset=asset)
    assert (pusher.rate_bytes_per_s, pusher.body_max_bytes, pusher.client) == (5000, None, client)
    with pytest.raises(Trouble, match="no such asset"):
        run("token", "create", "--may", "intake", "--asset", asset.pk)
    run("channel", "add", "webhook", "Hook", "--set", "url=https://example.org/", said="hush-hush\n")
    channel = Channel.objects.get()
    assert "hush" not in json.dumps(channel.settings) and "Hook" in run("channel", "list")


def test_secrets_are_asked_for_and_never_stand_on_the_command_line() -> None:
    make_asset(name="db")
    with pytest.raises(Trouble, match="password is a secret"):
        run("channel", "add", "smtp", "Mail", "--set", "to=a@b.example", "--set", "password=hush")
    with pytest.raises(Trouble, match="has no secret 'to'"):
        run("channel", "add", "smtp", "Mail", "--ask", "to")
    run("channel", "add", "smtp", "Mail", "--set", "to=a@b.example", "--ask", "password", said="hush-hush\n")
    assert is_sealed(Channel.objects.get().settings["password"])
    secret = next(one.name for one in sql.SPEC.settings if one.kind == "secret")
    with pytest.raises(Trouble, match="is a secret"):
        run("probes", "add", "db", "sql", "db.example:5432", "--set", f"{secret}=hush")


def test_an_import_adds_what_is_not_there_and_nothing_twice(tmp_path: Path) -> None:
    file = tmp_path / "estate.yaml"
    file.write_text(
        "clients:\n- name: Alder\n  sites: [{name: Here, ranges: [10.0.0.0/24]}]\n"
        "  assets: [{name: sw, kind: switch, site: Here}, {name: srv, parent: sw}]\n"
    )
    assert "1 clients, 1 sites, 2 assets" in run("import", str(file))
    assert "0 clients, 0 sites, 0 assets" in run("import", str(file))
    assert Asset.objects.get(name="srv").parent == Asset.objects.get(name="sw")
    bad = tmp_path / "bad.yaml"
    bad.write_text("clients:\n- name: Birch\n  assets: [{name: ok}, {name: x, kind: toaster}]\n")
    with pytest.raises(Trouble):
        run("import", str(bad))
    assert not Client.objects.filter(name="Birch").exists(), "all of it or nothing"
    assert Site.objects.count() == 1


def test_an_asset_whose_name_two_clients_have_needs_its_client() -> None:
    one = make_asset(make_client("One"), "srv")
    make_asset(make_client("Two"), "SRV")
    with pytest.raises(Trouble, match="there are 2 assets"):
        run("probes", "add", "srv", "tcp", "x:1")
    run("probes", "add", "srv", "tcp", "x:1", "--client", "One")
    assert one.probes.count() == 1


def test_an_empty_installation_says_what_to_do() -> None:
    assert "forestall client add" in run("client", "list")
    assert run("findings").strip() == "Everything is in spec."
    assert "no open ticket" in run("tickets")


def test_every_command_has_an_example() -> None:
    def commands(app: typer.Typer) -> list[Any]:
        found = list(app.registered_commands)
        for group in app.registered_groups:
            found += commands(group.typer_instance)  # type: ignore[arg-type]
        return found

    for command in commands(admin):
        assert "Example: forestall " in (command.callback.__doc__ or ""), command.callback


def test_a_link_for_somebody_who_forgot_their_password() -> None:
    person = make_person("ana@example.net")
    assert "/accounts/password/reset/key/" in run("user", "link", "Ana@example.net")
    assert Entry.objects.get(kind="access.link_made").subject == person.pk
    with pytest.raises(Trouble, match="nobody signs in with the address"):
        run("user", "link", "nobody@example.net")
