"""The two ways in which something goes wrong.

`Trouble` is for people: one line that says what is wrong and what to do; the command line prints it
without a traceback. `Rejected` is a value, not an exception: bad input from outside, counted and kept.
Anything else that is raised is a bug.
"""

from dataclasses import dataclass


class Trouble(Exception):
    """A failure with a remedy: `what` is wrong, `remedy` is what to do next."""

    def __init__(self, what: str, remedy: str = "") -> None:
        super().__init__(f"{what}. {remedy}" if remedy else what)
        self.what = what
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Rejected:
    """Input that was refused, with the reason in words and what was received (cut to a limit)."""

    reason: str
    raw: bytes = b""
