"""A client of a running installation is deleted: its lines, its rows, its bytes in the database's file."""

import json
import os
import socket
from pathlib import Path

import pytest

from e2e.installation import Installation, installed, poll
from forestall.keeping.certificate import check

pytestmark = pytest.mark.e2e

MARK = "Hollyhock-Veterinary"
ROWS = """
from forestall.telemetry.client import Store
store = Store("127.0.0.1", {port}, password=found.data.key("store").hex())
return int(store.select("SELECT count() FROM forestall.lines WHERE message LIKE '%{mark}%'")[0][0])
"""


def lines_of(place: Installation) -> int:
    return int(place.desk.ask(ROWS.format(port=place.port("store"), mark=MARK)))


def test_a_client_goes_with_its_lines_and_its_bytes(tmp_path: Path) -> None:
    with installed(tmp_path / "first") as place:
        client = place.cli("client", "add", MARK).strip()
        place.cli("asset", "add", f"{MARK}-server", "--client", client, "--address", "127.0.0.9")
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as wire:
            wire.bind(("127.0.0.9", 0))
            wire.connect(("127.0.0.1", place.port("syslog")))
            for number in range(200):
                wire.sendall(f"<13>1 - h app - - - {MARK} line {number}\n".encode())
        poll(lambda: lines_of(place) == 200, within_s=60, what="the lines of the client")
        names = [path.name for path in place.data.glob("forestall.db*")]
        assert any(MARK.encode() in (place.data / name).read_bytes() for name in names)

        said = json.loads(place.cli("client", "delete", client, "--confirm", MARK, "--json"))
        assert lines_of(place) == 0
        for name in names:
            assert MARK.encode() not in (place.data / name).read_bytes(), f"its bytes are still in {name}"
        proof = tmp_path / "proof.json"
        place.cli("client", "deletion-proof", client, str(proof))
        stated = check(json.loads(proof.read_text()))
        assert stated["client"] == client and stated["telemetry"]["before"]["logs"] == 200
        assert json.loads(proof.read_text())["seq"] == said["proof_seq"]
        assert MARK not in proof.read_text() and os.stat(proof).st_size > 500
