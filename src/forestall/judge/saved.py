"""What the judge remembers, as bytes: a versioned msgpack document. What no longer fits is left out."""

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import numpy.typing as npt

from forestall.judge.backups.plans import HeldPlan
from forestall.judge.backups.plans import Key as PlanKey
from forestall.judge.changes import Held
from forestall.judge.changes import Key as ChangeKey
from forestall.judge.forecast import HOURS
from forestall.judge.life import Life
from forestall.judge.logs import Key as LogKey
from forestall.judge.logs import LogLife
from forestall.judge.rows import ITEM_BITS
from forestall.judge.samples import SampleJudge
from forestall.judge.silence import NEVER_MS, Watched
from forestall.judge.texts import HeldText
from forestall.judge.texts import Key as TextKey
from forestall.judge.texts import Place as TextPlace
from forestall.judge.values import Transition
from forestall.kernel.errors import Trouble

if TYPE_CHECKING:
    from forestall.judge.judge import Judge

VERSION = 1
ITEM_MASK = (1 << ITEM_BITS) - 1


class SavedSamples(msgspec.Struct):
    """Series and rows as the bytes of their columns. `row_rule` points into `rules` (names)."""

    metrics: list[str]
    items: list[str]
    rules: list[str]
    series_asset: bytes
    series_key: bytes
    row_series: bytes
    row_rule: bytes
    row_last_ms: bytes
    row_last: bytes
    row_step_ms: bytes
    row_hours: bytes
    hours_values: bytes
    hours_hour: bytes
    lives: list[tuple[int, Life]]


class SavedWatched(msgspec.Struct, array_like=True):
    """Something expected, with its timer."""

    watched: Watched
    base_ms: int
    limit_ms: int
    silent: bool


class Saved(msgspec.Struct):
    """The whole state."""

    version: int
    samples: SavedSamples
    watched: list[SavedWatched]
    heard_ms: list[tuple[int, int]]
    last_tick_ms: int
    swept_ms: int
    logs: list[tuple[LogKey, LogLife]]
    changes: list[tuple[ChangeKey, Held]]
    open: list[Transition]
    texts: list[tuple[TextKey, HeldText]] = []
    texts_judged: list[tuple[TextPlace, str]] = []
    plans: list[tuple[PlanKey, HeldPlan]] = []


def save(judge: "Judge") -> bytes:
    """The whole state as bytes."""
    silence = judge.silence
    watched = [
        SavedWatched(one, int(silence.base[n]), int(silence.limit[n]), bool(silence.silent[n]))
        for n, one in enumerate(silence.watched)
        if one is not None
    ]
    return msgspec.msgpack.encode(
        Saved(
            version=VERSION,
            samples=save_samples(judge.samples),
            watched=watched,
            heard_ms=list(silence.heard_ms.items()),
            last_tick_ms=silence.last_tick_ms,
            swept_ms=judge.samples.swept_ms,
            logs=list(judge.logs.lives.items()),
            changes=list(judge.changes.held.items()),
            open=list(judge.open.values()),
            texts=list(judge.texts.held.items()),
            texts_judged=list(judge.texts.judged.items()),
            plans=list(judge.plans.held.items()),
        )
    )


def save_samples(samples: SampleJudge) -> SavedSamples:
    """The state of the rules on metrics."""
    held, rows, hours = samples.held, samples.held.rows, samples.held.hours
    return SavedSamples(
        metrics=held.metric_names,
        items=held.item_names,
        rules=[rule.name for rule in held.rules],
        series_asset=held.series.asset[: held.series.count].tobytes(),
        series_key=held.series.key[: held.series.count].tobytes(),
        row_series=rows.series[: rows.count].tobytes(),
        row_rule=rows.rule[: rows.count].tobytes(),
        row_last_ms=rows.last_ms[: rows.count].tobytes(),
        row_last=rows.last[: rows.count].tobytes(),
        row_step_ms=rows.step_ms[: rows.count].tobytes(),
        row_hours=rows.hours[: rows.count].tobytes(),
        hours_values=hours.values[: hours.count].tobytes(),
        hours_hour=hours.hour[: hours.count].tobytes(),
        lives=list(samples.lives.items()),
    )


def restore(judge: "Judge", data: bytes) -> dict[str, Transition]:
    """Fill a new judge, whose estate is set, from saved bytes; gives what was open by place.

    Raises Trouble when the bytes are not a state of this version.
    """
    try:
        version = msgspec.msgpack.decode(data, type=dict[str, Any]).get("version")
        if version != VERSION:
            raise Trouble(
                f"the saved state of the judge has version {version}, this program reads {VERSION}",
                "Start without it: the judge begins anew and findings are reconciled with the database.",
            )
        saved = msgspec.msgpack.decode(data, type=Saved)
        columns = _columns(saved.samples)
    except (msgspec.MsgspecError, ValueError) as error:
        raise Trouble(
            f"the saved state of the judge cannot be read: {error}",
            "Start without it: the judge begins anew and findings are reconciled with the database.",
        ) from error
    restore_samples(judge.samples, saved.samples, columns)
    judge.samples.swept_ms = saved.swept_ms
    _restore_silence(judge, saved)
    for log_key, log_life in saved.logs:
        rule = judge.estate.rules_of(log_key[0]).get(log_key[1])
        if rule is not None and len(rule.levels) == len(log_life.held_ms):
            judge.logs.lives[log_key] = log_life
    for change_key, held in saved.changes:
        if change_key[1] in judge.estate.rules_of(change_key[0]):
            judge.changes.held[change_key] = held
    for text_key, held_text in saved.texts:
        if text_key[1] in judge.estate.rules_of(text_key[0]):
            judge.texts.held[text_key] = held_text
    for plan_key, held_plan in saved.plans:
        if plan_key[1] in judge.estate.rules_of(plan_key[0]):
            judge.plans.held[plan_key] = held_plan
    judged = judge.texts.judged
    judged |= {place: said for place, said in saved.texts_judged if place[0] in judge.estate.assets}
    return {one.place: one for one in saved.open}


