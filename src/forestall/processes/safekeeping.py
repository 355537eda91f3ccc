"""Commands of keeping: backup and restore of Forestall itself, the recovery key, deletion of a client."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from forestall.kernel.errors import Trouble
from forestall.kernel.words import say_bytes
from forestall.processes.admin import client_group
from forestall.processes.admin_common import Data, Json, ask_secret, client_called, shell_scope
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


@client_group.command("delete")
def client_delete(
    client: str,
    confirm: Annotated[str, typer.Option(help="The client's name, typed out.")] = "",
    wait: Annotated[bool, typer.Option(help="Until it is done; else the watch does it.")] = True,
    data: Data = None,
    as_json: Json = False,
) -> None:
    """Delete a client and everything of it, for good; it cannot be undone.

    Example: forestall client delete "Alder Dental" --confirm "Alder Dental"
    """
    found = installation(data)
    from django.utils import timezone

    from forestall.keeping.actions import order_deletion
    from forestall.processes.deleting import wait_for
    from forestall.telemetry.client import Store

    owner = client_called(client)
    deletion = order_deletion(shell_scope(), owner.pk, confirm=confirm, now=timezone.now())
    if wait:
        store = Store("127.0.0.1", found.config.port("store"), password=found.data.key("store").hex())
        seq = wait_for(found, store, deletion)
        said = f"deleted; its certificate is entry {seq} of the journal"
    else:
        seq, said = None, "ordered; it is carried out within minutes"
    print(json.dumps({"client": owner.pk, "proof_seq": seq}) if as_json else said)
    if not as_json:
        print(f"export it with: forestall client deletion-proof {owner.pk}")


@client_group.command("deletion-proof")
def client_deletion_proof(
    client: Annotated[str, typer.Argument(help="The identifier that it had.")],
    file: Annotated[Path | None, typer.Argument(help="Where to write it; else it is printed.")] = None,
    data: Data = None,
) -> None:
    """The certificate that a client was deleted, with its proof from the journal, as JSON.

    Example: forestall client deletion-proof 0H5T1V4Y9T13W alder.json
    """
    found = installation(data)
    from django.utils import timezone

    from forestall.keeping.certificate import certificate

    directory = found.config.backup.directory or found.data.root / "backups"
    document = certificate(shell_scope(), client.upper(), archives=Path(directory), now=timezone.now())
    text = json.dumps(document, indent=1, sort_keys=True) + "\n"
    if file is None:
        print(text, end="")
        return
    try:
        file.write_text(text)
    except OSError as error:
        raise Trouble(f"{file} cannot be written: {error.strerror}", "Choose another place.") from error


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
