"""Commands of keeping: backup and restore of Forestall itself, the recovery key."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from forestall.kernel.errors import Trouble
from forestall.kernel.words import say_bytes
from forestall.processes.admin_common import Data, Json, ask_secret, shell_scope
from forestall.processes.archiving import make_backup
from forestall.processes.setup import Installation, installation, locate, start_django

if TYPE_CHECKING:
    from forestall.keeping.archive import Manifest

safekeeping = typer.Typer()
ALL = "all"


def days_of(text: str) -> int | None:
    """Of how many days telemetry is taken: none is 0, all is None. Raises Trouble."""
    if text in (ALL, "none"):
        return None if text == ALL else 0
    if not text.isdigit() or not 1 <= int(text) <= 3650:
        raise Trouble(f"--telemetry is none, all or a number of days, not {text!r}", "Write --telemetry 30.")
    return int(text)


@safekeeping.command("backup")
def backup(
    target: Annotated[
        Path | None, typer.Argument(help="A file (….tar.zst) or a directory; else backups/ in the data.")
    ] = None,
    telemetry: Annotated[str, typer.Option(help="Logs and samples: none, all, or so many days.")] = ALL,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Back up this installation while it runs, into one file.

    Examples: forestall backup; forestall backup /mnt/nas --telemetry 30
    """
    days = days_of(telemetry)
    found = installation(data)
    made = make_backup(found, target, days=days, actor=shell_scope().actor)
    manifest = made.manifest
    if as_json:
        print(
            json.dumps(
                {
                    "file": str(made.path),
                    "size_bytes": made.size_bytes,
                    "parts": len(manifest.parts),
                    "journal": {"size": manifest.journal.size, "root": manifest.journal.root},
                    "rows": {table.name: table.rows for table in manifest.tables},
                    "keys_sealed": manifest.keys_sealed,
                }
            )
        )
        return
    print(f"{made.path}  {say_bytes(made.size_bytes)}, {len(manifest.parts)} parts")
    if not manifest.keys_sealed:
        print("It holds this installation's keys as they are: keep it safe, or see forestall recovery-key.")


@safekeeping.command("restore")
def restore_backup(
    file: Path,
    data: Data = None,
    recovery_key_file: Annotated[
        str, typer.Option(help='Where the recovery key stands; "-" asks for it.', metavar="FILE")
    ] = "",
    drill: Annotated[
        bool, typer.Option("--drill", help="For a trial: every channel is off, so that nobody is told.")
    ] = False,
) -> None:
    """Restore a backup into an empty directory; everything is verified before anything is written.

    Example: forestall restore forestall-20270101T020000Z.tar.zst --data /srv/forestall
    """
    from forestall.keeping.archive import verify
    from forestall.keeping.restore import clear, restore

    key = _recovery_key(recovery_key_file)
    found = locate(data)
    postgres = verify(file).database == "postgresql"
    if postgres:
        _require_empty_database(found)
    manifest = restore(file, found.data, recovery_key=key)
    start_django()
    try:
        _finish(found, file, manifest, drill=drill)
    except Trouble:
        clear(found.data.root)
        raise
    rows = sum(table.rows for table in manifest.tables)
    print(
        f"restored to {found.data.root} as of {manifest.made_at}: {manifest.journal.size} journal entries"
        f" with the root {manifest.journal.root[:16]}…, {rows} rows of telemetry"
    )
    print(f"start it with: forestall up --data {found.data.root}")


@safekeeping.command("recovery-key")
def recovery_key(
    replace: Annotated[bool, typer.Option("--replace", help="Make another one.")] = False,
    data: Data = None,
) -> None:
    """Make the key that opens the keys in backups. It is shown once; its owner keeps it off this machine.

    Example: forestall recovery-key
    """
    found = installation(data)
    from django.utils import timezone

    from forestall.journal.actions import append
    from forestall.keeping.keys import make_recovery_key, read_public

    if read_public(found.data.root) is not None and not replace:
        raise Trouble("there is a recovery key already", "Make another one with --replace.")
    text = make_recovery_key(found.data.root)
    append("installation.recovery_key_made", actor=shell_scope().actor, body={}, at=timezone.now())
    print(text)
    print("Keep it off this machine: nothing else opens the keys in backups from now on.", file=sys.stderr)


def _recovery_key(source: str) -> str:
    if not source:
        return ""
    if source == "-":
        return ask_secret("Recovery key")
    try:
        return Path(source).read_text()
    except OSError as error:
        raise Trouble(f"{source} cannot be read: {error.strerror}", "Give the file of the key.") from error


def _require_empty_database(found: Installation) -> None:
    if not found.config.database_url:
        raise Trouble("this backup is of a PostgreSQL database", "Name an empty one in DATABASE_URL.")
    start_django()
    from forestall.keeping.business import require_empty_postgres

    require_empty_postgres()


def _finish(found: Installation, file: Path, manifest: "Manifest", *, drill: bool) -> None:
    """What needs the tables: PostgreSQL's, the journal's word, channels that are off in a drill."""
    from django.utils import timezone

    from forestall.alerts.models import Channel
    from forestall.journal.actions import append
    from forestall.keeping.archive import POSTGRES
    from forestall.keeping.business import restore_postgres

    if manifest.database == "postgresql":
        dump = found.data.root / POSTGRES
        restore_postgres(dump, manifest.journal)
        dump.unlink()
    if drill:
        Channel.objects.update(enabled=False)
    append(
        "installation.restored",
        actor=shell_scope().actor,
        subject=file.name[:64],
        body={"file": file.name, "drill": drill},
        at=timezone.now(),
    )
