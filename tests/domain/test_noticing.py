"""Captures on change: what a log line says of a device asks for its capture, and names who changed it."""

from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest
from django.utils import timezone

from contract.device_player import recorded, recording
from estate_factories import EVERYTHING, make_asset, make_client
from forestall.collect.devices.recipe import find_recipe
from forestall.collect.masking import Masker
from forestall.collect.parsers.syslog import parse_syslog_lines
from forestall.configs.actions import store_snapshot
from forestall.configs.models import Change, Notice
from forestall.configs.notices import Said, note_notices, notices_of
from forestall.estate.actions import add_probe
from forestall.estate.models import Asset, Probe
from forestall.judge.judge import Judge
from forestall.judge.pack import load_packs
from forestall.judge.shelf import builtin_packs
from forestall.judge.values import JudgedCapture, State
from forestall.kernel.clock import from_ms, to_ms
from forestall.kernel.columns import LogColumns, SampleColumns
from forestall.kernel.ids import to_number
from forestall.kernel.observations import Snapshot
from forestall.processes.judging import load_judged_assets
from forestall.processes.noticing import LEAST_BETWEEN_MS, SETTLE_MS, Noticing, read_sign

pytestmark = pytest.mark.django_db
LINE = "%SYS-5-CONFIG_I: Configured from console by ana on vty0 (10.0.0.5)"
NOW_MS = to_ms(timezone.now())


def make_device(recipe: str = "cisco-ios") -> tuple[Asset, Probe]:
    asset = make_asset(make_client(), kind="switch")
    probe = add_probe(EVERYTHING, asset=asset, kind="device", target="10.0.0.2", settings={"recipe": recipe})
    return asset, probe


def lines_of(asset: Asset, *lines: str, at_ms: int = NOW_MS) -> LogColumns:
    """As they come out of the decoder, parsed from syslog."""
    parsed = parse_syslog_lines([f"<189>Nov 23 08:00:00 sw {line}".encode() for line in lines], at_ms)
    size = len(lines)
    return LogColumns(
        client=np.full(size, to_number(asset.client_id), np.uint64),
        asset=np.full(size, to_number(asset.pk), np.uint64),
        at_ms=parsed.at_ms,
        received_at_ms=np.full(size, at_ms, np.int64),
        severity=np.full(size, 5, np.uint8),
        facility=np.full(size, 23, np.uint8),
        source=parsed.source,
        host=parsed.host,
        message=parsed.message,
        raw=pa.array([""] * size),
        attrs=parsed.attrs,
    )


def shot(text: str, at_ms: int) -> Snapshot:
    return Snapshot(at_ms=at_ms, kind="running", title="Running configuration", text=text)


@pytest.mark.parametrize("name", recorded())
def test_lines_that_say_that_it_was_changed_are_told_from_others(name: str) -> None:
    recipe = find_recipe(name)
    for line, user, address in recording(name).given["signs"]:
        assert read_sign(recipe, line) == {"user": user, "address": address}, line
        asset, _ = make_device(name)
        noticing = Noticing(Masker(b"k"))
        noticing.tick(NOW_MS)
        noticing.look(lines_of(asset, line))
        assert noticing.seen_count == 1, line
    for line in recording(name).given["no_signs"]:
        assert read_sign(recipe, line) is None, line


def test_a_line_asks_for_a_capture_once_it_is_quiet() -> None:
    asset, _ = make_device()
    noticing = Noticing(Masker(b"k"))
    noticing.tick(NOW_MS)
    noticing.look(lines_of(asset, LINE, "%LINK-3-UPDOWN: Interface Gi0/1, changed state to up"))
    noticing.tick(NOW_MS + SETTLE_MS - 1)
    assert Probe.objects.get().ask_now_at is None
    noticing.tick(NOW_MS + SETTLE_MS)
    assert Probe.objects.get().ask_now_at == from_ms(NOW_MS + SETTLE_MS)
    notice = Notice.objects.get()
    assert (notice.user, notice.address, notice.asset) == ("ana", "10.0.0.5", asset)
    assert LINE in notice.line
    again_ms = NOW_MS + SETTLE_MS + 1000
    noticing.look(lines_of(asset, LINE, at_ms=again_ms))  # somebody goes on
    noticing.tick(again_ms + SETTLE_MS)
    assert Probe.objects.get().ask_now_at == from_ms(NOW_MS + SETTLE_MS), "not again at once"
    later_ms = NOW_MS + SETTLE_MS + LEAST_BETWEEN_MS
    noticing.tick(later_ms)
    assert Probe.objects.get().ask_now_at == from_ms(later_ms), "but it is not forgotten"


