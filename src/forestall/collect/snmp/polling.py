"""One device, polled again and again: reads what its profile names, and remembers what rates need.

Every poll reads the columns of numbers; a full poll (the first, after a restart, every FULL_EVERY_S) also
reads facts and inventory, and finds out anew which tables the device has and where older columns must do.
"""

import asyncio
import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from forestall.collect.answers import Answer, NoAnswer, Question, cut
from forestall.collect.answers import Number as Sample
from forestall.collect.remembering import Memory
from forestall.collect.snmp.counters import Uptime, next_uptime
from forestall.collect.snmp.diagnosis import find_reason
from forestall.collect.snmp.profile import Fact, Group, Profile, choose_profiles, find_profile
from forestall.collect.snmp.reading import (
    NUMBERS_MAX,
    Remembered,
    Told,
    list_inventory,
    merge_twins,
    number_of,
    read_group,
    text_of,
)
from forestall.collect.snmp.session import Column, Nonsense, Refused, Session, Silent, TooMuch, Value, Way
from forestall.kernel.observations import Snapshot

FULL_EVERY_S = 900.0
INVENTORY = "snmp.inventory"
INVENTORY_LINES_MAX = 20_000
REMEMBERED_MAX_CHARS = 1_000
SYSTEM = {
    "description": "1.3.6.1.2.1.1.1.0",
    "object id": "1.3.6.1.2.1.1.2.0",
    "uptime": "1.3.6.1.2.1.1.3.0",
    "contact": "1.3.6.1.2.1.1.4.0",
    "name": "1.3.6.1.2.1.1.5.0",
    "location": "1.3.6.1.2.1.1.6.0",
    "engine time": "1.3.6.1.6.3.10.2.1.3.0",
}


