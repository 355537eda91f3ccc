"""Elasticsearch's bulk body: an action on one line, its document on the next.

Documents are records as in `jsonlines`; `create` and `index` are taken, what changes or deletes is not. The
actions of a body are mostly the same, so each different one is read once.

Source: Elasticsearch 8, "Bulk API".
"""

import secrets
from dataclasses import dataclass
from itertools import islice

import msgspec
import numpy as np
from msgspec import UNSET, Struct, UnsetType

from forestall.intake.formats import REFUSED_MAX, Reading, Refused
from forestall.intake.formats.fields import Names
from forestall.intake.formats.json_columns import read_json_records
from forestall.intake.formats.json_scan import PROBES_MAX
from forestall.intake.formats.jsonlines import find_lines
from forestall.intake.formats.wire import hash_bytes, same_bytes
from forestall.intake.pushed import ROWS_MAX, Pushed, no_samples
from forestall.kernel.columns import I64
from forestall.kernel.compiled import compiled

NAME_MAX_CHARS = 512
SLOTS = 1024
ACTIONS_MAX = 256  # different actions that are looked up; more are read one by one
REASONS_MAX = 100  # of so many the reason is told in the answer; of the others, that there was one
ONLY_ADDED = "log records are only added here: send create or index"

_SEED = np.uint64(secrets.randbits(64))


class _Target(Struct, frozen=True):
    index: str = msgspec.field(name="_index", default="")
    id: str | int = msgspec.field(name="_id", default="")


class _Action(Struct, frozen=True):
    create: _Target | UnsetType = UNSET
    index: _Target | UnsetType = UNSET
    update: _Target | UnsetType = UNSET
    delete: _Target | UnsetType = UNSET


_decode_action = msgspec.json.Decoder(_Action).decode


@dataclass(frozen=True, slots=True)
class Action:
    """`kind` is create, index, update or delete; `target` is `"_index":"…","_id":"…",` as far as it was told,
    in JSON, for the answer."""

    kind: str
    target: str

    @property
    def adds(self) -> bool:
        """Whether it adds a record."""
        return self.kind in ("create", "index")

    @property
    def has_document(self) -> bool:
        """Whether a line with a document follows."""
        return self.kind != "delete"


@dataclass(frozen=True, slots=True)
class BulkReading:
    """What a body holds. Item k has the action `actions[codes[k]]`; `refused` says why an item was not taken,
    by its number."""

    reading: Reading
    actions: list[Action]
    codes: I64
    refused: dict[int, str]


@dataclass(frozen=True, slots=True)
class _Items:
    """`documents` are the lines that are to be added, `places` the items that they belong to."""

    actions: list[Action]
    codes: I64
    documents: I64
    places: I64


def read(body: bytes, names: Names, *, received_at_ms: int, index: str = "") -> BulkReading:
    """The documents of a body. `index` is the one that the path names.

    Raises ValueError, as Elasticsearch refuses all of a body: for a line that should be an action and is
    none, a last action without its document, more than ROWS_MAX items.
    """
    starts, ends = find_lines(body)
    if not len(starts):
        raise ValueError("a bulk body has at least one action")
    items = _read_alternate(body, starts, ends, index) if len(starts) % 2 == 0 else None
    items = items or _read_in_turn(body, starts, ends, index)
    if len(items.codes) > ROWS_MAX:
        raise ValueError(
            f"one body has at most {ROWS_MAX} items, this one {len(items.codes)}: send smaller batches"
        )
    columns = read_json_records(
        body, starts[items.documents], ends[items.documents], names, received_at_ms=received_at_ms
    )
    refused = {int(items.places[place]): reason for place, reason in columns.refused.items()}
    if len(items.places) < len(items.codes):
        refused |= {
            place: ONLY_ADDED
            for place, code in enumerate(items.codes.tolist())
            if not items.actions[code].adds
        }
        refused = dict(sorted(refused.items()))
    told = tuple(Refused(place, reason) for place, reason in islice(refused.items(), REFUSED_MAX))
    reading = Reading(Pushed(columns.logs, no_samples()), told, len(refused))
    return BulkReading(reading, items.actions, items.codes, refused)


