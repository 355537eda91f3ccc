"""Plays recorded answers of another platform's commands to a look, through the look's own commands."""

from collections.abc import Container, Mapping, Sequence
from pathlib import Path

from forestall.collect.masking import Masker
from forestall.collect.platforms import windows
from forestall.collect.viewing import NotHere, View

RECORDINGS = Path(__file__).parents[2] / "recordings"


class Player:
    """Answers commands from files. `answers`: a part of the command → the file's name, or what it raises."""

    def __init__(self, folder: str, answers: Mapping[str, str | Exception]) -> None:
        self._folder = RECORDINGS / folder
        self.answers = dict(answers)
        self.asked: list[str] = []

    def __call__(
        self,
        command: Sequence[str],
        *,
        timeout_s: float = 0,
        statuses: Container[int] = (0,),
        most_bytes: int = 1 << 30,
        cut: bool = False,
    ) -> bytes:
        said = name_of(command)
        self.asked.append(said)
        for part, answer in self.answers.items():
            if part in said:
                if isinstance(answer, Exception):
                    raise answer
                return (self._folder / answer).read_bytes()[:most_bytes]
        raise NotHere(f"nothing is recorded for {said}")


def name_of(command: Sequence[str]) -> str:
    """A question of PowerShell by its name, any other command as it is written."""
    for question in windows.QUESTIONS:
        if list(command) == windows.powershell(question):
            return f"<{question}>"
    return " ".join(command)


def view_of(
    folder: str, answers: Mapping[str, str | Exception], *, root: Path = Path("/nowhere"), now_ms: int = 1
) -> View:
    """What a look is handed on that platform."""
    player = Player(folder, answers)
    return View(now_ms=now_ms, steady_s=1.0, root=root, mask=Masker(b"k").mask, run=player)
