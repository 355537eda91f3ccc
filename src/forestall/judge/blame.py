"""Blame: which of the services behind a slow or failing one is at fault, by the graph of calls. Pure.

The burden of a node is how much worse than usual all its answers of a step were together (seconds waited, or
answers that failed); what its own callees explain of that is taken off. What is left is the node's own, and
counts by how far it lies outside of the node's usual course.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

DEPTH_MAX = 32
SPREAD_LEAST = 0.02  # of the usual value: a course that never moves has no spread of its own
USUAL_LEAST = 3  # rows from which there is a usual course


@dataclass(frozen=True, slots=True)
class Course:
    """One node: what was usual, what is now (larger is worse: s per answer, or share that failed), and how
    many answers a step there were. NaN where nothing was measured."""

    usual: Sequence[float]
    now: Sequence[float]
    answers: float


@dataclass(frozen=True, slots=True)
class Blame:
    """A node with its own share of the trouble, and why in words."""

    node: str
    score: float
    reason: str


def rank_blame(target: str, calls: Mapping[str, Iterable[str]], courses: Mapping[str, Course]) -> list[Blame]:
    """The nodes that `target` calls directly or through others, and itself, the most to blame first."""
    behind = _reached(target, calls)
    burden, outside = {}, {}
    for node in behind:
        course = courses.get(node)
        if course is not None:
            burden[node], outside[node] = _worse(course)
    found = []
    for node in sorted(burden):
        explained = sum(
            _part(node, callee, calls, burden, courses) for callee in _callees(node, calls, burden)
        )
        own = max(0.0, burden[node] - explained)
        score = own * math.log1p(outside[node])
        reason = (
            f"{burden[node]:.2f} more than usual in a step ({outside[node]:.1f} of its usual spread), "
            f"{min(explained, burden[node]):.2f} of that explained by what it calls"
        )
        found.append(Blame(node, score, reason))
    return sorted(found, key=lambda one: (-one.score, one.node))


def _reached(target: str, calls: Mapping[str, Iterable[str]]) -> set[str]:
    found, edge = {target}, [target]
    for _ in range(DEPTH_MAX):
        edge = [callee for node in edge for callee in calls.get(node, ()) if callee not in found]
        found.update(edge)
    return found


def _worse(course: Course) -> tuple[float, float]:
    """How much worse now than usual in all answers of a step, and that in usual spreads."""
    usual = np.asarray(course.usual, dtype=float)
    now = np.asarray(course.now, dtype=float)
    usual, now = usual[np.isfinite(usual)], now[np.isfinite(now)]
    if len(usual) < USUAL_LEAST or not len(now):
        return 0.0, 0.0
    middle = float(np.median(usual))
    spread = 1.4826 * float(np.median(np.abs(usual - middle)))
    spread = max(spread, SPREAD_LEAST * abs(middle), 1e-3)
    by = max(0.0, float(np.max(now)) - middle)
    return by * course.answers, by / spread


def _callees(node: str, calls: Mapping[str, Iterable[str]], burden: Mapping[str, float]) -> list[str]:
    return sorted({callee for callee in calls.get(node, ()) if callee != node and callee in burden})


def _part(
    node: str,
    callee: str,
    calls: Mapping[str, Iterable[str]],
    burden: Mapping[str, float],
    courses: Mapping[str, Course],
) -> float:
    """What of a callee's burden falls to this caller: by the callers' answers."""
    callers = [one for one in burden if one != callee and callee in set(calls.get(one, ()))]
    total = sum(courses[one].answers for one in callers)
    return burden[callee] * courses[node].answers / total if total else burden[callee]