def test_lines_of_assets_that_nobody_captures_are_not_looked_at() -> None:
    make_device()
    other = make_asset(make_client(), kind="switch")
    noticing = Noticing(Masker(b"k"))
    noticing.tick(NOW_MS)
    noticing.look(lines_of(other, LINE))
    assert noticing.seen_count == 0


def test_the_change_names_who_made_it_with_the_line_as_evidence() -> None:
    asset, _ = make_device()
    now = timezone.now()
    before = now - timedelta(hours=1)
    store_snapshot(asset.client_id, asset.pk, shot("vlan 10\n", to_ms(before)), now=before)
    said = Said(asset.client_id, asset.pk, now - timedelta(seconds=5), LINE, "ana", "10.0.0.5")
    assert note_notices([said, said]) == 1
    stored = store_snapshot(asset.client_id, asset.pk, shot("vlan 20\n", to_ms(now)), now=now)
    assert stored.change is not None
    change = Change.objects.get()
    assert change.named == ["ana from 10.0.0.5"]
    assert [one.line for one in notices_of(EVERYTHING, change)] == [LINE]


def test_a_line_that_comes_just_after_the_capture_names_too() -> None:
    asset, _ = make_device()
    now = timezone.now()
    for before_s, text in ((3600, "vlan 10\n"), (3, "vlan 20\n")):
        at = now - timedelta(seconds=before_s)
        store_snapshot(asset.client_id, asset.pk, shot(text, to_ms(at)), now=at)
    note_notices([Said(asset.client_id, asset.pk, now, LINE, "ana")])
    assert Change.objects.get().named == ["ana"]
    note_notices([Said(asset.client_id, asset.pk, now - timedelta(days=2), LINE, "ben")])
    assert Change.objects.get().named == ["ana"]


def test_a_secret_in_the_line_is_not_kept() -> None:
    asset, _ = make_device("cisco-asa")
    noticing = Noticing(Masker(b"k"))
    noticing.tick(NOW_MS)
    line = (
        "%ASA-5-111010: User 'ana', running 'CLI' from IP 10.0.0.5, executed 'username ben password H0rse-77'"
    )
    noticing.look(lines_of(asset, line))
    noticing.tick(NOW_MS + SETTLE_MS)
    assert asset.notices.get().user == "ana"
    assert "H0rse-77" not in asset.notices.get().line


def test_a_capture_that_does_not_happen_is_silent() -> None:
    asset, probe = make_device()
    now_ms = to_ms(timezone.now())
    assets = load_judged_assets()
    owner = next(one for one in assets if one.id == asset.pk)
    assert [(one.what, one.name) for one in owner.expects] == [("probe", "device 10.0.0.2")]
    judge = Judge(load_packs(builtin_packs()))
    judge.set_estate(assets, now_ms=now_ms)
    late_ms = 6 * probe.interval_s * 1000
    found = [one for at in range(0, late_ms, 5_000) for one in judge.tick(now_ms + 60_000 + at)]
    silent = [one for one in found if one.asset == asset.pk and one.rule == "probe-silent"]
    assert [one.to for one in silent] == [State.SILENT]
    assert "device 10.0.0.2" in silent[0].item


def test_problems_of_a_capture_and_what_is_unsaved_are_findings() -> None:
    asset, _ = make_device()
    judge = Judge(load_packs(builtin_packs()))
    judge.set_estate(load_judged_assets(), now_ms=NOW_MS)
    number = to_number(asset.pk)
    cut = JudgedCapture(asset=number, kind="running", at_ms=NOW_MS, problem="it was cut short")
    (refused,) = [one for one in judge.observe_refusals([cut]) if one.rule == "device-capture-refused"]
    assert "cut short" in refused.reason and not refused.tells
    found = []
    for metric in ("device.unsaved_lines", "device.host_key_changed"):
        columns = SampleColumns(
            client=np.array([to_number(asset.client_id)], np.uint64),
            asset=np.array([number], np.uint64),
            metric=pa.array([metric]),
            item=pa.array(["device 10.0.0.2"]),
            at_ms=np.array([NOW_MS + 1000], np.int64),
            value=np.array([1.0]),
        )
        found += judge.observe(columns, received_at_ms=NOW_MS + 1000)
    rules = {one.rule: one for one in found}
    assert rules["configuration-unsaved"].to == State.DRIFTING
    assert "not saved" in rules["configuration-unsaved"].reason
    assert rules["host-key-changed"].to == State.OUT_OF_SPEC
