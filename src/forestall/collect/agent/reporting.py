"""Reports of the people at a machine, by its agent: kept on the disk first, sent over the agent's own signed
connection, and again while the server does not answer. The server takes a report of one identifier once."""

import json
import os
import secrets
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import httpx
import msgspec

from forestall import __version__
from forestall.collect.agent.identity import read_identity
from forestall.collect.agent.sending import NEVER_TAKEN, say_failure
from forestall.collect.agent.settings import read_settings
from forestall.collect.agent.sign import sign
from forestall.collect.agent.way_out import proxy_for, trust
from forestall.kernel.durable import make_directory, sync_directory
from forestall.kernel.errors import Trouble

PATH = "/agent/v1/report"
DIRECTORY = "reports"
TEXT_MAX_CHARS = 5_000
NAME_MAX_CHARS = 120
WAITING_MOST = 50
ANSWER_S = 20.0
AGAIN_EVERY_S = 30.0
KNOWN_MOST = 20


class Known(msgspec.Struct, frozen=True):
    """What the server says to who is about to report: whose portal it is, how bad things can be (word → in
    words), trouble that is known already."""

    provider: str = ""
    machine: str = ""
    how_bad: dict[str, str] = {}
    known: list[str] = []


class Taken(msgspec.Struct, frozen=True):
    """The number of the ticket."""

    ticket: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What somebody says. `how_bad` "" leaves it to the server; `email` is how the answer finds them."""

    text: str
    how_bad: str = ""
    name: str = ""
    email: str = ""
    id: str = field(default_factory=lambda: secrets.token_hex(12))


class Reports:
    """The reports of a machine whose agent lives in `directory`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._waiting = directory / DIRECTORY

    def known(self) -> Known | None:
        """What is known already; None while the server does not answer."""
        try:
            answer = self._ask("GET", b"")
            answer.raise_for_status()
            return msgspec.json.decode(answer.content, type=Known)
        except (httpx.HTTPError, msgspec.MsgspecError):
            return None

    def keep(self, report: Report) -> None:
        """Durably, until it is sent. Raises Trouble for an empty or too long one, or when too many wait."""
        if not report.text.strip():
            raise Trouble("a report needs a few words", "Write what is wrong, as you would say it.")
        if len(report.text) > TEXT_MAX_CHARS:
            raise Trouble(f"a report has at most {TEXT_MAX_CHARS} characters", "Shorten it.")
        if max(len(report.name), len(report.email)) > NAME_MAX_CHARS:
            raise Trouble(f"a name has at most {NAME_MAX_CHARS} characters", "Shorten it.")
        if len(self.waiting()) >= WAITING_MOST:
            raise Trouble(f"{WAITING_MOST} reports wait here to be sent", "Ring whoever looks after you.")
        make_directory(self._waiting)
        fresh = self._waiting / f".new.{report.id}"
        with fresh.open("wb") as file:
            file.write(json.dumps(asdict(report)).encode())
            file.flush()
            os.fsync(file.fileno())
        fresh.rename(self._waiting / f"{time.time_ns()}-{report.id}.json")
        sync_directory(self._waiting)

    def waiting(self) -> list[Path]:
        """Files of reports that were not sent yet, oldest first."""
        return sorted(self._waiting.glob("*.json"))[: WAITING_MOST * 2]

    def send(self) -> dict[str, int]:
        """Send what waits, oldest first: identifier → number of its ticket. What the server does not answer
        stays. Raises Trouble for one that the server will never take; it is put aside as `….refused`."""
        sent: dict[str, int] = {}
        for path in self.waiting():
            try:
                body = path.read_bytes()
            except FileNotFoundError:  # another process sent it meanwhile
                continue
            try:
                answer = self._ask("POST", body)
            except httpx.HTTPError as error:
                raise Unsent(f"the server does not answer: {say_failure(error)}") from error
            if answer.status_code in NEVER_TAKEN:
                path.rename(path.with_suffix(".refused"))
                raise Trouble(
                    f"the server refused the report: {_said(answer)}", "Ring whoever looks after you."
                )
            if not answer.is_success:
                raise Unsent(f"the server answered {answer.status_code}: {_said(answer)}")
            sent[str(json.loads(body)["id"])] = msgspec.json.decode(answer.content, type=Taken).ticket
            path.unlink(missing_ok=True)
        return sent

    def _ask(self, method: str, body: bytes) -> httpx.Response:
        who = read_identity(self._directory)
        at_ms = time.time_ns() // 1_000_000
        claim = sign(
            who.private_key, collector=who.collector, method=method, path=PATH, body=body, at_ms=at_ms
        )
        own = str(read_settings(self._directory).get("proxy", ""))
        with httpx.Client(
            timeout=ANSWER_S, trust_env=False, verify=trust(who.ca), proxy=proxy_for(who.url, own=own)
        ) as http:
            headers = {"authorization": claim, "user-agent": f"forestall-agent/{__version__}",
                       "content-type": "application/json"}  # fmt: skip
            return http.request(method, f"{who.url}{PATH}", content=body, headers=headers)


class Unsent(Trouble):
    """The server could not be reached now; the report waits."""

    def __init__(self, what: str) -> None:
        super().__init__(what, "It is kept here and sent as soon as the server answers.")


def _said(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["title"])[:300]
    except (ValueError, KeyError, TypeError):
        return answer.text[:300]
