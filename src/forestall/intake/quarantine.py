"""Who sends although nobody knows whose it is waits here, visibly, until somebody says.

`keep` is called by either side of the pump, whichever decodes a frame first; the positions that went into
quarantine are in the database with the counts, so the same frame is kept once however often it is decoded,
and stays here when it is decoded again while its sender is known by now (`held`). What waits is fed to the
durable queue again, numbered, when its sender has an asset (`release`): decoding takes each number once.

Who may say whose it is: `intake.strangers`. Only the watch process touches the files. What was set aside
(`intake.poison`) and is to be replayed takes the same way.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from pathlib import Path

import msgspec
from django.db import DatabaseError, close_old_connections, transaction
from django.db.models import F, Sum

from forestall.estate.models import Client
from forestall.intake.decoded import Held, Stray
from forestall.intake.envelope import Only
from forestall.intake.feeding_again import Appends, feed_again, next_block
from forestall.intake.kept_frames import KeptFrames, pack_frame
from forestall.intake.models import Stranger
from forestall.intake.poison import SetAside, list_set_aside, read_frames, throw_away, write_about
from forestall.intake.route import Directory
from forestall.intake.segments import START, Position
from forestall.intake.values import OTHERS, REASON_MAX_CHARS, QueueFull, TryAgain
from forestall.kernel.clock import from_ms, to_ms
from forestall.kernel.errors import Trouble

SENDERS_MAX = 2_000
BYTES_MAX = 1 << 30
SENDER_BYTES_MAX = 4 << 20
SENDERS_PER_CALL_MAX = 200  # new or old, in one stretch of a queue; each costs a sync
SPANS_MAX = 100
TIDY_EVERY = 30  # releases
REASON_OF_OTHERS = "more senders than are kept apart, and those that made room for newer ones"
COUNTED = [
    "reason", "example", "first_at", "last_at", "records", "kept_records", "dropped_records", "dropped_bytes",
    "older_records", "older_bytes", "newer_bytes", "generation", "spans",
]  # fmt: skip

log = logging.getLogger(__name__)

_Key = tuple[str, str, str]  # client, door, sender


@dataclass(frozen=True, slots=True)
class Room:
    """How much may wait: senders, bytes on the disk in all, and of one sender."""

    senders: int = SENDERS_MAX
    total_bytes: int = BYTES_MAX
    sender_bytes: int = SENDER_BYTES_MAX


class Quarantine:
    """Used by both threads of the pump."""

    def __init__(self, directory: Path, queue: Appends, *, poison: Path, room: Room = Room()) -> None:
        self._poison = poison
        self._files = KeptFrames(directory)
        self._queue = queue
        self._room = room
        self._lock = threading.Lock()
        self._released = 0
        self._held: Mapping[str, Held] | None = None

    def held(self, queue: str) -> Held:
        """Raises TryAgain."""
        with self._lock:
            if self._held is None:
                with _Database():
                    self._load()
            return (self._held or {}).get(queue, {})

    def keep(self, queue: str, strays: Sequence[Stray]) -> None:
        """Raises TryAgain while the database cannot be written; what was written to files by then is written
        over the next time."""
        with self._lock, _Database():
            if self._held is None:
                self._load()
            known = set(Client.objects.filter(pk__in={s.client for s in strays}).values_list("pk", flat=True))
            grouped: dict[_Key, list[Stray]] = {}
            for stray in strays:
                key = (stray.client if stray.client in known else "", stray.door, stray.sender)
                if key not in grouped and len(grouped) >= SENDERS_PER_CALL_MAX:
                    key = ("", stray.door, OTHERS)
                grouped.setdefault(key, []).append(stray)
            rows, stale = [], []
            for key, group in grouped.items():
                row = _row_of(key)
                if fresh := _note(row, queue, group):
                    stale += self._write(row, fresh)
                    rows.append(row)
            with transaction.atomic():
                for row in rows:
                    _save(row)
                stale += self._make_room()
            for name, generation in stale:
                self._files.forget(name, generation)
            self._load()

    def release(
        self,
        directory: Directory,
        renewed: Callable[[int], Directory],
        *,
        passed: Mapping[str, Position],
    ) -> None:
        """Feed what waits of senders that are known now, drop what is ignored, forget what is done.

        `renewed` reads a directory that is newer than a time (ms); `passed`: up to where both sides are for
        good, by queue. Raises TryAgain.
        """
        with self._lock, _Database():
            rows = list(Stranger.objects.exclude(sender=OTHERS).order_by("first_at"))
            replays = [one for one in list_set_aside(self._poison) if one.about.replay]
            if not self._finish(rows, replays):
                return
            for one in replays:
                if not one.about.block and not self._replay(one):
                    return
            for row in rows:
                if row.state == Stranger.RELEASED and row.released_at is not None:
                    if directory.loaded_at_ms <= (released_ms := to_ms(row.released_at)):
                        directory = renewed(released_ms)
                    if not directory.knows(row.sender, client=row.client_id or ""):
                        _back_to_waiting(row)
                    elif not self._begin(row):
                        return
                elif row.state == Stranger.WAITING and not row.fed_times:
                    if directory.knows(row.sender, client=row.client_id or "") and not self._begin(row):
                        return
                elif row.state == Stranger.IGNORED and row.kept_records:
                    self._drop(row)
                elif row.state == Stranger.DONE and _is_passed(row, passed):
                    Stranger.objects.filter(pk=row.pk, state=Stranger.DONE).delete()
                    self._files.forget(row.pk, row.generation)
            self._load()
            self._released += 1
            if self._released % TIDY_EVERY == 1:  # a client that was deleted leaves nothing behind
                self._files.sweep(set(Stranger.objects.values_list("pk", flat=True)))

    def _finish(self, rows: Sequence[Stranger], replays: Sequence[SetAside]) -> bool:
        """Finish what was begun, in order: later numbers must not pass it."""
        begun: list[tuple[int, Callable[[], bool]]] = [
            (row.block or 0, partial(self._feed, row)) for row in rows if row.state == Stranger.FEEDING
        ]
        begun += [(one.about.block, partial(self._replay, one)) for one in replays if one.about.block]
        return all(feed() for _, feed in sorted(begun, key=lambda pair: pair[0]))

    def _load(self) -> None:
        held: dict[str, dict[tuple[str, str], list[tuple[Position, Position]]]] = {}
        rows = Stranger.objects.exclude(sender=OTHERS).values_list("client", "sender", "spans")
        for client, sender, spans in rows:
            for queue, of_queue in spans.items():
                found = held.setdefault(queue, {}).setdefault((client or "", sender), [])
                found += [(Position(a, b), Position(c, d)) for a, b, c, d in of_queue]
        self._held = held

    def _write(self, row: Stranger, strays: list[Stray]) -> list[tuple[str, int]]:
        """Put frames into the row's files, and the numbers for that into the row; returns the files that are
        not needed any more then."""
        stale: list[tuple[str, int]] = []
        half = self._room.sender_bytes // 2
        wanted: list[tuple[Stray, bytes]] = []
        for stray in strays:
            packed = b""
            if stray.frame and row.state != Stranger.IGNORED and row.sender != OTHERS:
                packed = pack_frame(stray.frame)
            if not packed or len(packed) > half:
                _count_dropped(row, stray.count, len(stray.frame))
            else:
                wanted.append((stray, packed))
        while wanted:
            room = half - row.newer_bytes
            fits = list(accumulate(len(packed) for _, packed in wanted))
            count = sum(1 for size in fits if size <= room)
            if count and not self._append(row, wanted[:count]):
                count = len(wanted)
            wanted = wanted[count:]
            if wanted and row.state == Stranger.FEEDING:  # its frames must not move now
                _count_dropped(row, sum(s.count for s, _ in wanted), sum(len(s.frame) for s, _ in wanted))
                break
            if wanted:
                stale.append((row.pk, row.generation - 1))
                _turn_over(row)
        return stale

    def _append(self, row: Stranger, wanted: list[tuple[Stray, bytes]]) -> bool:
        """False when the disk takes nothing: then it is counted."""
        count = sum(stray.count for stray, _ in wanted)
        try:
            row.newer_bytes = self._files.append(
                row.pk, row.generation, at=row.newer_bytes, packed=[packed for _, packed in wanted]
            )
        except OSError as error:
            log.warning("what the stranger %s sent cannot be kept: %s", row.sender, error)
            _count_dropped(row, count, sum(len(stray.frame) for stray, _ in wanted))
            return False
        row.kept_records += count
        return True

    def _make_room(self) -> list[tuple[str, int]]:
        """Forget the senders that were silent longest, as far as there are too many or too much."""
        strangers = Stranger.objects.exclude(sender=OTHERS)
        totals = strangers.aggregate(size=Sum(F("older_bytes") + F("newer_bytes")))
        count, size = strangers.count(), int(totals["size"] or 0)
        stale: list[tuple[str, int]] = []
        if count <= self._room.senders and size <= self._room.total_bytes:
            return stale
        for row in strangers.exclude(state=Stranger.FEEDING).order_by("last_at").iterator():
            if count <= self._room.senders and size <= self._room.total_bytes:
                break
            others, _ = Stranger.objects.get_or_create(
                client=None, door=row.door, sender=OTHERS,
                defaults={"first_at": row.first_at, "last_at": row.last_at,
                          "reason": REASON_OF_OTHERS},
            )  # fmt: skip
            others.records += row.records - row.fed_records
            others.last_at = max(others.last_at, row.last_at)
            _count_dropped(others, row.kept_records + row.dropped_records, row.kept_bytes + row.dropped_bytes)
            others.save()
            count, size = count - 1, size - row.kept_bytes
            stale.append((row.pk, row.generation))
            row.delete()
        return stale

    def _begin(self, row: Stranger) -> bool:
        """Give the row its numbers, then feed it."""
        with transaction.atomic():
            row.block, row.state = next_block(), Stranger.FEEDING
            row.save(update_fields=["block", "state"])
        return self._feed(row)

    def _feed(self, row: Stranger) -> bool:
        """Feed all of the row's frames; False when the queue has no room, then all of it comes again."""
        try:
            lost = feed_again(self._queue, self._frames(row), block=row.block or 0)
        except QueueFull as error:
            log.warning("what waits of %s cannot be fed now: %s", row.sender, error)
            return False
        if lost:
            log.error("%d damaged frames of the stranger %s were lost", lost, row.sender)
        row.fed_records += row.kept_records
        row.fed_times += 1
        row.state, row.block = Stranger.DONE, None
        self._empty(row)
        return True

    def _replay(self, one: SetAside) -> bool:
        """Feed what was set aside; False when the queue has no room, then all of it comes again."""
        path = self._poison / f"{one.name}.frames"
        about = one.about
        if not about.block:
            about = msgspec.structs.replace(about, block=next_block())
            write_about(path, about)
        try:
            frames = read_frames(self._poison, one.name)
            lost = feed_again(self._queue, frames, block=about.block, only=_side(about.side))
        except QueueFull as error:
            log.warning("what was set aside cannot be fed now: %s", error)
            return False
        except Trouble as trouble:
            log.error("%s is not replayed: %s", one.name, trouble)
            write_about(path, msgspec.structs.replace(about, replay=False, block=0))
            return True
        if lost:
            log.error("%d frames of %s are no frames, and were thrown away", lost, one.name)
        throw_away(self._poison, one.name)
        return True

    def _frames(self, row: Stranger) -> Iterable[bytes]:
        yield from self._files.read(row.pk, row.generation - 1, until=row.older_bytes)
        yield from self._files.read(row.pk, row.generation, until=row.newer_bytes)

    def _drop(self, row: Stranger) -> None:
        """What an ignored sender sent is no longer kept."""
        _count_dropped(row, row.kept_records, row.kept_bytes)
        self._empty(row)

    def _empty(self, row: Stranger) -> None:
        done = row.generation
        row.kept_records = row.older_records = row.older_bytes = row.newer_bytes = 0
        row.generation = done + 2
        row.save()
        self._files.forget(row.pk, done)


