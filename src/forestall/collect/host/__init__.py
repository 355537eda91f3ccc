"""What the agent sees of its own machine. A look is one file: a SPEC and `def look(view)`.

`everywhere/` runs on every machine; `linux/`, `windows/` and `macos/` on theirs. A look of one platform that
sees the same thing has the same name, kinds and metrics as on the others.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from forestall.kernel.errors import Trouble
from forestall.kernel.plugins import load

EVERYWHERE = "forestall.collect.host.everywhere"
PLATFORMS = {
    "linux": "forestall.collect.host.linux",
    "win32": "forestall.collect.host.windows",
    "darwin": "forestall.collect.host.macos",
}


def looks_of(platform: str = sys.platform) -> Mapping[str, ModuleType]:
    """The looks of a platform (`sys.platform`), by name. On an unknown one, those that work everywhere.

    Raises Trouble when two have the same name.
    """
    found = dict(load(EVERYWHERE))
    for name, module in load(PLATFORMS[platform]).items() if platform in PLATFORMS else ():
        if name in found:
            raise Trouble(f"two looks on {platform} are called {name!r}", "Rename one of them.")
        found[name] = module
    return dict(sorted(found.items()))


def system_root(platform: str = sys.platform) -> Path:
    """Below which the files of this machine are: `/`, or the drive that Windows is on."""
    return Path(os.environ.get("SYSTEMDRIVE", "C:") + "\\") if platform == "win32" else Path("/")
