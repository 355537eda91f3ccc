"""The Windows event log, read on from the number of the last record of each channel, across restarts."""

import re
from datetime import UTC, datetime
from typing import Any
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from forestall.collect.platforms.windows import EVENTS_A_LOOK, events
from forestall.collect.viewing import NotHere, Reading, View
from forestall.kernel.observations import LogRecord
from forestall.kernel.plugins import Setting, Spec

EVERY_S = 15
FOLLOWS = True
SPEC = Spec(
    name="event_log",
    title="Event log",
    about="New events as lines `Event 7034: …`, which are the same in every language up to the colon.",
    source="wevtutil(1), Event Schema of Windows (EventRecordID, Level, Keywords), RFC 5424 for severities",
    settings=(
        Setting("more", "More channels", kind="lines", default=[], help="Names of event logs, one a line."),
    ),
    limits="Of the Security channel only who may sign in, failures and tampering. 500 events a channel and "
    "look, 20 channels, 32 KiB a message. The channel Security needs administrative rights.",
)
CHANNELS_MAX = 20
MESSAGE_MAX_CHARS = 32_768
FIRST_EVENTS = 100
CLEARED_LOOK_S = 120.0
WHICH_SECURITY = (
    "1100 1102 4616 4625 4697 4698 4719 4720 4722 4723 4724 4725 4726 4728 4732 4738 4740 4756 4767 5025"
)
CHANNELS = {
    "System": "",
    "Application": "",
    "Security": " or ".join(f"EventID={number}" for number in WHICH_SECURITY.split()),
    "Setup": "",
    "Microsoft-Windows-Windows Defender/Operational": "Level>0 and Level<4",
    "Microsoft-Windows-Backup": "",
    "Microsoft-Windows-TerminalServices-LocalSessionManager/Operational": "EventID=21 or EventID=23",
}
SEVERITIES = {1: 2, 2: 3, 3: 4, 4: 6, 5: 7}  # critical, error, warning, information, verbose
ATTRS = {  # of what an event carries; other values may be secrets and stand in the masked message alone
    "TargetUserName": "user",
    "User": "user",
    "param7": "user",  # of 1074, who asked for the restart
    "SubjectUserName": "by",
    "IpAddress": "address",
    "Address": "address",
}
AUDIT_FAILURE = 0x0010_0000_0000_0000
SECURITY_FACILITY, DAEMON_FACILITY = 10, 3
_EVENT = re.compile(r"<Event[\s>].*?</Event>", re.DOTALL)
_NOT_XML = re.compile(
    "[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|&#(?:x[01]?[0-9a-f]|[0-2]?\\d);"
)


def look(view: View) -> Reading:
    """New events of every channel; the first look ever takes the newest hundred. Raises OSError when no
    channel can be read."""
    reading = Reading()
    places: dict[str, int] = dict(view.kept.get("places", {}))
    wanted = CHANNELS | dict.fromkeys(view.settings.get("more", []), "")
    refused: list[str] = []
    for channel, which in list(wanted.items())[:CHANNELS_MAX]:
        try:
            _read_on(view, reading, channel, which, places)
        except NotHere:
            continue
        except (OSError, ValueError) as error:
            refused.append(f"{channel}: {error}")
    if refused and len(refused) == len(wanted):
        raise OSError(refused[0])
    said = "; ".join(refused)
    if said != view.memory.get("refused", ""):
        view.memory["refused"] = said
        if said:
            text = f"event logs that are not followed: {said}"[:MESSAGE_MAX_CHARS]
            reading.logs.append(LogRecord(view.now_ms, 4, "forestall-agent", text))
    if places != view.kept.get("places"):
        reading.keep = {"places": places}
    return reading


def _read_on(view: View, reading: Reading, channel: str, which: str, places: dict[str, int]) -> None:
    """Add what is new in a channel, and where to read on."""
    last = places.get(channel)
    if last is None:
        text = events(view, channel, _query("", which), newest=True, most=FIRST_EVENTS)
    else:
        text = events(view, channel, _query(f"EventRecordID>{last}", which))
    found, damaged = read_events(text, view.now_ms)
    if not found and not damaged and last is not None and _was_cleared(view, channel, last):
        text = events(view, channel, _query("", which), newest=True, most=FIRST_EVENTS)
        found, damaged = read_events(text, view.now_ms)
        last = 0
    if damaged:
        text = f"{damaged} events of {channel} could not be read"
        reading.logs.append(LogRecord(view.now_ms, 4, "forestall-agent", text))
    numbers = [number for number, _ in found]
    reading.logs += [record for number, record in sorted(found, key=lambda one: one[0])]
    reading.more = reading.more or (places.get(channel) is not None and len(found) >= EVENTS_A_LOOK)
    places[channel] = max([*numbers, last or 0])