class _Database:
    """Inside it a database that is down, or locked, is a reason to try again."""

    def __enter__(self) -> None:
        close_old_connections()

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, DatabaseError | OSError):
            raise TryAgain(f"the database or the disk: {error}") from error


def _row_of(key: _Key) -> Stranger:
    """The sender's row, a new one that is not saved yet when there is none."""
    client, door, sender = key
    row = Stranger.objects.filter(client=client or None, door=door, sender=sender).first()
    return row or Stranger(client_id=client or None, door=door, sender=sender)


def _note(row: Stranger, queue: str, group: list[Stray]) -> list[Stray]:
    """Write into the row what came; returns what did not come before."""
    spans: list[list[int]] = row.spans.setdefault(queue, [])
    done = Position(*spans[-1][2:]) if spans else START
    fresh = [stray for stray in group if stray.position > done]
    if not fresh:
        return []
    last = fresh[-1]
    if spans and (row.state != Stranger.DONE or len(spans) >= SPANS_MAX):
        spans[-1][2:] = last.position
    else:  # it was known in between: what came then is not held
        spans.append([*fresh[0].position, *last.position])
    at_ms = [stray.received_at_ms for stray in fresh]
    row.first_at = row.first_at or from_ms(min(at_ms))
    row.last_at = max(row.last_at or row.first_at, from_ms(max(at_ms)))
    row.records += sum(stray.count for stray in fresh)
    row.reason, row.example = last.reason[:REASON_MAX_CHARS], last.example or row.example
    if row.sender == OTHERS:
        row.reason = REASON_OF_OTHERS
    return fresh


