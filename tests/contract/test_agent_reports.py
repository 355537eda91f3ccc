"""`forestall report` and the agent's page on its machine, against a real web process: the machine is
attached, a report waits while the server is away and comes once."""

import re
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from urllib.parse import urlencode

import httpx
import pytest

from contract.daemons import free_port
from contract.test_agent_life import agent, server, until
from forestall.collect.agent.enrol import enrol
from forestall.collect.agent.identity import read_identity
from forestall.collect.agent.report_page import ReportPage
from forestall.collect.agent.reporting import PATH, WAITING_MOST, Report, Reports, Unsent
from forestall.collect.agent.sign import sign
from forestall.kernel.errors import Trouble

CONSOLE = "from forestall.processes.cli import app; app()"


def tickets(data: Path) -> list[tuple[str, str, str, int]]:
    with closing(sqlite3.connect(data / "forestall.db")) as connection:
        rows = connection.execute(
            "SELECT t.title, t.came_by, a.id, t.priority FROM tickets_ticket t "
            "JOIN estate_asset a ON a.id = t.asset_id ORDER BY t.number"
        )
        return list(rows)


def shell(directory: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", CONSOLE, "report", *words, "--data", str(directory)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_reports_of_people_at_a_machine(tmp_path: Path) -> None:
    data, place, port, page_port = tmp_path / "server", tmp_path / "machine", free_port(), free_port()
    here = place / "agent"
    with server(data, port) as token:
        asset = enrol(here, url=f"http://127.0.0.1:{port}", token=token).asset
        done = shell(place, "The till is dark.\nSince nine.", "--name", "Pat")
        assert (done.returncode, done.stdout) == (0, "thank you: it is ticket #1\n"), done.stderr
        assert tickets(data) == [("The till is dark.", "agent", asset, 4)]
        assert shell(place, " ").returncode == 1
        page = ReportPage(here, 0)
        page.start()
        _by_the_page(page, data)
        _by_strangers(page, here, port, data)
        page.shutdown()
        page.server_close()
    reports = Reports(here)  # the server is away
    assert reports.known() is None
    away = shell(place, "The printer eats paper.")
    assert away.returncode == 1 and "kept here and sent" in away.stderr
    (waiting,) = reports.waiting()
    same = waiting.read_bytes()
    with pytest.raises(Unsent):
        reports.send()
    (here / "agent.toml").write_text(f"[report]\nport = {page_port}\n")
    with server(data, port):
        with agent(here) as process:  # the agent sends what waits, and has the page
            until(lambda: not reports.waiting(), "the report was sent")
            until(lambda: _answers(page_port), "the agent has a page")
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=60)
        waiting.write_bytes(same)  # as after a crash between the answer and the removal
        assert list(reports.send().values()) == [3]
        assert [title for title, *_ in tickets(data)] == [
            "The till is dark.", "<b>Scale</b> shows nothing", "The printer eats paper.",
        ]  # fmt: skip
    for number in range(WAITING_MOST):
        reports.keep(Report(text=f"{number}"))
    with pytest.raises(Trouble, match="wait here"):
        reports.keep(Report(text="one more"))


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/").status_code == 200
    except httpx.HTTPError:
        return False


def _by_the_page(page: ReportPage, data: Path) -> None:
    shown = httpx.get(page.address)
    assert "In your own words" in shown.text and "Nobody here can work" in shown.text
    assert "default-src 'none'" in shown.headers["content-security-policy"]
    word = re.search(r'name="word" value="([^"]+)"', shown.text)
    assert word
    given = {"word": word[1], "text": "<b>Scale</b> shows nothing", "how_bad": "all", "name": "Pat"}
    said = httpx.post(page.address, data=given)
    assert said.status_code == 200 and "it is ticket #2" in said.text
    assert tickets(data)[-1][3] == 1, "the whole client cannot work"
    assert httpx.post(page.address, data=given | {"text": "x" * 6000}).status_code == 422
    assert httpx.post(page.address, content=urlencode(given | {"text": "x" * 70_000})).status_code == 413


def _by_strangers(page: ReportPage, here: Path, port: int, data: Path) -> None:
    """Who is another page, another name, or no agent, gets nothing."""
    before = tickets(data)
    assert httpx.post(page.address, data={"text": "x", "word": "guessed"}).status_code == 403
    given = {"text": "x", "word": page.word}
    elsewhere = {"origin": "https://elsewhere.example"}
    assert httpx.post(page.address, data=given, headers=elsewhere).status_code == 403
    assert httpx.get(page.address, headers={"host": "rebound.example"}).status_code == 404
    address = f"http://127.0.0.1:{port}{PATH}"
    assert httpx.get(address).status_code == 401
    who = read_identity(here)

    def signed(body: bytes) -> httpx.Response:
        at_ms = time.time_ns() // 1_000_000
        claim = sign(
            who.private_key, collector=who.collector, method="POST", path=PATH, body=body, at_ms=at_ms
        )
        return httpx.post(address, content=body, headers={"authorization": claim})

    assert signed(b"{}").status_code == 400
    assert signed(b'{"id": "../x", "text": "x"}').status_code == 422
    assert signed(b" " * 70_000).status_code == 413
    assert tickets(data) == before