def _query(after: str, which: str) -> str:
    parts = [part if " or " not in part else f"({part})" for part in (after, which) if part]
    return f"*[System[{' and '.join(parts)}]]" if parts else "*"


def _was_cleared(view: View, channel: str, last: int) -> bool:
    """Whether the channel's numbers began anew. Asked from time to time, when nothing comes."""
    asked = view.memory.setdefault("asked", {})
    if view.steady_s - asked.get(channel, view.steady_s - CLEARED_LOOK_S) < CLEARED_LOOK_S:
        return False
    asked[channel] = view.steady_s
    found, _ = read_events(events(view, channel, "*", newest=True, most=1), view.now_ms)
    return bool(found) and max(number for number, _ in found) < last


def read_events(text: str, now_ms: int) -> tuple[list[tuple[int, LogRecord]], int]:
    """Number and record of every whole event, and how many could not be read. A cut one at the end is
    none: it is read again."""
    found, damaged = [], 0
    for element in _EVENT.findall(text):
        try:
            found.append(_record(fromstring(_NOT_XML.sub(" ", element)), now_ms))
        except (ParseError, DefusedXmlException, ValueError, AttributeError):
            damaged += 1
    return found, damaged


def _record(event: Element, now_ms: int) -> tuple[int, LogRecord]:
    """Raises ValueError without its number."""
    for node in event.iter():
        node.tag = node.tag.rpartition("}")[2]
    system = event.find("System")
    if system is None:
        raise ValueError("an event without System")
    number = int(_said(system, "EventRecordID"))
    identity = _said(system, "EventID")
    provider = system.find("Provider")
    source = (provider.get("EventSourceName") or provider.get("Name") or "") if provider is not None else ""
    channel = _said(system, "Channel")
    made = system.find("TimeCreated")
    attrs = {"event_id": identity, "channel": channel, "record": str(number)}
    for name, value in _data(event):
        if name in ATTRS:
            attrs.setdefault(ATTRS[name], value[:256])
    return number, LogRecord(
        at_ms=_time_ms(made.get("SystemTime", "") if made is not None else "", now_ms),
        severity=_severity(system),
        facility=SECURITY_FACILITY if channel == "Security" else DAEMON_FACILITY,
        source=(source or channel or "event log")[:128],
        message=f"Event {identity}: {_message(event)}"[:MESSAGE_MAX_CHARS],
        attrs=attrs,
    )


def _severity(system: Element) -> int:
    level = _said(system, "Level")
    keywords = _said(system, "Keywords")
    try:
        if int(keywords or "0", 16) & AUDIT_FAILURE:
            return 4
        return SEVERITIES.get(int(level or "4"), 6)
    except ValueError:
        return 6


def _message(event: Element) -> str:
    """As the publisher says it, on one line; where it cannot be said, the data alone."""
    for path in ("RenderingInfo/Message", "UserData//Message"):
        node = event.find(path)
        if node is not None and (text := " ".join("".join(node.itertext()).split())):
            return text
    return " ".join(f"{name}={value}" if name else value for name, value in _data(event)) or "(no text)"


def _data(event: Element) -> list[tuple[str, str]]:
    """Name and value of what the event carries; names may be missing."""
    found: list[tuple[str, Any]] = []
    for part in ("EventData", "UserData"):
        node = event.find(part)
        for leaf in node.iter() if node is not None else ():
            if len(leaf) == 0 and (leaf.text or "").strip() and leaf is not node:
                name = leaf.get("Name") or ("" if leaf.tag in {"Data", "Binary"} else leaf.tag)
                if leaf.tag != "Binary":
                    found.append((name, " ".join((leaf.text or "").split())))
    return found


def _said(node: Element, name: str) -> str:
    return (node.findtext(name) or "").strip()


def _time_ms(text: str, now_ms: int) -> int:
    """`2026-11-23T08:12:33.1234567Z` in ms; of now when it is none."""
    text = re.sub(r"(\.\d{6})\d+", r"\1", text.replace("Z", "+00:00"))
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return now_ms
    return max(0, int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000))
