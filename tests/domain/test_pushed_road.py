"""From a ping, or another program's alert, to the finding that a person sees, and to its end."""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async

from estate_factories import EVERYTHING, START, make_asset, make_client, make_person
from forestall.alerts.models import Evidence
from forestall.estate.access import make_token
from forestall.estate.models import Asset
from forestall.estate.values import Role
from forestall.findings.models import Finding
from forestall.intake.decode import DecodeState, decode
from forestall.intake.doors import Desk, DoorAnswer, DoorRequest, load_doors
from forestall.intake.heartbeats import add_heartbeat, secret_of
from forestall.intake.queries import load_directory
from forestall.intake.segments import Position
from forestall.intake.values import Rejection
from forestall.judge.judge import Judge
from forestall.judge.pack import load_packs
from forestall.judge.shelf import builtin_packs
from forestall.processes.judging import Judging
from forestall.processes.road import Road
from road_factories import Sources

pytestmark = pytest.mark.django_db

ALERT = {
    "labels": {"alertname": "DiskFull", "instance": "srv1:9100"},
    "annotations": {"summary": "it is full"},
}


class World:
    """Doors, decoding, judging and findings of one installation, on a clock of its own."""

    def __init__(self) -> None:
        self.at = START
        self.frames: list[bytes] = []
        self.rejected: list[Rejection] = []
        self.judging = Judging(Judge(load_packs(builtin_packs())), Road(Sources()), self)
        self.desk = Desk(queue=self, clock=self, ask=self._ask, reject=self.rejected.append)

    def now(self) -> datetime:
        return self.at

    async def append_async(self, frame: bytes) -> None:
        self.frames.append(frame)

    async def _ask(self, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        return await sync_to_async(function, thread_sensitive=True)(*args, **kwargs)

    def send(
        self, door: str, path: str, body: bytes = b"", method: str = "POST", **headers: str
    ) -> DoorAnswer:
        """One request, and what becomes of it on the road."""
        named: Mapping[str, str] = {name.replace("_", "-"): text for name, text in headers.items()}
        request = DoorRequest(method, path, {}, named, body, "10.0.0.1")
        answer: DoorAnswer = async_to_sync(load_doors()[door].answer)(request, self.desk)
        frames = [(Position(1, number), frame) for number, frame in enumerate(self.frames)]
        self.frames.clear()
        if frames:
            self.judging.step(decode(frames, load_directory(EVERYTHING, self), DecodeState()))
        return answer

    def wait(self, **time: float) -> None:
        """Time passes, with a tick every half minute."""
        end = self.at + timedelta(**time)
        while self.at < end:
            self.at = min(end, self.at + timedelta(seconds=30))
            self.judging.tick(round(self.at.timestamp() * 1000))


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def server() -> Asset:
    return make_asset(make_client(), "srv1")


def standing() -> list[tuple[str, str, str]]:
    """Findings that are not over."""
    return [(row.rule, row.item, row.state) for row in Finding.objects.filter(ended_at=None).order_by("rule")]


def test_a_heartbeat_from_its_first_ping_to_its_silence(world: World, server: Asset) -> None:
    beat = add_heartbeat(EVERYTHING, asset=server, name="nightly", period_s=3600, grace_s=600)
    address = f"/ping/{secret_of(beat)}"
    world.wait(hours=2)
    assert standing() == []  # it was never heard: it waits
    assert world.send("heartbeat", address, method="GET").body == b"OK"
    world.wait(minutes=50)
    assert standing() == []
    world.send("heartbeat", f"{address}/1", b"copying\nno space left on device\n")
    assert standing() == [("heartbeat-failed", "heartbeat nightly", "out_of_spec")]
    (finding,) = Finding.objects.all()
    assert finding.asset_id == server.pk
    assert finding.reason == "heartbeat nightly: it failed (exit status 1): no space left on device"
    assert finding.answer == "copying\nno space left on device\n"
    assert Evidence.objects.filter(finding=finding).exists()
    world.send("heartbeat", f"{address}/0")
    assert standing() == [("heartbeat-failed", "heartbeat nightly", "out_of_spec")]  # the same instant
    world.wait(minutes=1)
    world.send("heartbeat", f"{address}/0")
    assert standing() == []
    world.wait(minutes=72)
    assert standing() == [("heartbeat-silent", "heartbeat nightly", "silent")]
    world.send("heartbeat", address, method="HEAD")
    assert standing() == []


def test_a_run_that_does_not_end(world: World, server: Asset) -> None:
    beat = add_heartbeat(EVERYTHING, asset=server, name="nightly", period_s=86_400, grace_s=600)
    address = f"/ping/{secret_of(beat)}"
    world.send("heartbeat", f"{address}/start")
    world.wait(minutes=9)
    assert standing() == []
    world.wait(minutes=3)
    assert standing() == [("heartbeat-stuck", "heartbeat nightly", "silent")]
    world.send("heartbeat", address)
    assert standing() == []
    world.wait(minutes=30)
    assert standing() == []


def test_an_alert_of_another_program_finds_its_asset_and_ends(world: World, server: Asset) -> None:
    owner = make_person(role=Role.OWNER)
    _, token = make_token(owner, name="prometheus", may=["intake"], client=server.client_id)

    def alert(**more: object) -> DoorAnswer:
        body = json.dumps([ALERT | more]).encode()
        return world.send("alertmanager", "/api/v2/alerts", body, authorization=f"Bearer {token}")

    assert alert().status == 200
    item = 'alertmanager DiskFull{instance=":9100"}'
    assert standing() == [("alert-firing", item, "out_of_spec")]
    finding = Finding.objects.get()
    assert (finding.asset_id, finding.reason) == (server.pk, f"{item}: it is full")
    for _ in range(3):
        world.wait(minutes=20)
        alert()
    assert standing() == [("alert-firing", item, "out_of_spec")]
    world.wait(minutes=1)
    alert(endsAt=(world.at - timedelta(seconds=1)).isoformat())
    assert standing() == []
    world.wait(minutes=1)
    alert()
    world.wait(minutes=33)
    assert standing() == []  # it was not renewed
    assert Finding.objects.count() == 2