def answer_items(bulk: BulkReading, *, took_ms: int) -> bytes:
    """The answer's body: the status of each item. Elasticsearch tells `errors` first, and some look there."""
    spelled = [_item(action) for action in bulk.actions]
    items = [spelled[code] for code in bulk.codes.tolist()]
    for told, (place, reason) in enumerate(bulk.refused.items()):
        action = bulk.actions[bulk.codes[place]]
        reason = reason if told < REASONS_MAX else "it could not be used either"
        kind = "document_parsing_exception" if action.adds else "illegal_argument_exception"
        error = msgspec.json.encode({"type": kind, "reason": reason}).decode()
        items[place] = f'{{"{action.kind}":{{{action.target}"status":400,"error":{error}}}}}'
    errors = "true" if bulk.refused else "false"
    return f'{{"errors":{errors},"took":{took_ms},"items":[{",".join(items)}]}}'.encode()


def _item(action: Action) -> str:
    return f'{{"{action.kind}":{{{action.target}"result":"created","status":201}}}}'


def _read_alternate(body: bytes, starts: I64, ends: I64, index: str) -> _Items | None:
    """The items when every other line is an action that adds; None when it is not so simple."""
    data = np.frombuffer(body, np.uint8)
    codes = np.empty(len(starts) // 2, np.int64)
    listed = np.empty(ACTIONS_MAX, np.int64)
    count = _number_actions(data, starts, ends, _SEED, np.full(SLOTS, -1, np.int32), listed, codes)
    alone = np.flatnonzero(codes < 0)
    codes[alone] = np.arange(count, count + len(alone))
    lines = [*listed[:count].tolist(), *(2 * alone).tolist()]
    actions: list[Action] = []
    for line in lines:
        try:
            action = _read_action(body, starts, ends, line, index)
        except ValueError:
            return None
        if not action.adds:
            return None
        actions.append(action)
    return _Items(actions, codes, np.arange(1, len(starts), 2), np.arange(len(codes)))


def _read_in_turn(body: bytes, starts: I64, ends: I64, index: str) -> _Items:
    actions: list[Action] = []
    documents: list[int] = []
    places: list[int] = []
    line = 0
    while line < len(starts):
        action = _read_action(body, starts, ends, line, index)
        line += 1
        if action.has_document:
            if line >= len(starts):
                raise ValueError("the last action has no document: send it again, whole")
            if action.adds:
                documents.append(line)
                places.append(len(actions))
            line += 1
        actions.append(action)
    return _Items(actions, np.arange(len(actions)), np.array(documents, np.int64), np.array(places, np.int64))


def _read_action(body: bytes, starts: I64, ends: I64, line: int, index: str) -> Action:
    """Raises ValueError that names the line."""
    text = body[starts[line] : ends[line]]
    try:
        found = _decode_action(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"line {line + 1} is no action: {error}") from error
    told = [
        (kind, target)
        for kind in ("create", "index", "update", "delete")
        if not isinstance(target := getattr(found, kind), UnsetType)
    ]
    if len(told) != 1:
        raise ValueError(f"line {line + 1} is no action: it names one of create, index, update or delete")
    kind, target = told[0]
    parts = {"_index": target.index or index, "_id": str(target.id)}
    if any(len(part) > NAME_MAX_CHARS for part in parts.values()):
        raise ValueError(f"line {line + 1}: a name has at most {NAME_MAX_CHARS} characters")
    shown = msgspec.json.encode({name: part for name, part in parts.items() if part}).decode()[1:-1]
    return Action(kind, shown + "," if shown else "")


@compiled
def _number_actions(data, starts, ends, seed, slots, listed, codes):  # type: ignore[no-untyped-def]
    """Into `codes` the number of every other line's text among the different ones, -1 for those that are too
    many; into `listed` a line of each. How many different ones there are."""
    count = 0
    last = np.int64(0)
    mask = len(slots) - 1
    for item in range(len(codes)):
        line = 2 * item
        start, size = starts[line], ends[line] - starts[line]
        if item > 0:  # mostly it is the one of the line before
            other = listed[last]
            if ends[other] - starts[other] == size and same_bytes(data, start, data, starts[other], size):
                codes[item] = last
                continue
        at = np.int64(hash_bytes(data, start, start + size, seed) & np.uint64(mask))
        codes[item] = -1
        for _ in range(PROBES_MAX):
            number = slots[at]
            if number < 0:
                if count < len(listed):
                    slots[at] = count
                    listed[count] = line
                    codes[item] = count
                    last = np.int64(count)
                    count += 1
                break
            other = listed[number]
            if ends[other] - starts[other] == size and same_bytes(data, start, data, starts[other], size):
                codes[item] = number
                last = np.int64(number)
                break
            at = (at + 1) & mask
    return count
