"""Settings of an installation: one typed object from `forestall.toml` and `FORESTALL_…` variables."""

import os
import tomllib
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from forestall.kernel.datadir import DataDir
from forestall.kernel.errors import Trouble

NOT_SETTINGS = frozenset({"data", "parent", "queue", "log"})  # variables that are not settings
Port = Annotated[int, Meta(ge=1, le=65535)]
PortOrNone = Annotated[int, Meta(ge=0, le=65535)]


class Ports(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Default ports; `port_offset` shifts all of them. A listener whose port is 0 does not listen."""

    web: Port = 8080
    syslog: PortOrNone = 5514
    syslog_tls: PortOrNone = 6514
    relp: PortOrNone = 2514
    traps: PortOrNone = 1162
    zabbix: PortOrNone = 10051
    smtp: PortOrNone = 8025
    store: Port = 8123


class Tls(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """PEM files for syslog over TLS; without `certificate` one is made in the data directory. With
    `client_ca` senders must show a certificate of one of these authorities."""

    certificate: str = ""
    key: str = ""
    client_ca: str = ""


class Mail(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The server through which mail leaves. `password_file` names a file, so that no secret stands here.
    `trusted`: the names of our own mail servers, whose Authentication-Results of what comes in count."""

    host: str = ""
    port: Port = 25
    security: str = "none"
    user: str = ""
    password_file: str = ""
    sender: str = "forestall@localhost"
    trusted: list[str] = []


class Guard(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The watcher of the watcher: its own channel out, apart from everything else."""

    webhook: str = ""
    mail_to: str = ""
    wedged_after_s: Annotated[int, Meta(ge=5, le=3600)] = 30


class Limits(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is kept, and how much may wait."""

    queue_max_bytes: Annotated[int, Meta(ge=16 << 20)] = 8 << 30
    keep_logs_days: Annotated[int, Meta(ge=1, le=3650)] = 90
    keep_samples_days: Annotated[int, Meta(ge=1, le=3650)] = 400
    disk_reserve_bytes: Annotated[int, Meta(ge=0)] = 128 << 20
    store_memory_bytes: Annotated[int, Meta(ge=256 << 20)] = 2 << 30


class Backup(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When Forestall backs itself up. `directory` "" never; `telemetry_days` 0 none of it, -1 all."""

    directory: str = ""
    every_hours: Annotated[int, Meta(ge=1, le=24 * 31)] = 24
    keep: Annotated[int, Meta(ge=1, le=1000)] = 7
    telemetry_days: Annotated[int, Meta(ge=-1, le=3650)] = -1


class Config(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything that can be set. `host` is where the console and the doors listen, `syslog_host` where
    syslog does, over TLS and RELP too."""

    host: str = "127.0.0.1"
    syslog_host: str = "127.0.0.1"
    traps_host: str = "127.0.0.1"
    zabbix_host: str = "127.0.0.1"
    smtp_host: str = "127.0.0.1"
    traps_users: list[str] = []
    port_offset: Annotated[int, Meta(ge=0, le=50_000)] = 0
    public_url: str = ""
    database_url: str = ""
    ports: Ports = Ports()
    tls: Tls = Tls()
    mail: Mail = Mail()
    guard: Guard = Guard()
    limits: Limits = Limits()
    backup: Backup = Backup()

    def port(self, name: str) -> int:
        """The port of `web`, `store` or a listener, shifted by the offset; 0 for a listener that is off."""
        port = int(getattr(self.ports, name))
        return port + self.port_offset if port else 0

    @property
    def url(self) -> str:
        """Where people reach the console."""
        return self.public_url or f"http://{self.host}:{self.port('web')}"


def data_dir(given: Path | None = None) -> DataDir:
    """The installation's directory: `--data`, else FORESTALL_DATA, else ~/.local/share/forestall."""
    chosen = given or os.environ.get("FORESTALL_DATA") or Path.home() / ".local/share/forestall"
    return DataDir(Path(chosen))


def read_config(data: DataDir) -> Config:
    """The settings of an installation. Raises Trouble that names the file and the setting."""
    try:
        text = data.settings.read_text() if data.settings.exists() else ""
    except OSError as error:
        raise Trouble(
            f"{data.settings} cannot be read: {error.strerror}", "Make it readable for this user."
        ) from error
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise Trouble(f"{data.settings} is not TOML: {error}", "Mend that line.") from error
    for name, value in os.environ.items():
        key = name.removeprefix("FORESTALL_").lower()
        if not name.startswith("FORESTALL_") or key in NOT_SETTINGS:
            continue
        section, _, inner = key.partition("__")
        if inner:
            table.setdefault(section, {})[inner] = value
        else:
            table[section] = value
    if url := os.environ.get("DATABASE_URL"):
        table["database_url"] = url
    try:
        return msgspec.convert(table, Config, strict=False)
    except msgspec.ValidationError as error:
        raise Trouble(
            f"a setting in {data.settings} or the environment is wrong: {error}", "See docs/settings.md."
        ) from error
