"""Who may use this Windows: local users, groups and their members, administrators."""

from typing import Any

from forestall.collect.platforms.decoding import as_list, as_state, as_text
from forestall.collect.platforms.windows import ask
from forestall.collect.viewing import Reading, View
from forestall.kernel.plugins import Spec

EVERY_S = 300
SPEC = Spec(
    name="accounts",
    title="Users, groups, administrators",
    about="Local users and whether they may sign in, local groups with members, who is an administrator.",
    source="Win32_UserAccount, Win32_Group, ADSI WinNT provider; well-known SIDs (S-1-5-32-544)",
    limits="Members that no longer exist are shown by their SID. A domain controller has no local accounts.",
)
ADMINISTRATORS = "S-1-5-32-544"  # its name is in the language of the system


def look(view: View) -> Reading:
    """Up to three snapshots. Raises as `ask`."""
    users = sorted(_say_user(row) for row in ask(view, "users"))
    groups = ask(view, "groups")
    reading = Reading(snapshots=[view.snapshot("users", "Users", users, names=True)])
    wrong = next((as_text(row["Error"]) for row in groups if as_text(row.get("Error"))), "")
    lines = sorted(
        f"{as_text(row.get('Name'))} {as_text(row.get('Sid'))} members={','.join(_members(row))}"
        for row in groups
    )
    problem = f"the members of a group cannot be read: {wrong}" if wrong else ""
    reading.snapshots.append(view.snapshot("groups", "Groups", lines, problem=problem, names=True))
    for row in groups:
        if as_text(row.get("Sid")) == ADMINISTRATORS:
            problem = as_text(row.get("Error"))
            reading.snapshots.append(
                view.snapshot("administrators", "Administrators", _members(row), problem=problem, names=True)
            )
    return reading


def _say_user(row: dict[str, Any]) -> str:
    state = "disabled" if as_state(row.get("Disabled")) else "enabled"
    needs = "required" if as_state(row.get("PasswordRequired")) else "NOT-REQUIRED"
    expires = "" if as_state(row.get("PasswordExpires")) else " password-never-expires"
    return f"{as_text(row.get('Name'))} {as_text(row.get('Sid'))} {state} password={needs}{expires}"


def _members(row: dict[str, Any]) -> list[str]:
    """`WinNT://BAECKEREI/anna` as `BAECKEREI\\anna`."""
    found = []
    for path in as_list(row.get("Members")):
        parts = [part for part in as_text(path).removeprefix("WinNT://").split("/") if part]
        found.append("\\".join(parts[-2:]))
    return sorted(filter(None, found), key=str.casefold)
