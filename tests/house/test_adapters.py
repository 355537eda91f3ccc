"""No adapter of a backup tool deletes or prunes: those that only hear of copies reach nothing at all, the
others start their tool for what reads alone. (That a repository is the same byte for byte after every look
and work is asserted by contract/backup_site.py, wherever one is used.)"""

import ast
from pathlib import Path

import pytest

from forestall.collect import jobs
from forestall.collect.backups.programs import READS, checked, only_reads

FOLDER = Path(jobs.__file__).parent
# They are handed a text (a mail, a log, an answer of an API) and say what runs are in it.
HEARERS = ("heartbeat", "proxmox", "synology", "veeam", "windows_server_backup")
# What reads a text and reaches neither a disk nor a program nor a network.
PURE = {
    "collections", "datetime", "defusedxml", "json", "re", "typing",
    "forestall.collect.backups.adapter", "forestall.collect.backups.heard", "forestall.collect.backups.mails",
    "forestall.kernel.backups", "forestall.kernel.plugins",
}  # fmt: skip
REACHES = frozenset({"open", "exec", "eval", "compile", "__import__"})


@pytest.mark.parametrize("name", HEARERS)
def test_what_only_hears_of_copies_reaches_nothing(name: str) -> None:
    tree = ast.parse((FOLDER / f"{name}.py").read_text())
    imported = {
        module
        for node in ast.walk(tree)
        for module in (
            [one.name for one in node.names] if isinstance(node, ast.Import)
            else [node.module or ""] if isinstance(node, ast.ImportFrom)
            else []
        )
    }  # fmt: skip
    beyond = {one for one in imported if one not in PURE and one.partition(".")[0] not in PURE}
    assert not beyond, f"{name} imports {beyond}"
    called = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert not called & REACHES


def test_every_adapter_is_of_one_kind_or_the_other() -> None:
    named = {path.stem for path in FOLDER.glob("*.py")} - {"__init__"}
    works = {name for name in named if 'produces=("run",)' not in (FOLDER / f"{name}.py").read_text()}
    assert named - works == set(HEARERS)


@pytest.mark.parametrize(
    "command",
    [
        ("restic", "forget", "--keep-last", "1", "--prune"),
        ("restic", "--no-lock", "--no-cache", "prune"),
        ("restic", "--no-lock", "unlock"),
        ("/usr/bin/restic", "key", "remove", "1"),
        ("restic", "check", "--repair"),
        ("borg", "--bypass-lock", "delete", "/repo::one"),
        ("borg", "prune", "--keep-daily=1"),
        ("borg", "compact"),
        ("borg", "break-lock", "/repo"),
        ("borg", "check", "--repair", "/repo"),
        ("borg.exe", "recreate", "/repo"),
        ("restic", "-o", "snapshots", "forget", "0a1b"),
        ("restic", "--repo", "list", "prune"),
        ("borg", "--rsh", "list", "delete", "/repo::one"),
        ("borg", "check", "--repa", "/repo"),
        ("borg", "list", "--", "prune", "--repair"),
        ("borg",),
    ],
)
def test_a_tool_is_not_started_for_what_alters(command: tuple[str, ...]) -> None:
    assert not only_reads(command)
    with pytest.raises(ValueError, match="no way to read copies"):
        checked(command, path="/usr/bin")


def test_a_tool_is_started_to_read() -> None:
    assert only_reads(["restic", "--no-lock", "--no-cache", "restore", "0a1b", "--target", "/scratch"])
    assert only_reads(["borg", "--bypass-lock", "extract", "--dry-run", "/repo::prune"])
    assert only_reads(["borg", "--version"]) and only_reads(["tar", "--extract"])
    assert {"forget", "prune", "delete", "compact", "unlock", "init"}.isdisjoint(set().union(*READS.values()))
