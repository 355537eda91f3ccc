"""The agent's own settings: `agent.toml` in its directory, made on its machine and never by the server."""

import tomllib
from pathlib import Path
from typing import Any

from forestall.kernel.errors import Trouble

SETTINGS = "agent.toml"


def read_settings(directory: Path) -> dict[str, Any]:
    """`[look.log_files] more = […]`, `plugins = "/…"`, `proxy = "http://…"`; none without the file.

    Raises Trouble when it cannot be read.
    """
    path = directory / SETTINGS
    try:
        return tomllib.loads(path.read_text()) if path.exists() else {}
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise Trouble(f"{path} cannot be read: {error}", "Mend it or remove it.") from error
