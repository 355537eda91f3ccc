"""An SSH server that plays recorded devices (tests/recordings/devices): echo, prompt, pager, what varies.

It can also play what goes wrong: a connection that ends in the middle, a missing end, a refusal.
"""

import asyncio
import itertools
import random
import re
import string
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncssh
import yaml

HOME = Path(__file__).parents[1] / "recordings" / "devices"
USER, PASSWORD = "reader", "r3ader-Login-4471"
_PLACE = re.compile(r"\{\{(\w+)\}\}")


@dataclass
class Faults:
    """What goes wrong. `cut`: a command after half of whose output the connection ends; `unfinished`: one
    whose last third is missing though the prompt comes; `refused`: one that the device does not allow;
    `pages`: the device pages whatever it is told."""

    cut: str = ""
    unfinished: str = ""
    refused: str = ""
    pages: bool = False


@dataclass
class Recording:
    """A device as it was recorded."""

    name: str
    given: dict[str, Any]
    picker: random.Random = field(default_factory=lambda: random.Random(7))
    counter: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    @property
    def is_exec(self) -> bool:
        """Whether it answers each command on a channel of its own."""
        return bool(self.given.get("channel") == "exec")

    def fill(self, text: str, command: str = "") -> str:
        """The text with what varies filled in anew."""

        def value(match: re.Match[str]) -> str:
            pick = self.picker
            match match[1]:
                case "clock":
                    hour, minute, second = pick.randrange(24), pick.randrange(60), pick.randrange(60)
                    return f"{hour:02}:{minute:02}:{second:02} Mon Nov 23 2026"
                case "number":
                    return str(pick.randrange(100, 999))
                case "random":
                    return "".join(pick.choice(string.hexdigits) for _ in range(16))
                case "command":
                    return command
                case "argument":
                    return command.partition(" ")[2]
                case "count":
                    return str(next(self.counter))
            raise AssertionError(f"{self.name}: nothing fills {match[0]}")

        return _PLACE.sub(value, text)

    def answer(self, command: str, faults: Faults) -> str:
        """What the device writes to a command."""
        text = self.given["answers"].get(command)
        if text is None or command == faults.refused:
            return self.fill(self.given["refusal"], command)
        filled = self.fill(text, command)
        if command == faults.unfinished:
            lines = filled.splitlines()
            kept = lines[: len(lines) * 2 // 3]
            return "\n".join([*kept[:-1], kept[-1][: len(kept[-1]) // 2]]) + "\n"
        return filled


def recording(name: str) -> Recording:
    """A recorded device."""
    return Recording(name, yaml.safe_load((HOME / f"{name}.yaml").read_text()))


def recorded() -> list[str]:
    """All of them."""
    return sorted(path.stem for path in HOME.glob("*.yaml"))


class _Server(asyncssh.SSHServer):
    """Lets one user in by password."""

    def __init__(self, password: str) -> None:
        self.password = password

    def begin_auth(self, username: str) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return (username, password) == (USER, self.password)


class _Interactive(_Server):
    """Asks in keyboard-interactive alone."""

    def password_auth_supported(self) -> bool:
        return False

    def kbdint_auth_supported(self) -> bool:
        return True

    def get_kbdint_challenge(self, username: str, lang: str, submethods: str) -> Any:
        return "", "", "", [("Password: ", False)]

    def validate_kbdint_response(self, username: str, responses: list[str]) -> bool:
        return (username, responses) == (USER, [self.password])


class _Ended(Exception):
    """The connection is ended in the middle."""


class Shell:
    """One session of a device's shell."""

    def __init__(self, process: Any, device: Recording, faults: Faults) -> None:
        self.process, self.device, self.faults = process, device, faults
        self.raised = "user_prompt" not in device.given
        self.paging = "pager" in device.given
        self.pending = ""

    def write(self, text: str) -> None:
        self.process.stdout.write(text.replace("\r\n", "\n").replace("\n", "\r\n"))

    async def key(self) -> str:
        """One key."""
        while not self.pending:
            data = await self.process.stdin.read(1024)
            if not data:
                raise _Ended
            self.pending += data
        key, self.pending = self.pending[0], self.pending[1:]
        return key

    async def line(self, *, echo: bool = True) -> str:
        typed = ""
        while (key := await self.key()) not in "\r\n":
            typed += key
            if echo:
                self.process.stdout.write(key)
        self.process.stdout.write("\r\n")
        return typed

    def prompt(self) -> str:
        given = self.device.given
        return self.device.fill(given["prompt"] if self.raised else given["user_prompt"])

    async def run(self) -> None:
        given = self.device.given
        self.write(self.device.fill(given.get("login", "")))
        if given.get("press"):
            await self.key()
        while True:
            self.process.stdout.write(given.get("redraw", "") + self.prompt())
            command = (await self.line()).strip()
            if command == "enable" and not self.raised:
                self.process.stdout.write("Password: ")
                self.raised = await self.line(echo=False) == given["enable"]
                if not self.raised:
                    self.write("% Access denied\n")
            elif command == given.get("pager_off"):
                self.paging = self.paging and self.faults.pages
            elif command and not command.startswith(("terminal width", "terminal pager")):
                await self.show(command)

    async def show(self, command: str) -> None:
        text = self.device.answer(command, self.faults)
        if command == self.faults.cut:
            self.write(text[: len(text) // 2])
            raise _Ended
        pager = self.device.given.get("pager")
        lines = text.splitlines(keepends=True)
        size = pager["lines"] if pager and self.paging else len(lines) or 1
        for begin in range(0, len(lines), size):
            self.write("".join(lines[begin : begin + size]))
            if begin + size < len(lines) and pager:
                self.process.stdout.write(pager["more"])
                if await self.key() == "q":
                    return
                self.process.stdout.write(pager["erase"])


@asynccontextmanager
async def playing(
    device: Recording,
    faults: Faults | None = None,
    *,
    interactive: bool = False,
    key: Any = None,
    port: int = 0,
    password: str = PASSWORD,
    **options: Any,
) -> AsyncIterator[int]:
    """The port on loopback at which the device answers."""
    wrong = faults or Faults()

    async def session(process: Any) -> None:
        try:
            if process.command is not None:
                text = device.answer(process.command, wrong)
                failed = process.command not in device.given["answers"] or process.command == wrong.refused
                if process.command == wrong.cut:
                    process.stdout.write(text[: len(text) // 2])
                    raise _Ended
                (process.stderr if failed else process.stdout).write(text)
                process.exit(1 if failed else 0)
            else:
                await Shell(process, device, wrong).run()
        except (_Ended, asyncssh.Error, OSError):
            await asyncio.sleep(0)
            process.channel.get_connection().abort() if wrong.cut else process.exit(0)

    server = await asyncssh.create_server(
        lambda: (_Interactive if interactive else _Server)(password), "127.0.0.1", port,
        server_host_keys=[key or asyncssh.generate_private_key("ssh-ed25519")],
        process_factory=session, line_editor=False, **options,
    )  # fmt: skip
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()