def _columns(saved: SavedSamples) -> dict[str, npt.NDArray[Any]]:
    """The columns as arrays. Raises ValueError when their lengths disagree."""
    types = {
        "series_asset": np.uint64,
        "series_key": np.uint64,
        "row_series": np.int32,
        "row_rule": np.int32,
        "row_last_ms": np.int64,
        "row_last": np.float64,
        "row_step_ms": np.float32,
        "row_hours": np.int32,
        "hours_hour": np.int64,
    }
    found: dict[str, npt.NDArray[Any]] = {
        name: np.frombuffer(getattr(saved, name), kind) for name, kind in types.items()
    }
    found["hours_values"] = np.frombuffer(saved.hours_values, np.uint16).reshape(-1, HOURS)
    for kind, least in (("series_", "series_asset"), ("row_", "row_series"), ("hours_", "hours_hour")):
        if any(len(found[name]) != len(found[least]) for name in found if name.startswith(kind)):
            raise ValueError(f"columns {kind}* differ in length")
    return found


def restore_samples(
    samples: SampleJudge, saved: SavedSamples, columns: dict[str, npt.NDArray[Any]], *, since_ms: int = 0
) -> None:
    """Fill a new sample judge. Series that were not seen since `since_ms` and have no life are left out."""
    held = samples.held
    lives = dict(saved.lives)
    rows_of: dict[int, list[int]] = {}
    for row, series in enumerate(columns["row_series"].tolist()):
        if series >= 0:
            rows_of.setdefault(series, []).append(row)
    keys = columns["series_key"].tolist()
    for series, asset in enumerate(columns["series_asset"].tolist()):
        metric = held.metrics.get(saved.metrics[keys[series] >> ITEM_BITS])
        old = rows_of.get(series, [])
        seen = any(row in lives or columns["row_last_ms"][row] >= since_ms for row in old)
        if metric is None or asset not in samples.estate.assets or not seen:
            continue
        item = held.item_number(saved.items[keys[series] & ITEM_MASK])
        number = held.add_series(asset, (metric << ITEM_BITS) | item)
        by_name = {saved.rules[columns["row_rule"][row]]: row for row in old}
        for row in held.chain(number):
            was = by_name.get(held.rule(row).name)
            if was is not None:
                _restore_row(samples, row, was, columns, lives.get(was))


def without_stale(samples: SampleJudge, since_ms: int) -> SampleJudge:
    """The same state without the series that did not come since `since_ms` and have nothing open."""
    state = save_samples(samples)
    fresh = SampleJudge(samples.estate)
    fresh.swept_ms = samples.swept_ms
    restore_samples(fresh, state, _columns(state), since_ms=since_ms)
    return fresh


def _restore_row(
    samples: SampleJudge, row: int, was: int, columns: dict[str, npt.NDArray[Any]], life: Life | None
) -> None:
    rows, hours = samples.held.rows, samples.held.hours
    rows.last_ms[row] = columns["row_last_ms"][was]
    rows.last[row] = columns["row_last"][was]
    rows.step_ms[row] = columns["row_step_ms"][was]
    kept = int(columns["row_hours"][was])
    if rows.hours[row] >= 0 and kept >= 0:
        hours.values[rows.hours[row]] = columns["hours_values"][kept]
        hours.hour[rows.hours[row]] = columns["hours_hour"][kept]
    if life is not None and len(life.grades) == len(samples.held.rule(row).levels):
        samples.lives[row] = life
        rows.live[row] = True


def _restore_silence(judge: "Judge", saved: Saved) -> None:
    """Timers of what is still expected; learned sources come back as they were."""
    silence = judge.silence
    silence.heard_ms.update({asset: at for asset, at in saved.heard_ms if asset in judge.estate.assets})
    silence.last_tick_ms = saved.last_tick_ms
    for one in saved.watched:
        key = one.watched.key
        if key[1] not in judge.estate.rules_of(key[0]):
            continue
        place = silence.places.get(key)
        if place is None and not one.watched.learned:
            continue
        limit_ms = one.limit_ms if one.watched.learned else NEVER_MS
        if place is None:
            place = silence.add(one.watched, base_ms=one.base_ms, limit_ms=limit_ms)
        fresh = silence.watched[place]
        if fresh is not None and not one.watched.learned:
            one.watched.interval_ms, one.watched.by = fresh.interval_ms, fresh.by
        silence.keep(place, one.watched, base_ms=one.base_ms, silent=one.silent)


def held_places(judge: "Judge") -> set[str]:
    """The places that some part of the judge holds in a state other than in spec."""
    assets = judge.estate.assets
    found: set[tuple[int, str, str]] = set()
    for row, life in judge.samples.lives.items():
        if life.state:
            asset, item = judge.samples.held.place(row)
            found.add((asset, judge.samples.held.rule(row).name, item))
    for n, one in enumerate(judge.silence.watched):
        if one is not None and judge.silence.silent[n]:
            found.add((one.key[0], one.key[1], one.key[3]))
    found |= {(asset, rule, "") for (asset, rule), life in judge.logs.lives.items() if life.state}
    found |= {key for key, change in judge.changes.held.items() if change.open.concern}
    found |= set(judge.texts.held)
    found |= set(judge.plans.held)
    return {f"{assets[asset].id}/{rule}/{item}" for asset, rule, item in found if asset in assets}
