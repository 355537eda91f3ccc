"""The form of a probe: made from the plug-in's SPEC, mistakes at their field, secrets never shown."""

import re

import pytest
from django.test import Client as Browser

from estate_factories import make_asset, make_client, make_person
from forestall.collect.asking import PROBES
from forestall.estate.credentials import add_credential
from forestall.estate.models import Probe
from forestall.estate.tenancy import system_scope
from forestall.estate.values import Role
from forestall.kernel.plugins import load

pytestmark = pytest.mark.django_db
SCOPE = system_scope("test")


@pytest.fixture
def owner() -> Browser:
    browser = Browser()
    browser.force_login(make_person(role=Role.OWNER))
    return browser


@pytest.mark.parametrize("kind", sorted(load(PROBES)))
def test_each_kind_has_a_form_with_all_its_settings(owner: Browser, kind: str) -> None:
    asset = make_asset()
    answer = owner.get(f"/assets/{asset.pk}/probes/new/", {"kind": kind})
    text = answer.content.decode()
    assert answer.status_code == 200
    for one in load(PROBES)[kind].SPEC.settings:
        assert f'name="setting_{one.name}"' in text


def test_a_probe_is_added_with_its_settings_and_changed(owner: Browser) -> None:
    client = make_client()
    asset = make_asset(client, kind="switch")
    credential = add_credential(
        SCOPE, client=client.pk, name="reading", kind="snmp_v2c", fields={"community": "Zq1"}
    )
    given = {
        "kind": "snmp", "target": "10.0.0.2", "credential": credential.pk, "every": "5", "every_unit": "60",
        "setting_version": "by credential", "setting_profile": "automatic",
        "setting_leave_out": "Vlan*\r\n Null0 \r\n",
    }  # fmt: skip
    answer = owner.post(f"/assets/{asset.pk}/probes/new/", given)
    assert answer.status_code == 302
    (probe,) = Probe.objects.all()
    assert (probe.target, probe.interval_s, probe.credential_id) == ("10.0.0.2", 300, credential.pk)
    assert probe.settings["leave_out"] == ["Vlan*", "Null0"]
    shown = owner.get(f"/probes/{probe.pk}/").content.decode()
    assert "Vlan*\nNull0</textarea>" in shown and 'value="5"' in shown and "Zq1" not in shown
    again = given | {
        "setting_leave_out": "",
        "every": "1",
        "every_unit": "3600",
        "enabled": "no",
        "credential": "",
    }
    assert owner.post(f"/probes/{probe.pk}/", again).status_code == 302
    probe.refresh_from_db()
    assert not probe.settings.get("leave_out")
    assert (probe.enabled, probe.interval_s, probe.credential_id) == (False, 3600, None)
    assert "paused" in owner.get(f"/assets/{asset.pk}/").content.decode()


@pytest.mark.parametrize(
    ("kind", "given", "field", "said"),
    [
        ("discover", {"setting_rate": "5000"}, "setting_rate", "at most 1000"),
        ("discover", {"setting_most": "many"}, "setting_most", "Must be a number"),
        ("device", {"target": "10.0.0.2"}, "setting_recipe", "missing"),
        ("device", {"target": "10.0.0.2", "setting_recipe": "cisco"}, "setting_recipe", "one of"),
        ("snmp", {"target": "10.0.0.2", "setting_profile": "none such"}, "setting_profile", "one of"),
        ("snmp", {"target": " "}, "target", "for example 10.0.0.2"),
        ("snmp", {"target": "10.0.0.2", "every": "x"}, "every", "whole number"),
        ("snmp", {"target": "10.0.0.2", "every": "90", "every_unit": "86400"}, "every", "7 days"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_at_its_field(
    owner: Browser, kind: str, given: dict[str, str], field: str, said: str
) -> None:
    asset = make_asset()
    answer = owner.post(
        f"/assets/{asset.pk}/probes/new/", {"kind": kind, "every": "60", "every_unit": "1", **given}
    )
    text = answer.content.decode()
    assert answer.status_code == 422 and not Probe.objects.exists()
    told = re.search(rf'id="{field}_error">([^<]*)<', text)
    assert told and said in told[1], text
    assert f'aria-describedby="{field}_error"' in text
    assert given.get("target", "declared ranges").strip() in text


def test_a_secret_is_never_shown_and_stays_when_it_is_left_empty(owner: Browser) -> None:
    kind, setting = next(
        (kind, one.name)
        for kind, module in load(PROBES).items()
        for one in module.SPEC.settings
        if one.kind == "secret"
    )
    asset = make_asset()
    settings = load(PROBES)[kind].SPEC.settings
    given = {f"setting_{one.name}": one.choices[0] if one.choices else "" for one in settings}
    given |= {f"setting_{one.name}": "select 1" for one in settings if one.required and not one.choices}
    given |= {
        "kind": kind,
        "target": "10.0.0.2",
        "every": "60",
        "every_unit": "1",
        f"setting_{setting}": "Zq-secret",
    }
    assert owner.post(f"/assets/{asset.pk}/probes/new/", given).status_code == 302
    probe = Probe.objects.get()
    sealed = probe.settings[setting]
    assert "Zq-secret" not in sealed
    shown = owner.get(f"/probes/{probe.pk}/").content.decode()
    assert "Zq-secret" not in shown and sealed not in shown
    assert owner.post(f"/probes/{probe.pk}/", given | {f"setting_{setting}": ""}).status_code == 302
    probe.refresh_from_db()
    assert probe.settings[setting] == sealed


def test_a_credential_of_the_wrong_kind_is_refused(owner: Browser) -> None:
    client = make_client()
    asset = make_asset(client)
    wrong = add_credential(
        SCOPE, client=client.pk, name="ssh", kind="ssh", fields={"user": "a", "password": "b"}
    )
    given = {"kind": "snmp", "target": "10.0.0.2", "every": "60", "every_unit": "1", "credential": wrong.pk}
    answer = owner.post(f"/assets/{asset.pk}/probes/new/", given)
    assert answer.status_code == 422 and "signs in with SNMP" in answer.content.decode()
