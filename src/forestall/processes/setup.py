"""Where a process begins: find the installation, read its settings, start Django."""

import os
from dataclasses import dataclass
from pathlib import Path

from forestall.kernel.config import Config, data_dir, read_config
from forestall.kernel.datadir import DataDir
from forestall.kernel.errors import Trouble


@dataclass(frozen=True, slots=True)
class Installation:
    """A data directory and the settings in force."""

    data: DataDir
    config: Config


def locate(given: Path | None = None) -> Installation:
    """The installation of `--data DIR` or FORESTALL_DATA, without Django. Nothing is created."""
    data = data_dir(given)
    os.environ["FORESTALL_DATA"] = str(data.root)
    return Installation(data, read_config(data))


def installation(given: Path | None = None) -> Installation:
    """The installation with Django ready for its tables. Raises Trouble when there is none yet."""
    found = locate(given)
    if not found.data.secret.is_dir():
        raise Trouble(f"there is no installation in {found.data.root}", "Start one with: forestall up")
    start_django()
    return found


def start_django() -> None:
    """Make models usable in this process; FORESTALL_DATA says whose."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "forestall.web.settings")
    import django

    django.setup()
