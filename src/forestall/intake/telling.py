"""What a sender is told when only some of its records could be used. Pure."""

from forestall.intake.doors import DoorAnswer, answer_json
from forestall.intake.formats import Reading

TOLD_MAX = 20


def tell_refused(reading: Reading, *, noun: str = "records") -> DoorAnswer:
    """400 that says what was wrong with which record, and that the others are durable."""
    taken = len(reading.pushed.logs) + len(reading.pushed.samples) + len(reading.pushed.outcomes)
    content = {
        "type": "about:blank",
        "title": f"{reading.refused_count} {noun} could not be used; {taken} were taken",
        "status": 400,
        "detail": f"Do not send the whole body again: only the {noun} named here are missing.",
        "accepted": taken,
        "rejected_count": reading.refused_count,
        "rejected": [
            {"record": f"{noun}[{one.place}]", "reason": one.reason} for one in reading.refused[:TOLD_MAX]
        ],
    }
    return answer_json(400, content, **{"content-type": "application/problem+json"})
