"""Roles are killed in random order while a real rsyslogd and an enrolled agent send numbered lines: the store
has every acknowledged line, and none twice."""

import random
import re
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from contract.test_intake_relp import WINDOW, rsyslogd
from e2e.installation import installed, poll
from e2e.killing import kill_at_random
from e2e.load import AGENT_NAME, AgentLoad, count_lines

pytestmark = pytest.mark.e2e

KILLS = 12
LINES_A_STEP = 20
NUMBERS = """
from forestall.telemetry.client import Store
store = Store("127.0.0.1", {port}, password=found.data.key("store").hex())
rows = store.select("SELECT message FROM forestall.lines WHERE message LIKE '%numbered % of the test'")
return [str(row[0]) for row in rows]
"""


class Writer(threading.Thread):
    """Writes numbered lines into the file that rsyslogd follows."""

    def __init__(self, path: Path) -> None:
        super().__init__(daemon=True)
        self._path = path
        self._stop_it = threading.Event()
        self.sent = 0

    def run(self) -> None:
        with self._path.open("ab", buffering=0) as log:
            while not self._stop_it.wait(0.1):
                numbers = range(self.sent, self.sent + LINES_A_STEP)
                log.write(b"".join(b"numbered %d of the test\n" % number for number in numbers))
                self.sent += LINES_A_STEP

    def finish(self) -> None:
        self._stop_it.set()
        self.join(10)


def test_every_line_is_there_once_although_roles_are_killed(tmp_path: Path) -> None:
    with installed(tmp_path / "data") as up, rsyslogd(tmp_path / "r", up.port("relp")) as path:
        writer = Writer(path)
        agent = AgentLoad(up, tmp_path / "agent", client="Our own network", lines=10, every_s=0.1)
        writer.start()
        agent.start()
        killed = kill_at_random(up, random.Random(3), kills=KILLS, pause_s=0.5)
        writer.finish()
        of_agent = agent.finish(60)
        found: list[int] = []
        deadline = time.monotonic() + 90
        with path.open("ab", buffering=0) as log:
            while len(set(found)) < writer.sent and time.monotonic() < deadline:
                log.write(b"and on\n")  # rsyslogd sees that a connection is dead when it has more to send
                time.sleep(1)
                try:
                    texts = up.desk.ask(NUMBERS.format(port=up.port("store")))
                except AssertionError:
                    continue  # the store is just started again
                found = [int(match[1]) for text in texts if (match := re.search(r"numbered (\d+)", text))]
        poll(
            lambda: count_lines(up, AGENT_NAME, of_agent)[3] == of_agent,
            within_s=60,
            what=f"{of_agent} lines of the agent, all acknowledged",
        )
        assert agent.waiting_lines == 0
        assert count_lines(up, AGENT_NAME, of_agent)[0] == of_agent, "a line of the agent is there twice"
    times = Counter(found)
    assert sorted(times) == list(range(writer.sent)), f"{len(times)} of {writer.sent}, killed: {killed}"
    copies = [number for number, count in times.items() if count > 1]
    # A window's worth would come twice each time. (rsyslogd 8.2302 may send the first line of a batch again
    # that was acknowledged long ago: docs/decisions/0011-listeners.md.)
    assert len(copies) <= killed["watch"] < WINDOW, copies
