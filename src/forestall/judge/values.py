"""The judge's words: states of a rule, and the transitions between them."""

from dataclasses import dataclass, field
from enum import StrEnum


class State(StrEnum):
    """How far a rule and an asset disagree; in the order of concern."""

    IN_SPEC = "in_spec"
    DRIFTING = "drifting"
    SILENT = "silent"
    OUT_OF_SPEC = "out_of_spec"
    BREAKING = "breaking"

    @property
    def concern(self) -> int:
        """0 in spec, 4 breaking."""
        return list(State).index(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """A rule on an asset went from one state to another. The pair (`place`, `at_ms`, `to`) is unique:
    the same observations judged again give the same transitions.

    `began_at_ms`: when the disagreement began (in the data's time, before any for-duration).
    `cause`: "reachability" when this finding explains others of the asset and of what hangs on it.
    `numbers`: the values that the reason stands on, by name. `answer`: a probe's raw answer, or log lines.
    """

    client: str
    asset: str
    rule: str
    item: str
    pack: str
    pack_version: str
    was: State
    to: State
    began_at_ms: int
    at_ms: int
    metric: str
    reason: str
    why: str
    first_step: str
    cause: str = ""
    tells: bool = True
    numbers: dict[str, float] = field(default_factory=dict)
    answer: str = ""

    @property
    def place(self) -> str:
        """What the finding is about: asset, rule and item."""
        return f"{self.asset}/{self.rule}/{self.item}"
