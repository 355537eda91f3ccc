"""Who may use this machine: users, groups, sudoers, keys that open it. Password hashes stay here."""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator

from forestall.collect.viewing import NotHere, Reading, View, read_text
from forestall.kernel.observations import Snapshot
from forestall.kernel.plugins import Spec

EVERY_S = 30
SPEC = Spec(
    name="accounts",
    title="Users, groups, sudoers, authorized keys",
    about="Accounts with home and shell, whether a password is set, groups, who may become root, whose SSH "
    "keys open which account.",
    source="passwd(5), shadow(5), group(5), sudoers(5), sshd(8) AUTHORIZED_KEYS FILE FORMAT",
    limits="/etc/shadow is read for locked or set alone, and only by root; 500 accounts with keys.",
)
HOMES_MAX = 500
KEYS_MAX_CHARS = 256 << 10
_KEY = re.compile(
    r"(?P<options>.*?)(?P<kind>(?:ssh|ecdsa|sk)-[\w@.-]+) (?P<key>[A-Za-z0-9+/=]{20,})(?P<rest>.*)"
)


def look(view: View) -> Reading:
    """Up to four snapshots."""
    if not (view.root / "etc/passwd").exists():
        raise NotHere("this machine has no /etc/passwd")
    return Reading(snapshots=[_users(view), _groups(view), *_sudoers(view), *_authorized_keys(view)])


def _users(view: View) -> Snapshot:
    states = {}
    try:
        for line in read_text(view.root / "etc/shadow").splitlines():
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
    return view.snapshot("users", "Users", sorted(lines), names=True)


def _groups(view: View) -> Snapshot:
    lines = []
    for line in read_text(view.root / "etc/group").splitlines():
        fields = line.split(":")
        if len(fields) >= 4:
            lines.append(
                f"{fields[0]} gid={fields[2]} members={','.join(sorted(filter(None, fields[3].split(','))))}"
            )
    return view.snapshot("groups", "Groups", sorted(lines), names=True)


def _sudoers(view: View) -> Iterator[Snapshot]:
    main = view.root / "etc/sudoers"
    lines: list[str] = []
    try:
        if not main.exists():
            return
        for path in (main, *sorted((view.root / "etc/sudoers.d").glob("*"))):
            if path.is_file():
                lines.append(f"# --- {path.relative_to(view.root)}")
                lines += [line.rstrip() for line in read_text(path).splitlines() if _counts(line)]
    except OSError as error:
        why = f"{error.filename} is not readable for the agent: {error.strerror}"
        yield view.snapshot("sudoers", "Sudoers", [], problem=why)
        return
    yield view.snapshot("sudoers", "Sudoers", lines)


def _counts(line: str) -> bool:
    """Not a comment: `#include`, `#includedir` and `#1000` (a user's number) are none."""
    return bool(line.strip()) and (line[0] != "#" or bool(re.match(r"#(include|includedir|\d)", line)))


def _authorized_keys(view: View) -> Iterator[Snapshot]:
    lines: list[str] = []
    problem = ""
    accounts = [line.split(":") for line in read_text(view.root / "etc/passwd").splitlines()]
    for fields in [fields for fields in accounts if len(fields) >= 7 and len(fields[5]) > 1][:HOMES_MAX]:
        for name in ("authorized_keys", "authorized_keys2"):
            path = view.root / fields[5].lstrip("/") / ".ssh" / name
            try:
                text = read_text(path, KEYS_MAX_CHARS)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                problem = f"{path} is not readable for the agent: {error.strerror}"
                continue
            lines += [f"{fields[0]}: {key}" for key in map(say_key, text.splitlines()) if key]
    if lines or problem:
        yield view.snapshot("authorized_keys", "Authorized keys", sorted(set(lines)), problem=problem)


def say_key(line: str) -> str:
    """A line of authorized_keys with the key's fingerprint in place of the key; "" for none."""
    line = line.strip()
    if not line or line[0] == "#":
        return ""
    found = _KEY.fullmatch(line)
    if not found:
        return f"(not a key) {hashlib.sha256(line.encode()).hexdigest()[:16]}"
    try:
        digest = hashlib.sha256(base64.b64decode(found["key"], validate=True)).digest()
    except (binascii.Error, ValueError):
        digest = hashlib.sha256(found["key"].encode()).digest()
    fingerprint = base64.b64encode(digest).decode().rstrip("=")
    return f"{found['options']}{found['kind']} SHA256:{fingerprint}{found['rest']}".strip()
