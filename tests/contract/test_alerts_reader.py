"""Evidence read from the real store and configurations; of a dead store the bundle says what is missing."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from contract.telemetry_store import StoreProcess, log_columns, sample_columns, start_store, write_logs
from estate_factories import EVERYTHING, START, make_asset
from forestall.alerts import evidence
from forestall.alerts.reader import StoreReader
from forestall.configs.actions import store_snapshot
from forestall.findings.actions import apply
from forestall.kernel.clock import to_ms
from forestall.kernel.ids import to_number
from forestall.kernel.observations import Snapshot
from forestall.telemetry.write import insert_samples
from road_factories import transition

pytestmark = pytest.mark.django_db
PACKS = {"linux-server": "pack: linux-server\n"}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreProcess]:
    with start_store(Path(tmp_path_factory.mktemp("evidence-store"))) as started:
        yield started


def test_a_bundle_holds_the_series_the_lines_and_the_configuration(running: StoreProcess) -> None:
    asset, other = make_asset(), make_asset()
    before_ms = to_ms(START) - 60_000
    for one, text in ((asset, "ours"), (other, "theirs")):
        place = {"client": to_number(one.client_id), "asset": to_number(one.pk), "at_ms": before_ms}
        write_logs(running.store, log_columns([f"{text} fails"], **place), token=f"logs {one.pk}")
        series = sample_columns([1.0, 1.0, 0.0], metric="probe.up", item="tcp web:80", **place)
        insert_samples(running.store, series, token=f"samples {one.pk}")
        snapshot = Snapshot(at_ms=before_ms, kind="sshd_config", text=f"# {text}\n")
        store_snapshot(one.client_id, one.pk, snapshot, now=START)
    opened = apply([transition(asset, item="tcp web:80")], now=START).opened
    row = evidence.seal_missing(opened, StoreReader(running.store, PACKS), now=START)[0]
    bundle = evidence.load_bundle(EVERYTHING, row.pk)
    assert bundle["missing"] == []
    assert [line["message"] for line in bundle["log_lines"]] == ["ours fails"]
    assert bundle["series"][0]["mean"] == [1.0, 1.0, 0.0]
    assert bundle["snapshots"][0]["text"] == "# ours\n"
    assert bundle["pack"]["text"] == PACKS["linux-server"]
    assert "theirs" not in str(bundle)


def test_a_dead_store_is_named_and_the_rest_is_sealed(running: StoreProcess) -> None:
    running.stop()
    opened = apply([transition(make_asset())], now=START).opened
    row = evidence.seal_missing(opened, StoreReader(running.store, PACKS), now=START)[0]
    bundle = evidence.load_bundle(EVERYTHING, row.pk)
    assert {part["what"] for part in bundle["missing"]} == {"series", "log_lines"}
    assert "pack" in bundle
