"""Who may use this machine: users, groups, sudoers. Password hashes stay here."""

from collections.abc import Iterator

from forestall.collect.viewing import Reading, View, read_text
from forestall.kernel.observations import Snapshot
from forestall.kernel.plugins import Spec

EVERY_S = 30
SPEC = Spec(
    name="accounts",
    title="Users, groups, sudoers",
    about="Accounts with home and shell, whether a password is set, groups, who may become root.",
    source="passwd(5), shadow(5), group(5), sudoers(5)",
    limits="/etc/shadow is read for locked or set alone, and only by root.",
)


def look(view: View) -> Reading:
    """Three snapshots."""
    return Reading(snapshots=[_users(view), _groups(view), *_sudoers(view)])


def _users(view: View) -> Snapshot:
    states = {}
    shadow = view.root / "etc/shadow"
    try:
        for line in read_text(shadow).splitlines():
            name, _, rest = line.partition(":")
            secret = rest.partition(":")[0]
            states[name] = "locked" if secret.startswith(("!", "*")) else "set" if secret else "EMPTY"
    except OSError:
        states = {}
    lines = []
    for line in read_text(view.root / "etc/passwd").splitlines():
        fields = line.split(":")
        if len(fields) >= 7:
            word = states.get(fields[0], "unknown")
            where = f"home={fields[5]} shell={fields[6]}"
            lines.append(f"{fields[0]} uid={fields[2]} gid={fields[3]} {where} sign-in={word}")
    return view.snapshot("users", "Users", sorted(lines))


def _groups(view: View) -> Snapshot:
    lines = []
    for line in read_text(view.root / "etc/group").splitlines():
        fields = line.split(":")
        if len(fields) >= 4:
            lines.append(
                f"{fields[0]} gid={fields[2]} members={','.join(sorted(filter(None, fields[3].split(','))))}"
            )
    return view.snapshot("groups", "Groups", sorted(lines))


def _sudoers(view: View) -> Iterator[Snapshot]:
    main = view.root / "etc/sudoers"
    if not main.exists():
        return
    lines: list[str] = []
    try:
        for path in (main, *sorted((view.root / "etc/sudoers.d").glob("*"))):
            if path.is_file():
                lines.append(f"# {path.relative_to(view.root)}")
                lines += [
                    line.rstrip() for line in read_text(path).splitlines() if line.strip() and line[0] != "#"
                ]
    except OSError as error:
        yield view.snapshot("sudoers", "Sudoers", [], problem=f"not readable for the agent: {error.strerror}")
        return
    yield view.snapshot("sudoers", "Sudoers", lines)
