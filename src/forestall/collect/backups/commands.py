"""Reads the command of a job, as far as it says what is backed up and what is left out."""

from collections.abc import Collection, Sequence
from pathlib import Path, PurePath

LINES_MAX = 500
FILE_MAX_BYTES = 1 << 20


def after_word(command: Sequence[str], program: str, word: str) -> list[str]:
    """The words behind `word` (`backup`, `create`) of a program, wherever it stands in the command
    (`sudo -u x restic backup …`); none when it is not there."""
    for at, one in enumerate(command):
        if PurePath(one).name.removesuffix(".exe") == program and word in command[at + 1 :]:
            return list(command[command.index(word, at + 1) + 1 :])
    return []


def before_word(command: Sequence[str], program: str, word: str) -> list[str]:
    """The words between a program and `word`."""
    for at, one in enumerate(command):
        if PurePath(one).name.removesuffix(".exe") == program and word in command[at + 1 :]:
            return list(command[at + 1 : command.index(word, at + 1)])
    return []


def program_of(command: Sequence[str], names: Collection[str]) -> str:
    """The first word that is one of these programs, as it stands there; "" when none is."""
    return next((one for one in command if PurePath(one).name.removesuffix(".exe") in names), "")


def split_options(words: Sequence[str], valued: Collection[str]) -> tuple[list[str], dict[str, list[str]]]:
    """What is no option, and the values of the options that have one; `valued` names these (`--exclude`)."""
    plain: list[str] = []
    values: dict[str, list[str]] = {}
    waiting = ""
    for at, word in enumerate(words):
        if waiting:
            values.setdefault(waiting, []).append(word)
            waiting = ""
        elif word == "--":
            return [*plain, *words[at + 1 :]], values
        elif word.startswith("--"):
            name, equals, value = word.partition("=")
            if equals:
                values.setdefault(name, []).append(value)
            elif name in valued:
                waiting = name
        elif word.startswith("-") and len(word) > 1:
            if word[:2] in valued and len(word) > 2:
                values.setdefault(word[:2], []).append(word[2:].removeprefix("="))
            elif word in valued:
                waiting = word
        else:
            plain.append(word)
    return plain, values


def lines_of(path: str) -> list[str]:
    """The lines of a file of patterns or paths, without comments. Raises OSError."""
    with Path(path).open("rb") as file:
        text = file.read(FILE_MAX_BYTES).decode("utf-8", "replace")
    found = [line.strip() for line in text.splitlines()]
    return [line for line in found if line and not line.startswith("#")][:LINES_MAX]
