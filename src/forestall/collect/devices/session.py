"""A conversation with a device's shell: waits for prompts, answers its pager, bounded in bytes and time."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from forestall.collect.answers import NoAnswer, NotAsked
from forestall.collect.devices.cleaning import output_of, plain_text
from forestall.collect.devices.recipe import Recipe

OUTPUT_MAX_BYTES = 4 << 20  # of one command
PAGES_MAX = 20_000
SETTLE_S = 0.3  # a line that looks like a prompt is one when nothing follows it for so long
OTHER_PROMPT_S = 2.0  # a prompt that is not the learned one (the name was changed) must stand longer
IDLE_S = 20.0
LOGIN_S = 20.0
TAIL_CHARS = 512
PIECE_BYTES = 64 << 10
_REFUSED = re.compile(
    r"(?i)(?:login|password|authentication) (?:is )?(?:invalid|incorrect|failed)"
    r"|% ?bad (?:passwords|secrets)|access denied"
)


class Cut(Exception):
    """The output of a command ended before it was whole; the text says how."""


class Line(Protocol):
    """A connection to a device, as bytes. `read` gives b"" at the end."""

    async def read(self, most: int) -> bytes:
        """Some bytes, as soon as there are any."""
        ...

    def write(self, data: bytes) -> None:
        """Send."""
        ...


@dataclass(slots=True)
class Shell:
    """A device's shell. `place` is where it is, for people; `doing` is told what is waited for."""

    line: Line
    recipe: Recipe
    place: str
    doing: Callable[[str], None]
    prompt: str = ""

    async def begin(self, *, enable: str) -> None:
        """From the connection to the prompt with which commands are answered. Raises NoAnswer, NotAsked."""
        self.doing(f"waiting for the prompt of {self.place}")
        self.prompt = await self._first_prompt()
        need = self.recipe.enable
        if need is not None and self.recipe.matches(need.at, self.prompt):
            await self._enable(enable)
        for command in self.recipe.prepare:
            await self.run(command)

    async def _first_prompt(self) -> str:
        text = ""
        pressed = 0
        try:
            async with asyncio.timeout(LOGIN_S):
                while True:
                    text = (text + await self._read_settled(text))[-OUTPUT_MAX_BYTES:]
                    last = _last_line(text)
                    if (
                        self.recipe.press
                        and pressed < 3
                        and self.recipe.matches(self.recipe.press, _tail(text))
                    ):
                        pressed += 1
                        text = ""
                        self._send("")
                    elif _REFUSED.search(_tail(plain_text(text))):
                        raise NotAsked(
                            f"{self.place} refuses the user or the password: correct the credential"
                        )
                    elif self._looks_like_prompt(last):
                        return last
        except TimeoutError:
            raise NoAnswer(
                f"{self.place} shows no prompt within {LOGIN_S:.0f} s: is it really {self.recipe.title}?",
                raw=_tail(plain_text(text)),
            ) from None
        except Cut as cut:
            raise NoAnswer(f"{self.place}: {cut}", raw=_tail(plain_text(text))) from None

    async def _enable(self, password: str) -> None:
        need = self.recipe.enable
        assert need is not None
        if not password:
            raise NotAsked(
                f"{self.place} lets this user read its configuration only after {need.run!r}: add the enable "
                "password to the credential, or give the user the rights"
            )
        self.doing(f"raising the rights at {self.place}")
        self._send(need.run)
        text = ""
        asked = False
        try:
            async with asyncio.timeout(LOGIN_S):
                while True:
                    text += await self._read_settled(text)
                    last = _last_line(text)
                    if not asked and self.recipe.matches(need.asks, last):
                        asked, text = True, ""
                        self._send(password)
                    elif self._looks_like_prompt(last) or (asked and self.recipe.matches(need.asks, last)):
                        break
        except (TimeoutError, Cut):
            raise NoAnswer(f"{self.place} does not answer {need.run!r}") from None
        if self.recipe.matches(need.at, last) or self.recipe.matches(need.asks, last):
            raise NotAsked(f"{self.place} refuses the enable password: correct the credential")
        self.prompt = last

    async def run(self, command: str) -> list[str]:
        """The lines that a command writes. Raises Cut when they end before the next prompt."""
        self.doing(f"waiting for {command!r} of {self.place}")
        self._send(command)
        data = bytearray()
        pages = seen = 0
        while True:
            piece = await self._read(IDLE_S, so_far=len(data))
            data += piece
            tail = data[-TAIL_CHARS:].decode(errors="replace")
            last = _last_line(tail)
            if last.strip() == self.prompt.strip() and len(data) > len(self.prompt):
                break
            if self.recipe.more and len(data) > seen and self.recipe.matches(self.recipe.more, last):
                pages, seen = pages + 1, len(data)
                if pages > PAGES_MAX:
                    raise Cut(f"{command!r} wrote more than {PAGES_MAX} pages")
                self.line.write(self.recipe.more_key.encode())
            elif self._looks_like_prompt(last) and await self._stands(data):
                break
        text = data.decode("utf-8", errors="replace")
        return output_of(text, command=command, prompt=_last_line(text), recipe=self.recipe)

    async def _stands(self, data: bytearray) -> bool:
        """Whether nothing follows what looks like another prompt; what follows is added."""
        before = len(data)
        wait_s = OTHER_PROMPT_S if self.recipe.same_prompt else SETTLE_S
        try:
            async with asyncio.timeout(wait_s):
                data += await self.line.read(PIECE_BYTES)
        except TimeoutError:
            return True
        if len(data) == before:
            raise Cut("the device ended the connection")
        return False

    async def _read(self, idle_s: float, *, so_far: int) -> bytes:
        if so_far > OUTPUT_MAX_BYTES:
            raise Cut(f"it wrote more than {OUTPUT_MAX_BYTES >> 20} MB")
        try:
            async with asyncio.timeout(idle_s):
                piece = await self.line.read(PIECE_BYTES)
        except TimeoutError:
            raise Cut(
                f"the device stopped after {so_far} bytes and showed no prompt for {idle_s:.0f} s"
            ) from None
        except (OSError, EOFError) as error:
            raise Cut(f"the connection broke after {so_far} bytes: {error}") from None
        if not piece:
            raise Cut(f"the device ended the connection after {so_far} bytes")
        return piece

    async def _read_settled(self, before: str) -> str:
        """What comes until nothing follows for SETTLE_S."""
        text = (await self._read(LOGIN_S, so_far=len(before))).decode(errors="replace")
        while len(before) + len(text) < OUTPUT_MAX_BYTES:
            try:
                async with asyncio.timeout(SETTLE_S):
                    piece = await self.line.read(PIECE_BYTES)
            except TimeoutError:
                return text
            if not piece:
                raise Cut("the device ended the connection")
            text += piece.decode(errors="replace")
        raise Cut("the device does not stop writing before it shows a prompt")

    def _looks_like_prompt(self, line: str) -> bool:
        return self.recipe.compiled[self.recipe.prompt].fullmatch(line[-200:]) is not None

    def _send(self, text: str) -> None:
        self.line.write((text + self.recipe.newline).encode())


@dataclass(slots=True)
class Exec:
    """A device that answers each command on a channel of its own. `ask` gives exit status and output."""

    ask: Callable[[str], Awaitable[tuple[int | None, str, str]]]
    recipe: Recipe
    place: str
    doing: Callable[[str], None]

    async def run(self, command: str) -> list[str]:
        """The lines of a command's output; what it says on standard error comes first when it says nothing
        else. Raises Cut."""
        self.doing(f"waiting for {command!r} of {self.place}")
        status, output, errors = await self.ask(command)
        text = output if output.strip() else errors
        if status is None and not text.strip():
            raise Cut("the device ended the connection")
        return [line.rstrip() for line in plain_text(text).split("\n")]


def _last_line(text: str) -> str:
    """The line at the end, as a terminal shows it."""
    return plain_text(text[-TAIL_CHARS:]).rpartition("\n")[2].strip("\x07")


def _tail(text: str) -> str:
    return re.sub(r"\s+", " ", text[-TAIL_CHARS:]).strip()