def _save(row: Stranger) -> None:
    """Everything but what people say of it meanwhile."""
    if row._state.adding:
        row.save(force_insert=True)
        return
    row.save(update_fields=COUNTED)
    Stranger.objects.filter(pk=row.pk, state=Stranger.DONE).update(state=Stranger.WAITING)


def _turn_over(row: Stranger) -> None:
    """The older half goes, the newer one is the older one from now on."""
    _count_dropped(row, row.older_records, row.older_bytes)
    row.kept_records -= row.older_records
    row.older_records, row.older_bytes = row.kept_records, row.newer_bytes
    row.generation, row.newer_bytes = row.generation + 1, 0


def _count_dropped(row: Stranger, records: int, size_bytes: int) -> None:
    row.dropped_records += records
    row.dropped_bytes += size_bytes


def _back_to_waiting(row: Stranger) -> None:
    row.state = Stranger.WAITING
    row.reason = f"several assets, or none, answer to {row.sender}: give that name or address to one alone"
    row.save(update_fields=["state", "reason"])


def _is_passed(row: Stranger, passed: Mapping[str, Position]) -> bool:
    """Whether both sides are, for good, behind all that went into quarantine. A queue that is no more is."""
    return all(
        Position(*spans[-1][2:]) <= passed.get(queue, START) for queue, spans in row.spans.items() if spans
    )


def _side(name: str) -> Only:
    return "judge" if name == "judge" else "store" if name == "store" else ""
