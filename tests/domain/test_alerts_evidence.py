"""Evidence: sealed whatever the sources do, exported for an outsider, and one flipped bit is found."""

import json
import random
import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings

from estate_factories import EVERYTHING, START, make_asset, scope_for
from forestall.alerts import evidence
from forestall.alerts.models import Alert, Delivery, Evidence
from forestall.findings.actions import apply
from forestall.findings.models import Finding
from forestall.journal.actions import append, installation_signer
from forestall.journal.models import Entry
from forestall.journal.verify import verify, verify_document
from forestall.kernel.errors import Trouble
from forestall.processes.road import MEND_EVERY, Road
from road_factories import Sources, make_channel, transition

pytestmark = pytest.mark.django_db


def sealed(*broken: str, asset=None) -> Evidence:
    applied = apply([transition(asset or make_asset(name="web-01"), answer="HTTP/1.1 502")], now=START)
    return evidence.seal_missing(applied.opened, Sources(*broken), now=START)[0]


def test_a_bundle_holds_what_was_observed_and_its_hash_is_in_the_journal():
    row = sealed()
    bundle = evidence.load_bundle(EVERYTHING, row.pk)
    assert bundle["answer"] == "HTTP/1.1 502"
    assert bundle["log_lines"][0]["message"] == "nginx: exiting"
    assert bundle["pack"]["text"] == "rules: []\n"
    assert bundle["missing"] == []
    entry = json.loads(bytes(Entry.objects.get(seq=row.journal_seq).body))
    assert entry["kind"] == "evidence.sealed"
    assert entry["body"]["sha256"] == row.sha256
    assert not Delivery.objects.exists()


def test_sources_that_fail_are_named_in_the_bundle_which_is_sealed_all_the_same():
    bundle = evidence.load_bundle(EVERYTHING, sealed("series", "pack").pk)
    assert {part["what"] for part in bundle["missing"]} == {"series", "pack"}
    assert "the store does not answer" in bundle["missing"][0]["why"]
    assert "log_lines" in bundle


def test_when_the_time_is_used_up_the_rest_is_named_as_missing():
    applied = apply([transition(make_asset())], now=START)
    row = evidence.seal_missing(applied.opened, Sources(), now=START, budget_s=0)[0]
    assert len(evidence.load_bundle(EVERYTHING, row.pk)["missing"]) == 5


def test_sealing_twice_leaves_the_first_seal():
    row = sealed()
    assert evidence.seal_missing(Finding.objects.all(), Sources(), now=START) == []
    assert Evidence.objects.get() == row


def test_what_a_crash_left_without_a_seal_is_found():
    applied = apply([transition(make_asset()), transition(make_asset(), tells=False)], now=START)
    assert evidence.list_unsealed() == [finding for finding in applied.opened if finding.tells]
    evidence.seal_missing(evidence.list_unsealed(), Sources(), now=START)
    assert evidence.list_unsealed() == []


def test_when_the_disk_takes_nothing_the_finding_is_sealed_in_the_journal():
    home = Path(settings.DATA.evidence)
    away = home.with_name("evidence.away")
    shutil.move(home, away)
    home.write_text("a file where the directory should be")
    try:
        row = sealed()
    finally:
        home.unlink()
        shutil.move(away, home)
    bundle = evidence.load_bundle(EVERYTHING, row.pk)
    assert bundle["finding"]["rule"] == "probe-fails"
    assert "was not written" in bundle["missing"][0]["why"]
    assert verify_document(evidence.export_document(EVERYTHING, row.pk, now=START)).ok


def test_an_export_is_verified_without_the_server(tmp_path):
    row = sealed()
    for number in range(11):
        append("test.noise", actor="test", body={"n": number}, at=START)
    file = tmp_path / "evidence.json"
    evidence.export(EVERYTHING, row.pk, path=file, now=START)
    key = installation_signer().public_key
    verdict = verify(file, trusted_key=key)
    assert verdict.ok, verdict.says
    assert verdict.known_key
    assert row.sha256 in verdict.says
    assert not verify(file, trusted_key=bytes(32)).ok
    assert "Compare the key" in verify(file).says


def test_one_flipped_bit_anywhere_is_found():
    row = sealed()
    for number in range(6):
        append("test.noise", actor="test", body={"n": number}, at=START)
    document = evidence.export_document(EVERYTHING, row.pk, now=START)
    draw = random.Random(1)
    for place in range(len(document)):
        flipped = bytearray(document)
        flipped[place] ^= 1 << draw.randrange(8)
        verdict = verify_document(bytes(flipped))
        assert not verdict.ok, f"byte {place}: {document[max(0, place - 30) : place + 30]!r}"
        assert verdict.says.startswith("NOT as it was sealed")


def test_a_cut_or_longer_file_is_found():
    document = evidence.export_document(EVERYTHING, sealed().pk, now=START)
    for other in (b"", document[:-1], document + b"\n", document[: len(document) // 2], b"null\n", b"[]"):
        assert not verify_document(other).ok


def test_an_altered_file_on_the_server_is_refused():
    row = sealed()
    path = Path(settings.DATA.evidence) / f"{row.sha256}.json.zst"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(Trouble, match=row.sha256):
        evidence.load_bundle(EVERYTHING, row.pk)


def test_a_scope_does_not_see_the_evidence_of_others():
    row = sealed()
    with pytest.raises(Evidence.DoesNotExist):
        evidence.export_document(scope_for(make_asset().client), row.pk, now=START)


def test_what_a_crash_left_between_finding_and_seal_is_mended_by_the_first_tick():
    """With its sources, before anybody is told; once, and again a minute later for what came meanwhile."""
    make_channel()
    applied = apply([transition(make_asset(name="web-01"))], now=START)  # and here the process ends
    assert not Evidence.objects.exists() and not Alert.objects.exists()

    road = Road(Sources())
    now = START + timedelta(seconds=30)
    road.tick(now=now)
    row = Evidence.objects.get()
    assert row.finding_id == applied.opened[0].pk
    assert evidence.load_bundle(EVERYTHING, row.pk)["missing"] == []
    for seconds in range(1, 120, 10):
        road.tick(now=now + timedelta(seconds=seconds))
    told = Delivery.objects.get()
    assert row.sealed_at <= told.made_at and told.message["evidence"] == [row.pk]

    late = apply([transition(make_asset(name="web-02"), at=now)], now=now + timedelta(seconds=130)).opened[0]
    road.tick(now=now + timedelta(seconds=131) + MEND_EVERY)
    mended = Evidence.objects.get(finding=late)
    assert evidence.load_bundle(EVERYTHING, mended.pk)["missing"] == []
    assert Evidence.objects.count() == 2
