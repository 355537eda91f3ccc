"""Chosen files under /etc, sshd's first: each is a configuration with versions of its own."""

import re
from collections.abc import Iterator
from pathlib import Path

from forestall.collect.viewing import Reading, View, read_text
from forestall.kernel.observations import Snapshot
from forestall.kernel.plugins import Setting, Spec

EVERY_S = 10
SPEC = Spec(
    name="etc_files",
    title="Files under /etc",
    about="sshd with its includes, name resolution, mounts, kernel settings, package sources, services.",
    source="file-hierarchy(7), sshd_config(5) Include",
    settings=(Setting("more", "More files", kind="lines", default=[], help="Patterns below /, one a line."),),
    limits="512 files, 1 MiB each kind; secrets are masked.",
)
FILES = (
    ("sshd_config", "sshd_config", ("etc/ssh/sshd_config", "etc/ssh/sshd_config.d/*.conf")),
    ("hosts", "/etc/hosts", ("etc/hosts",)),
    ("resolver", "/etc/resolv.conf", ("etc/resolv.conf", "etc/nsswitch.conf")),
    ("fstab", "/etc/fstab", ("etc/fstab",)),
    ("sysctl", "Kernel settings", ("etc/sysctl.conf", "etc/sysctl.d/*.conf")),
    ("apt_sources", "Package sources", ("etc/apt/sources.list", "etc/apt/sources.list.d/*")),
    ("network_files", "Network", ("etc/network/interfaces", "etc/netplan/*.yaml", "etc/systemd/network/*")),
    ("rsyslog", "rsyslog", ("etc/rsyslog.conf", "etc/rsyslog.d/*.conf")),
    ("nginx", "nginx", ("etc/nginx/nginx.conf", "etc/nginx/conf.d/*.conf", "etc/nginx/sites-enabled/*")),
    (
        "apache",
        "Apache",
        ("etc/apache2/apache2.conf", "etc/apache2/sites-enabled/*", "etc/httpd/conf/*.conf"),
    ),
    ("logrotate", "logrotate", ("etc/logrotate.conf", "etc/logrotate.d/*")),
    ("snmpd", "snmpd", ("etc/snmp/snmpd.conf", "etc/snmp/snmpd.conf.d/*.conf")),
    ("pam", "PAM", ("etc/pam.d/*",)),
)
FILES_MAX = 512
INCLUDE_DEPTH_MAX = 4
_INCLUDE = re.compile(r"(?im)^\s*include\s+(.+?)\s*$")


def look(view: View) -> Reading:
    """One snapshot a group, of the files that are there. Unchanged files are not read again."""
    more = [pattern.lstrip("/") for pattern in view.settings.get("more", [])]
    groups = [*FILES, *((f"file /{pattern}", f"/{pattern}", (pattern,)) for pattern in more)]
    snapshots = []
    left = FILES_MAX
    for kind, title, patterns in groups:
        paths = list(dict.fromkeys(path for pattern in patterns for path in _files(view.root, pattern)))
        if kind == "sshd_config":
            paths += [path for path in _included(view.root, paths, INCLUDE_DEPTH_MAX) if path not in paths]
        paths = paths[:left]
        left -= len(paths)
        if paths:
            snapshots.append(_capture(view, kind, title, paths))
    return Reading(snapshots=snapshots)


def _files(root: Path, pattern: str) -> Iterator[Path]:
    yield from (path for path in sorted(root.glob(pattern)) if path.is_file())


def _included(root: Path, paths: list[Path], depth: int) -> Iterator[Path]:
    """What sshd's files include besides: relative names are in /etc/ssh."""
    if not depth:
        return
    for path in paths:
        try:
            names = [name for line in _INCLUDE.findall(read_text(path)) for name in line.split()]
        except OSError:
            continue
        for name in names[:FILES_MAX]:
            pattern = name.strip('"').lstrip("/") if name.strip('"')[:1] == "/" else f"etc/ssh/{name}"
            inner = [found for found in _files(root, pattern) if found not in paths]
            yield from inner
            yield from _included(root, inner, depth - 1)


def _capture(view: View, kind: str, title: str, paths: list[Path]) -> Snapshot:
    """The group's snapshot, from memory while no file's time or size changes."""
    stamp = []
    for path in paths:
        try:
            state = path.stat()
            stamp.append((str(path), state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns))
        except OSError:
            stamp.append((str(path), 0, 0, 0, 0))
    known = view.memory.get(kind)
    if known and known[0] == stamp and not known[1].problem:
        before: Snapshot = known[1]
        return Snapshot(view.now_ms, kind, before.text, before.title, "", view.signed_in())
    lines, problem = _text(paths, view.root)
    snapshot = view.snapshot(kind, title, lines, problem=problem)
    view.memory[kind] = (stamp, snapshot)
    return snapshot


def _text(paths: list[Path], root: Path) -> tuple[list[str], str]:
    """The files one after the other; what could not be read."""
    lines: list[str] = []
    for path in paths:
        if len(paths) > 1:
            lines.append(f"# --- {path.relative_to(root)}")
        try:
            lines += [line.rstrip() for line in read_text(path).splitlines()]
        except OSError as error:
            return lines, f"{path} is not readable for the agent: {error.strerror or error}"
    return lines, ""
