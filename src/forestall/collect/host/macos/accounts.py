"""Who may use this Mac: users, groups, administrators, keys that open it."""

from typing import Any

from forestall.collect.host.linux.accounts import KEYS_MAX_CHARS, say_key
from forestall.collect.platforms.decoding import as_list
from forestall.collect.platforms.macos import GROUPS, USERS, read_plist
from forestall.collect.viewing import Reading, View, read_text
from forestall.kernel.plugins import Spec

EVERY_S = 120
SPEC = Spec(
    name="accounts",
    title="Users, groups, administrators, authorized keys",
    about="Users with home and shell, groups with members, who is an administrator, whose keys open what.",
    source="dscl(1) -plist -readall; sshd(8) AUTHORIZED_KEYS FILE FORMAT",
    limits="The system's own (names with _) are left out. Password hashes are not asked for.",
)
PREFIX = "dsAttrTypeStandard:"
USERS_MAX = 500


def look(view: View) -> Reading:
    """Up to four snapshots."""
    people = [row for row in _rows(view.run(USERS), "users") if not _of_system(row)][:USERS_MAX]
    groups = [row for row in _rows(view.run(GROUPS), "groups") if not _of_system(row)]
    users = sorted(
        f"{_first(row, 'RecordName')} uid={_first(row, 'UniqueID')} home={_first(row, 'NFSHomeDirectory')} "
        f"shell={_first(row, 'UserShell')}"
        for row in people
    )
    reading = Reading(snapshots=[view.snapshot("users", "Users", users, names=True)])
    lines = sorted(
        f"{_first(row, 'RecordName')} gid={_first(row, 'PrimaryGroupID')} members={','.join(_members(row))}"
        for row in groups
    )
    reading.snapshots.append(view.snapshot("groups", "Groups", lines, names=True))
    admins = [name for row in groups if _first(row, "RecordName") == "admin" for name in _members(row)]
    reading.snapshots.append(view.snapshot("administrators", "Administrators", admins, names=True))
    keys, problem = _keys(view, people)
    if keys or problem:
        reading.snapshots.append(view.snapshot("authorized_keys", "Authorized keys", keys, problem=problem))
    return reading


def _rows(output: bytes, of: str) -> list[dict[str, Any]]:
    return [row for row in as_list(read_plist(output, of=of)) if isinstance(row, dict)]


def _first(row: dict[str, Any], name: str) -> str:
    values = as_list(row.get(PREFIX + name))
    return str(values[0]) if values else ""


def _members(row: dict[str, Any]) -> list[str]:
    return sorted(map(str, as_list(row.get(PREFIX + "GroupMembership"))))


def _of_system(row: dict[str, Any]) -> bool:
    return _first(row, "RecordName").startswith("_")


def _keys(view: View, people: list[dict[str, Any]]) -> tuple[list[str], str]:
    lines: set[str] = set()
    problem = ""
    for row in people:
        home = _first(row, "NFSHomeDirectory")
        if len(home) < 2:
            continue
        path = view.root / home.lstrip("/") / ".ssh/authorized_keys"
        try:
            text = read_text(path, KEYS_MAX_CHARS)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            problem = f"{path} is not readable for the agent: {error.strerror}"
            continue
        lines |= {f"{_first(row, 'RecordName')}: {key}" for key in map(say_key, text.splitlines()) if key}
    return sorted(lines), problem
