"""One capture of a device: its recipe's commands in turn, each output a snapshot or a problem in words."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

from forestall.collect.answers import Answer, NoAnswer, Number, Question
from forestall.collect.devices import ssh, telnet
from forestall.collect.devices.cleaning import Cleaned, clean, differing
from forestall.collect.devices.recipe import Command, Recipe
from forestall.collect.devices.session import Cut, Exec, Shell
from forestall.collect.masking import Masker
from forestall.kernel.observations import Snapshot

CONNECT_SHARE = 0.4  # of the time that a capture has
LEAST_S = 0.5  # with less time left a command is not begun
SPARE_S = 1.0


class Runner(Protocol):
    """Runs a command on a device."""

    async def run(self, command: str) -> list[str]:
        """The lines that it writes. Raises Cut."""
        ...


@dataclass(slots=True)
class Device:
    """Where a device is and how it is asked. `connect` is `ssh` or `telnet`."""

    recipe: Recipe
    address: str
    port: int
    place: str
    transport: str
    pin: ssh.Pin
    old_algorithms: bool


@dataclass(slots=True)
class Capture:
    """What came of it. `missing`: commands that were not asked any more."""

    texts: dict[str, Cleaned] = field(default_factory=dict)
    commands: dict[str, Command] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    unsaved_lines: int | None = None

    @property
    def problems(self) -> list[str]:
        """What is wrong, in words."""
        return [one.problem for one in self.texts.values() if one.problem]


async def capture(device: Device, question: Question, masker: Masker) -> Answer:
    """Ask the device. Raises NoAnswer, NotAsked when nothing was captured."""
    deadline = time.monotonic() + max(question.timeout_s - SPARE_S, question.timeout_s * 0.8)
    taken = Capture()
    async with _signed_in(device, question) as runner:
        await _ask_all(runner, device.recipe, masker, taken, deadline)
    return _answer(device, taken, question.now_ms())


@asynccontextmanager
async def _signed_in(device: Device, question: Question) -> AsyncIterator[Runner]:
    limit_s = question.timeout_s * CONNECT_SHARE
    question.doing(f"signing in to {device.place}")
    if device.transport == "telnet":
        async with telnet.connected(
            device.address, device.port, place=device.place, credential=question.credential, timeout_s=limit_s
        ) as line:
            yield await _shell(line, device, question)
        return
    async with ssh.connected(
        device.address,
        device.port,
        place=device.place,
        credential=question.credential,
        pin=device.pin,
        old=device.old_algorithms or device.recipe.old_algorithms,
        timeout_s=limit_s,
    ) as connection:
        if device.recipe.channel == "exec":
            yield Exec(lambda one: ssh.ask_exec(connection, one), device.recipe, device.place, question.doing)
        else:
            yield await _shell(await ssh.open_shell(connection, device.place), device, question)


async def _shell(line: "ssh.SshLine | telnet.TelnetLine", device: Device, question: Question) -> Shell:
    shell = Shell(line, device.recipe, device.place, question.doing)
    try:
        await shell.begin(enable=question.credential.get("enable", ""))
    except Cut as cut:
        raise NoAnswer(f"{device.place}: {cut}") from cut
    return shell


async def _ask_all(runner: Runner, recipe: Recipe, masker: Masker, taken: Capture, deadline: float) -> None:
    """Every command; what breaks the conversation ends it."""
    for place, command in enumerate(recipe.commands):
        taken.commands[command.kind] = command
        try:
            lines = await _run(runner, command.run, deadline)
        except Cut as cut:
            taken.texts[command.kind] = Cleaned("", f"{command.run!r} was cut short: {cut}")
            taken.missing = [one.kind for one in recipe.commands[place + 1 :]]
            return
        cleaned = await asyncio.to_thread(clean, lines, command, recipe, masker)
        if cleaned.problem and command.optional:
            continue
        taken.texts[command.kind] = cleaned
    await _look_for_unsaved(runner, recipe, taken, deadline)


async def _run(runner: Runner, command: str, deadline: float) -> list[str]:
    left_s = deadline - time.monotonic()
    if left_s < LEAST_S:
        raise Cut("no time was left for it")
    try:
        async with asyncio.timeout(left_s):
            return await runner.run(command)
    except TimeoutError:
        raise Cut(f"it was not whole after {left_s:.3g} s") from None


async def _look_for_unsaved(runner: Runner, recipe: Recipe, taken: Capture, deadline: float) -> None:
    """Whether what runs is what would start."""
    unsaved = recipe.unsaved
    if unsaved is None:
        return
    if unsaved.says is not None:
        try:
            lines = await _run(runner, unsaved.says.run, deadline)
        except Cut:
            return
        if any(recipe.matches(unsaved.says.unsaved, line) for line in lines):
            taken.unsaved_lines = 1
        elif any(recipe.matches(unsaved.says.saved, line) for line in lines):
            taken.unsaved_lines = 0
        return
    running, startup = taken.texts.get(unsaved.running), taken.texts.get(unsaved.startup)
    if running and startup and running.text and startup.text:
        taken.unsaved_lines = differing(running.text, startup.text, recipe)


def _answer(device: Device, taken: Capture, now_ms: int) -> Answer:
    numbers = [Number("device.host_key_changed", 0.0)] if device.transport == "ssh" else []
    if taken.unsaved_lines is not None:
        numbers.append(Number("device.unsaved_lines", float(taken.unsaved_lines)))
    snapshots = [
        Snapshot(
            at_ms=now_ms,
            kind=kind,
            title=taken.commands[kind].title,
            text=one.text,
            problem=one.problem[:1024],
        )
        for kind, one in taken.texts.items()
    ]
    said = [f"{kind}: {one.problem or f'{len(one.lines)} lines'}" for kind, one in taken.texts.items()] + [
        f"{kind}: not asked any more" for kind in taken.missing
    ]
    raw = "\n".join([f"{device.recipe.title} at {device.place}, {device.pin.shown or 'no host key'}", *said])
    if taken.problems:
        more = f"; not asked any more: {', '.join(taken.missing)}" if taken.missing else ""
        return Answer(False, "; ".join(taken.problems) + more, raw, numbers, snapshots=snapshots)
    whole = sum(len(one.lines) for one in taken.texts.values())
    reason = f"{device.place} gave {', '.join(taken.texts)}: {whole} lines"
    if taken.unsaved_lines:
        reason += "; what runs is not what would start (unsaved)"
    return Answer(True, reason, raw, numbers, snapshots=snapshots)
