"""The packs that come with the product, by file name. The one place of the judge that reads files."""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files


@cache
def builtin_packs() -> Mapping[str, str]:
    """File name → text of every pack under `judge/packs/`."""
    folder = files("forestall.judge") / "packs"
    return {
        one.name: one.read_text("utf-8")
        for one in sorted(folder.iterdir(), key=lambda one: one.name)
        if one.name.endswith(".yaml")
    }
