"""Whether a restart is due: updates are installed that are not in force."""

import os
import re
from pathlib import Path

import psutil

from forestall.collect.viewing import NotHere, Reading, View
from forestall.kernel.plugins import Spec

EVERY_S = 300
SPEC = Spec(
    name="restart",
    title="Restart due",
    about="1 when the packages ask for a restart, or a newer kernel is installed than the one that runs.",
    source="Debian policy: /run/reboot-required; kernels in /boot and /lib/modules",
    limits="Nothing where neither can be known, as in a container.",
    produces=("updates.reboot_required",),
)


def look(view: View) -> Reading:
    """Raises NotHere when this machine does not say."""
    due = is_due(view.root, os.uname().release, psutil.boot_time())
    if due is None:
        raise NotHere("this machine does not say whether a restart is due")
    return Reading([view.sample("updates.reboot_required", float(due))])


def is_due(root: Path, running: str, boot_s: float) -> bool | None:
    """None when it cannot be known."""
    if any((root / name).exists() for name in ("run/reboot-required", "var/run/reboot-required")):
        return True
    images = {path.name.partition("-")[2]: path for path in (root / "boot").glob("vmlinuz-*")}
    if running not in images:
        kernels = [path.name for path in (root / "lib/modules").glob("*") if (path / "modules.dep").exists()]
        if kernels and running not in kernels and images:
            return True  # the kernel that runs was removed
        return None
    for release, path in images.items():
        if _version(release) > _version(running) and _flavour(release) == _flavour(running):
            try:
                if path.stat().st_mtime > boot_s:
                    return True
            except OSError:
                continue
    return False


def _version(release: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", release)]


def _flavour(release: str) -> str:
    return re.sub(r"[\d.~+-]", "", release)
