"""Plug-ins: one file with a `SPEC` and one function. No list to edit, no migration.

A package of plug-ins (probes, listeners, notifiers, …) is read by importing every module in it; other
distributions add theirs through an entry point group of the same name (`forestall.probes`).
"""

import importlib
import importlib.metadata
import pkgutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from types import ModuleType
from typing import Any, Literal

from forestall.kernel.errors import Trouble

Kind = Literal["text", "secret", "number", "whole", "yes_no", "choice", "lines"]


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of a plug-in: forms, the catalogue page and the documents are generated from it."""

    name: str
    title: str
    kind: Kind = "text"
    default: Any = None
    required: bool = False
    help: str = ""
    choices: tuple[str, ...] = ()
    least: float | None = None
    most: float | None = None

    def read(self, given: object) -> Any:
        """The setting's value from what was given. Raises ValueError with what to write instead."""
        if given is None or given == "":
            if self.required:
                raise ValueError(f"{self.name} is missing: {self.help or self.title}")
            return self.default
        match self.kind:
            case "number" | "whole":
                try:
                    number: float = int(str(given)) if self.kind == "whole" else float(str(given))
                except ValueError:
                    raise ValueError(f"{self.name} must be a number, not {given!r}") from None
                if self.least is not None and number < self.least:
                    raise ValueError(f"{self.name} must be at least {self.least:g}, not {number:g}")
                if self.most is not None and number > self.most:
                    raise ValueError(f"{self.name} must be at most {self.most:g}, not {number:g}")
                return number
            case "yes_no":
                if isinstance(given, bool):
                    return given
                if str(given).lower() in {"yes", "true", "1", "on"}:
                    return True
                if str(given).lower() in {"no", "false", "0", "off"}:
                    return False
                raise ValueError(f"{self.name} must be yes or no, not {given!r}")
            case "choice":
                if str(given) not in self.choices:
                    raise ValueError(f"{self.name} must be one of {', '.join(self.choices)}, not {given!r}")
                return str(given)
            case "lines":
                if isinstance(given, str):
                    return [line.strip() for line in given.splitlines() if line.strip()]
                if isinstance(given, list) and all(isinstance(line, str) for line in given):
                    return given
                raise ValueError(f"{self.name} must be lines of text")
        if not isinstance(given, str):
            raise ValueError(f"{self.name} must be text, not {given!r}")
        return given


@dataclass(frozen=True, slots=True)
class Spec:
    """What a plug-in says of itself. `source` names the standard or the vendor page that it follows;
    `credentials` are the kinds with which it can sign in (kernel.credentials)."""

    name: str
    title: str
    about: str
    source: str
    settings: tuple[Setting, ...] = ()
    limits: str = ""
    produces: tuple[str, ...] = field(default=())
    credentials: tuple[str, ...] = ()

    def read(self, given: Mapping[str, object]) -> dict[str, Any]:
        """All settings from what was given. Raises ValueError for a wrong, missing or unknown one."""
        known = {setting.name for setting in self.settings}
        for name in given:
            if name not in known:
                raise ValueError(
                    f"{self.name} has no setting {name!r}; it has {', '.join(sorted(known)) or 'none'}"
                )
        return {setting.name: setting.read(given.get(setting.name)) for setting in self.settings}


@cache
def load(package: str) -> Mapping[str, ModuleType]:
    """The plug-ins of a package (`forestall.collect.probes`), by name.

    Raises Trouble when a plug-in has no SPEC, or two have the same name.
    """
    found: dict[str, ModuleType] = {}
    home = importlib.import_module(package)
    modules = [
        importlib.import_module(f"{package}.{info.name}") for info in pkgutil.iter_modules(home.__path__)
    ]
    group = f"forestall.{package.rsplit('.', 1)[-1]}"
    modules += [entry.load() for entry in importlib.metadata.entry_points(group=group)]
    for module in modules:
        spec = getattr(module, "SPEC", None)
        if not isinstance(spec, Spec):
            raise Trouble(f"the plug-in {module.__name__} has no SPEC", "See docs/howto/.")
        if spec.name in found:
            raise Trouble(f"two plug-ins of {package} are called {spec.name!r}", "Rename one of them.")
        found[spec.name] = module
    return dict(sorted(found.items()))


class OnDemand(Mapping[str, ModuleType]):
    """The plug-ins of a package by name, each imported when it is first used: an agent that asks no database
    loads no driver. A plug-in is in the file, or behind the entry point, of its own name."""

    def __init__(self, package: str) -> None:
        self._package = package
        home = importlib.import_module(package)
        self._here = {info.name for info in pkgutil.iter_modules(home.__path__)}
        group = f"forestall.{package.rsplit('.', 1)[-1]}"
        self._elsewhere = {entry.name: entry for entry in importlib.metadata.entry_points(group=group)}
        self._loaded: dict[str, ModuleType] = {}

    def __getitem__(self, name: str) -> ModuleType:
        """Raises KeyError when there is none of that name, Trouble when it cannot be used on this machine."""
        if name in self._loaded:
            return self._loaded[name]
        if name not in self._here and name not in self._elsewhere:
            raise KeyError(name)
        try:
            module = (
                importlib.import_module(f"{self._package}.{name}")
                if name in self._here
                else self._elsewhere[name].load()
            )
        except ImportError as error:
            raise Trouble(
                f"{name} cannot be used on this machine: {error}", "Install what it needs there."
            ) from error
        spec = getattr(module, "SPEC", None)
        if not isinstance(spec, Spec) or spec.name != name:
            raise Trouble(f"the plug-in {module.__name__} has no SPEC of its own name", "See docs/howto/.")
        self._loaded[name] = module
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted({*self._here, *self._elsewhere}))

    def __len__(self) -> int:
        return len({*self._here, *self._elsewhere})
