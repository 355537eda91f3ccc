"""Chosen files under /etc, sshd's first: each is a configuration with versions of its own."""

from pathlib import Path

from forestall.collect.viewing import Reading, View, read_text
from forestall.kernel.plugins import Setting, Spec

EVERY_S = 10
SPEC = Spec(
    name="etc_files",
    title="Files under /etc",
    about="sshd with its includes, name resolution, mounts, kernel settings, package sources, services.",
    source="file-hierarchy(7)",
    settings=(Setting("more", "More files", kind="lines", default=[], help="Patterns below /, one a line."),),
    limits="512 files, 1 MiB each; secrets are masked.",
)
FILES = (
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
    ("pam", "PAM", ("etc/pam.d/*",)),
    ("sshd_config", "sshd_config", ("etc/ssh/sshd_config", "etc/ssh/sshd_config.d/*.conf")),
)
FILES_MAX = 512


def look(view: View) -> Reading:
    """One snapshot a group, of the files that are there."""
    groups = [
        *FILES,
        *((f"file {pattern}", pattern, (pattern.lstrip("/"),)) for pattern in view.settings.get("more", [])),
    ]
    snapshots = []
    left = FILES_MAX
    for kind, title, patterns in groups:
        paths = [path for pattern in patterns for path in sorted(view.root.glob(pattern)) if path.is_file()][
            :left
        ]
        left -= len(paths)
        if paths:
            lines, problem = _text(paths, view.root)
            snapshots.append(view.snapshot(kind, title, lines, problem=problem))
    return Reading(snapshots=snapshots)


def _text(paths: list[Path], root: Path) -> tuple[list[str], str]:
    """The files one after the other; what could not be read."""
    lines: list[str] = []
    for path in paths:
        if len(paths) > 1:
            lines.append(f"# --- {path.relative_to(root)}")
        try:
            lines += [line.rstrip() for line in read_text(path).splitlines()]
        except OSError as error:
            return lines, f"{path} is not readable for the agent: {error.strerror}"
    return lines, ""
