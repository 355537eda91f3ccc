"""What outside programs push, one file a format: the bytes of a body become `intake.pushed.Pushed`. Pure.

A format is one file with

    def read(body: bytes, …what the request says…, received_at_ms: int) -> Reading

which decodes whole batches in columns, never a Python object per record on its main path, and never works
longer than the length of the body allows. What is wrong with single records is in `Reading.refused`; a body
that is not of the format at all raises ValueError that says where and what to send instead.
"""

from dataclasses import dataclass
from typing import NamedTuple

from forestall.intake.pushed import Pushed

REFUSED_MAX = 100  # of so many the reason is told; the rest are counted


class Refused(NamedTuple):
    """A record that was not taken: its place in the body (from 0), why and what to do."""

    place: int
    reason: str


@dataclass(frozen=True, slots=True)
class Reading:
    """What a body holds. `refused_count` counts all that were not taken, `refused` tells of the first."""

    pushed: Pushed
    refused: tuple[Refused, ...] = ()
    refused_count: int = 0