class Device:
    """A device that is polled. `profile`: its name, "" to choose it by the device's own word; `leave_out`:
    patterns of items that nobody wants."""

    def __init__(
        self, way: Way, *, profile: str, leave_out: tuple[str, ...], memory: Memory, name: str
    ) -> None:
        self.way = way
        self.wanted = profile
        self.leave_out = leave_out
        self.memory = memory
        self.name = name
        self.lock = asyncio.Lock()
        self.session: Session | None = None
        self.profile: Profile | None = None
        self.object_id = ""
        self.uptime: Uptime | None = None
        self.remembered = Remembered(good=_recall(memory, name))
        self.full_at_s = float("-inf")
        self.absent: set[str] = set()  # groups of which a full poll found nothing
        self.lacking: set[tuple[str, str]] = set()  # columns that need another one instead
        self.slow: dict[str, dict[str, Column]] = {}

    def close(self) -> None:
        """Close its session; what rates need stays."""
        if self.session is not None:
            self.session.close()
            self.session = None

    async def poll(self, question: Question) -> Answer:
        """One poll. Raises NoAnswer with the cause in words, NotAsked."""
        place = self.name
        async with self.lock:
            try:
                return await self._poll(question, place)
            except (Silent, Refused) as error:
                stood = question.phase
                self.close()
                question.doing(f"finding out why {place} does not answer")
                reason = await find_reason(self.way)
                if stood.startswith("reading"):
                    reason = f"{place} stopped answering while it was {stood}: {reason}"
                raise NoAnswer(reason) from error
            except Nonsense as error:
                self.close()
                raise NoAnswer(f"{place} gave {error}") from error
            except TooMuch as error:
                raise NoAnswer(f"{place} has {error}: choose a smaller profile") from error

    async def _poll(self, question: Question, place: str) -> Answer:
        question.doing(f"opening SNMP to {place}")
        if self.session is None:
            self.session = Session(self.way, try_s=min(2.0, question.timeout_s / 10))
        await self.session.open()
        question.doing(f"waiting for the system group of {place}")
        system = await self.session.get(list(SYSTEM.values()))
        at_s = question.now_ms() / 1000
        if SYSTEM["object id"] not in system and SYSTEM["uptime"] not in system:
            raise NoAnswer(
                f"{place} answers, but shows nothing of the system group: its view of this credential is too "
                "narrow; allow 1.3.6.1.2.1 and 1.3.6.1.4.1 for reading"
            )
        told = Told()
        await self._recognise(self.session, system)
        restarted = self._learn(system, at_s, told)
        assert self.profile is not None
        full = restarted or at_s - self.full_at_s >= FULL_EVERY_S
        if full:
            self.absent, self.lacking, self.slow = set(), set(), {}
        question.doing(f"reading the tables of {self.profile.title}")
        read = await self._read(self.session, self.profile, full)
        after = Remembered()
        assert self.uptime is not None
        for group, columns in read:
            read_group(
                group,
                columns,
                before=self.remembered,
                after=after,
                at_s=at_s,
                epoch=self.uptime.epoch,
                told=told,
            )
        self.remembered = after
        told.numbers = [one for one in merge_twins(told.numbers) if not _left_out(one.item, self.leave_out)]
        snapshots: list[Snapshot] = []
        if full:
            question.doing("reading the inventory")
            snapshots = [await self._inventory(self.session, system, read, question.now_ms())]
            self.full_at_s = at_s
        self._keep_down(told)
        self.session.spare()
        return self._answer(system, told, snapshots)

    async def _recognise(self, session: Session, system: Mapping[str, Value]) -> None:
        """Choose the profile, when the device says that it is another one than before."""
        object_id = text_of(system.get(SYSTEM["object id"]))
        if self.profile is not None and object_id == self.object_id:
            return
        if self.wanted:
            self.profile = find_profile(self.wanted)
        else:
            candidates = choose_profiles(object_id)
            marks = [one.present for one in candidates if one.present]
            there = await session.get(marks) if marks else {}
            self.profile = next(one for one in candidates if one.present is None or one.present in there)
        self.object_id = object_id
        self.full_at_s = float("-inf")

    def _learn(self, system: Mapping[str, Value], at_s: float, told: Told) -> bool:
        """The uptime from the system group; whether the device began again."""
        ticks = _whole(system.get(SYSTEM["uptime"]))
        engine_s = _whole(system.get(SYSTEM["engine time"]))
        self.uptime, restarted = next_uptime(self.uptime, ticks=ticks, engine_s=engine_s, at_s=at_s)
        told.numbers.append(Sample("device.uptime_s", self.uptime.up_s))
        told.numbers.append(Sample("device.restarted", float(restarted)))
        return restarted

    async def _read(
        self, session: Session, profile: Profile, full: bool
    ) -> list[tuple[Group, dict[str, Column]]]:
        """The columns of every group that the device has."""
        groups = [group for group in profile.groups if group.values and group.name not in self.absent]
        wanted: dict[str, list[str]] = {}
        for group in groups:
            names = [name for name in group.polled if full or name not in group.slow]
            names += [group.instead[name].take for name in names if (group.name, name) in self.lacking]
            wanted[group.name] = list(dict.fromkeys(names))
        single = [group.columns[name] for group in groups if group.single for name in wanted[group.name]]
        values = await session.get(list(dict.fromkeys(single)))
        tables = await session.columns(
            group.columns[name] for group in groups if not group.single for name in wanted[group.name]
        )
        read: list[tuple[Group, dict[str, Column]]] = []
        for group in groups:
            columns = _columns_of(group, wanted[group.name], values, tables)
            if full and not any(columns.values()):
                self.absent.add(group.name)
                continue
            await self._complete(session, group, columns, full)
            read.append((group, columns))
        return read

    async def _complete(self, session: Session, group: Group, columns: dict[str, Column], full: bool) -> None:
        """Add slow columns (those of before where no rows came or went) and those instead of others."""
        key = next(iter(sorted(group.item_columns - set(group.slow))), None)
        rows = columns.get(key, {}).keys() if key else ()
        if group.slow:
            before = self.slow.get(group.name)
            if before is not None and before.get("\0rows", {}).keys() == rows:
                columns |= before
            else:
                missing = [name for name in group.slow if name in group.polled and name not in columns]
                found = await session.columns(group.columns[name] for name in missing)
                columns |= {name: found[group.columns[name]] for name in missing}
                self.slow[group.name] = {name: columns.get(name, {}) for name in group.slow} | {
                    "\0rows": dict.fromkeys(rows)
                }
        if not full or not group.instead:
            return
        most = max((len(column) for column in columns.values()), default=0)
        lacking = [
            name for name in group.instead if name in group.polled and len(columns.get(name, ())) < most
        ]
        self.lacking |= {(group.name, name) for name in lacking if name not in group.slow}
        others = list(dict.fromkeys(group.instead[name].take for name in lacking))
        if group.single:
            values = await session.get([group.columns[name] for name in others])
            columns |= _columns_of(group, others, values, {})
            return
        found = await session.columns(group.columns[name] for name in others)
        columns |= {name: found[group.columns[name]] for name in others}
        for name in lacking:
            if name in group.slow:
                other = group.instead[name].take
                self.slow[group.name][other] = columns[other]

    async def _inventory(
        self,
        session: Session,
        system: Mapping[str, Value],
        read: list[tuple[Group, dict[str, Column]]],
        now_ms: int,
    ) -> Snapshot:
        """What the device is made of, in lines that stay the same as long as it does."""
        profile = self.profile
        assert profile is not None
        facts = {name: text_of(system.get(SYSTEM[name])) for name in ("name", "description", "location")}
        facts |= await self._facts(session, profile)
        lines = [f"{name}: {value}" for name, value in facts.items() if value]
        lines.append(f"profile: {profile.name}")
        have = {group.name: columns for group, columns in read}
        parts: list[str] = []
        for group in profile.groups:
            if not group.inventory:
                continue
            columns = dict(have.get(group.name, {}))
            missing = [name for name in group.inventory + list(group.listed) if name not in columns]
            oids = [group.columns[name] for name in dict.fromkeys(missing)]
            if group.single:
                columns |= _columns_of(group, missing, await session.get(oids), {})
            else:
                found = await session.columns(oids)
                columns |= {name: found[group.columns[name]] for name in missing}
            parts += sorted(list_inventory(group, columns), key=_natural)
        problem = "; ".join(session.odd)
        if len(parts) > INVENTORY_LINES_MAX:
            problem = problem or f"more than {INVENTORY_LINES_MAX} lines of inventory"
            parts = parts[:INVENTORY_LINES_MAX]
        text = "\n".join((*lines, "", *parts)) + "\n"
        return Snapshot(now_ms, INVENTORY, text, title="Inventory by SNMP", problem=cut(problem, 1024))

    async def _facts(self, session: Session, profile: Profile) -> dict[str, str]:
        facts = {
            name: fact
            for name in ("vendor", "model", "serial", "os_version")
            if isinstance(fact := getattr(profile.facts, name), Fact)
        }
        single = [oid for fact in facts.values() if not fact.table for oid in fact.oids]
        tables = [oid for fact in facts.values() if fact.table for oid in fact.oids]
        values = await session.get(single)
        columns = await session.columns(tables)
        found: dict[str, str] = {}
        for name, fact in facts.items():
            said: Iterable[Value] = (
                (value for oid in fact.oids for value in columns[oid].values())
                if fact.table
                else (values.get(oid) for oid in fact.oids)
            )
            text = fact.says or next((text for one in said if (text := text_of(one))), "")
            if fact.pattern:
                match = re.search(fact.pattern, text)
                text = next((group for group in match.groups() if group), "") if match else ""
            found[name.replace("_", " ")] = text
        return found

    def _answer(self, system: Mapping[str, Value], told: Told, snapshots: list[Snapshot]) -> Answer:
        assert self.profile is not None and self.session is not None and self.uptime is not None
        named = text_of(system.get(SYSTEM["name"])) or self.name
        words = f"{named} ({self.profile.title}) tells {len(told.numbers)} values"
        words += f" in {self.session.requests} requests"
        notes = list(self.session.odd)
        if told.odd_count:
            example = ", ".join(f"{metric} {what}" for metric, what in list(told.odd.items())[:3])
            notes.append(f"{told.odd_count} are no numbers that make sense and were left out: {example}")
        if len(told.numbers) > NUMBERS_MAX:
            notes.append(f"only {NUMBERS_MAX} values are taken in one poll: leave items out")
        if notes:
            words += "; " + "; ".join(notes)
        raw = "\n".join(
            (
                *(f"{name}: {text_of(system.get(oid))}" for name, oid in SYSTEM.items() if oid in system),
                *told.states,
            )
        )
        return Answer(True, words, cut(raw), told.numbers[:NUMBERS_MAX], snapshots=snapshots)

    def _keep_down(self, told: Told) -> None:
        """Remember, over a restart of this process, what is down and was not before."""
        down = sorted(
            f"{one.metric}\t{one.item}"
            for one in told.numbers
            if not one.value and (one.metric, one.item) in self.remembered.good
        )
        text = ""
        for line in down:
            if len(text) + len(line) >= REMEMBERED_MAX_CHARS:
                break
            text += line + "\n"
        if text != self.memory.get(_memory_name(self.name)):
            self.memory.put(_memory_name(self.name), text)


def _memory_name(name: str) -> str:
    return f"snmp down {name}"


def _recall(memory: Memory, name: str) -> set[tuple[str, str]]:
    lines = memory.get(_memory_name(name)).splitlines()
    return {(metric, item) for metric, tab, item in (line.partition("\t") for line in lines) if tab}


def _whole(value: Value) -> int:
    try:
        return int(number_of(value) or 0)
    except ValueError:
        return 0


def _columns_of(
    group: Group, names: Iterable[str], values: Mapping[str, Value], tables: Mapping[str, Column]
) -> dict[str, Column]:
    """The columns by the group's names; single values are columns of one row."""
    if not group.single:
        return {name: tables.get(group.columns[name], {}) for name in names}
    return {
        name: {"0": values[group.columns[name]]} if group.columns[name] in values else {} for name in names
    }


def _left_out(item: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(item, pattern) for pattern in patterns)


def _natural(line: str) -> list[tuple[int, str]]:
    """Gi1/0/2 before Gi1/0/10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"([0-9]{1,9})", line)]
