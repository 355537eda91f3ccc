"""How a month differs from the one before, in words and by name. Pure."""

from collections.abc import Sequence
from datetime import date

from forestall.agreements.counting import joined_and_left
from forestall.agreements.money import written
from forestall.agreements.values import Basis, Bill, Counted, Counts

NAMED_MAX = 12
UNITS = {Basis.SEAT: "seat", Basis.DEVICE: "device", Basis.SITE: "site"}


def explain(was: tuple[Counts, Bill] | None, now: tuple[Counts, Bill]) -> list[str]:
    """`2 seats joined: Ana B. on 4 Oct, Tom K. on 11 Oct`, and what else is not as it was."""
    if was is None:
        return ["the first bill of this agreement"]
    said = []
    for basis, (joined, left) in joined_and_left(was[0], now[0]).items():
        said += _moved(joined, basis, "joined") + _moved(left, basis, "left")
    before = {line.key: line for line in was[1].lines}
    for line in now[1].lines:
        old = before.pop(line.key, None)
        if old is None:
            said.append(f"new: {line.name}, {written(line.amount_minor, now[1].currency)}")
        elif old.price_minor != line.price_minor and abs(line.quantity) > 0 and "-" not in line.key:
            prices = (written(price, now[1].currency) for price in (old.price_minor, line.price_minor))
            said.append(f"{line.name}: price {' → '.join(prices)}")
    said += [
        f"no longer: {line.name}, {written(line.amount_minor, was[1].currency)}" for line in before.values()
    ]
    return said + [one for one in now[1].said if one not in was[1].said]


def _moved(things: Sequence[Counted], basis: Basis, verb: str) -> list[str]:
    if not things:
        return []
    named = ", ".join(f"{one.name}{_when(one, verb)}" for one in things[:NAMED_MAX])
    more = f" and {len(things) - NAMED_MAX} more" if len(things) > NAMED_MAX else ""
    unit = UNITS[basis] if len(things) == 1 else f"{UNITS[basis]}s"
    return [f"{len(things)} {unit} {verb}: {named}{more}"]


def _when(one: Counted, verb: str) -> str:
    day: date | None = one.since if verb == "joined" else one.until
    return f" on {day.day} {day:%b}" if day else ""
