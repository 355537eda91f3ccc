"""What a client's own people did before a ticket: told apart from what we did, within one client."""

from datetime import timedelta

import pytest

from estate_factories import EVERYTHING, START, make_asset, make_client, make_person, make_site, scope_for
from forestall.alerts.models import Window
from forestall.configs.actions import store_snapshots
from forestall.configs.models import Change
from forestall.estate.access import Bearer, Refused
from forestall.estate.logins import name_logins_of_client, name_logins_of_person, our_logins
from forestall.estate.tenancy import Scope
from forestall.estate.values import Role
from forestall.journal.actions import append
from forestall.kernel.clock import to_ms
from forestall.kernel.errors import Trouble
from forestall.kernel.observations import Snapshot
from forestall.tickets import actions, queries
from forestall.tickets.before import accounts_of
from forestall.tickets.models import Effort

pytestmark = pytest.mark.django_db

ANNA = "anna from 10.0.0.7 since 2026-03-02 08:50"
MINUTE = timedelta(minutes=1)
CHANGED_AT = START + 52 * MINUTE
OPENED_AT = START + 70 * MINUTE


def capture(asset, kind, text, *, at, who=()):
    snapshot = Snapshot(to_ms(at), kind, text, title=kind.title(), signed_in=list(who))
    store_snapshots([(asset.client_id, asset.pk, snapshot)], now=at)


def edited_and_restarted(asset, *, who=(ANNA,)):
    """anna edits a file at 08:52 and restarts the machine at 08:55."""
    capture(asset, "sshd_config", "PermitRootLogin no\n", at=START)
    capture(asset, "started", "started at 2026-03-01 07:00 UTC\n", at=START)
    capture(asset, "sshd_config", "PermitRootLogin no\n", at=CHANGED_AT - MINUTE)
    capture(asset, "started", "started at 2026-03-01 07:00 UTC\n", at=CHANGED_AT + 2 * MINUTE)
    capture(asset, "sshd_config", "PermitRootLogin yes\n", at=CHANGED_AT, who=who)
    capture(asset, "started", "started at 2026-03-02 08:55 UTC\n", at=CHANGED_AT + 3 * MINUTE, who=who)


def ticket_of(asset, *, client=None):
    return actions.open_by_hand(
        EVERYTHING, client=client or asset.client_id, asset=asset.pk if asset else None, title="It is slow",
        now=OPENED_AT,
    )  # fmt: skip


def before(ticket, scope=EVERYTHING):
    return queries.page_of(scope, ticket.pk, now=OPENED_AT).before


def test_what_anna_did_is_said_on_the_ticket():
    asset = make_asset()
    edited_and_restarted(asset)
    found = before(ticket_of(asset))
    assert found.text == (
        "Before this ticket: Sshd_Config changed at 08:52 by anna (signed in), "
        "the machine restarted at 08:55 with anna signed in; nobody of ours was working on it."
    )
    assert [change.kind for change in found.changes] == ["sshd_config", "started"]


def test_a_ticket_without_an_asset_looks_at_all_of_its_client_and_no_other():
    asset = make_asset(name="till")
    edited_and_restarted(asset)
    edited_and_restarted(make_asset(make_client(), name="elsewhere"))
    found = before(ticket_of(None, client=asset.client_id))
    assert "Sshd_Config on till changed" in found.text and "elsewhere" not in found.text
    assert {change.asset_id for change in found.changes} == {asset.pk}


def by_window(asset):
    Window.objects.create(
        client=asset.client, title="Patch day", starts_at=START, ends_at=OPENED_AT, made_by="mia"
    )


def by_login_of_person(asset):
    make_person(login_names=["SOMEWHERE\\Anna"])


def by_login_of_client(asset):
    name_logins_of_client(EVERYTHING, asset.client_id, names=["anna"])


def by_effort(asset):
    ticket = actions.open_by_hand(
        EVERYTHING, client=asset.client_id, asset=asset.pk, title="Earlier", now=START
    )
    Effort.objects.create(
        client=asset.client, ticket=ticket, person=make_person(), started_at=START, ended_at=OPENED_AT
    )


def by_action(asset):
    append("asset.changed", client=asset.client_id, subject=asset.pk, actor=make_person().email,
           body={}, at=CHANGED_AT)  # fmt: skip


@pytest.mark.parametrize(
    "accounted", [by_window, by_login_of_person, by_login_of_client, by_effort, by_action]
)
def test_what_one_of_us_accounts_for_is_not_said(accounted):
    asset = make_asset()
    edited_and_restarted(asset)
    accounted(asset)
    found = before(ticket_of(asset))
    assert (found.text, found.changes) == ("", [])
    accounts = accounts_of(EVERYTHING, list(Change.objects.select_related("asset")))
    assert len(accounts) == 2 and all(accounts.values())


def test_who_a_device_names_in_its_log_is_told_and_is_ours_if_it_is():
    asset = make_asset(kind="switch")
    capture(asset, "running", "vlan 1\n", at=START)
    capture(asset, "running", "vlan 2\n", at=CHANGED_AT)
    Change.objects.update(named=["ana from 10.0.0.5"])
    ticket = ticket_of(asset)
    assert before(ticket).text == (
        "Before this ticket: Running changed at 08:52 by ana; nobody of ours was working on it."
    )
    make_person(login_names=["ana"])
    assert before(ticket).text == ""
    (account,) = accounts_of(EVERYTHING, list(Change.objects.select_related("asset"))).values()
    assert account == "ana made it, who is ours"


def test_windows_and_contacts_elsewhere_account_for_nothing():
    client = make_client()
    asset = make_asset(client, site=make_site(client))
    edited_and_restarted(asset)
    other = make_site(client)
    Window.objects.create(
        client=client, site=other, title="Other site", starts_at=START, ends_at=OPENED_AT, made_by="mia"
    )
    make_person(role=Role.CLIENT_CONTACT, clients=(client,), login_names=["anna"])
    name_logins_of_client(EVERYTHING, make_client().pk, names=["anna"])
    assert len(before(ticket_of(asset)).changes) == 2


def test_what_is_older_than_a_day_or_came_later_is_left_out():
    asset = make_asset()
    edited_and_restarted(asset)
    late = actions.open_by_hand(
        EVERYTHING, client=asset.client_id, asset=asset.pk, title="Late", now=OPENED_AT + timedelta(days=2)
    )
    early = actions.open_by_hand(
        EVERYTHING, client=asset.client_id, asset=asset.pk, title="Early", now=CHANGED_AT - MINUTE
    )
    assert before(late).text == before(early).text == ""


def test_login_names_are_checked_and_kept_to_who_may():
    client, person = make_client(), make_person()
    assert our_logins(EVERYTHING, [client.pk]) == {client.pk: frozenset()}
    for wrong in (["two words"], ["a/b"], ["x" * 65], ["\\"], [str(n) for n in range(51)]):
        with pytest.raises(Trouble):
            name_logins_of_client(EVERYTHING, client.pk, names=wrong)
    with pytest.raises(Trouble):
        name_logins_of_client(scope_for(make_client()), client.pk, names=["anna"])
    mine = Bearer(Scope(actor=person.email, clients=frozenset()), frozenset())
    assert name_logins_of_person(mine, person, names=["mia", "Mia.Admin", "mia"]).login_names == [
        "mia", "Mia.Admin",
    ]  # fmt: skip
    with pytest.raises(Refused):
        name_logins_of_person(mine, make_person(), names=["eve"])
    assert our_logins(EVERYTHING, [client.pk]) == {client.pk: frozenset({"mia", "mia.admin"})}
