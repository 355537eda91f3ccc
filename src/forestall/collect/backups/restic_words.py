"""What the command and the output of a run of restic say, in the version that ran it."""

import json
import re
from collections.abc import Sequence
from typing import Any

from forestall.collect.backups.adapter import RunRead
from forestall.collect.backups.commands import after_word, lines_of, program_of, split_options
from forestall.kernel.backups import Said

SAID_LINES = 5
_SAVED = re.compile(r"snapshot ([0-9a-f]{8,64}) saved")
_FILES = re.compile(r"^Files:\s+(\d+) new,\s+(\d+) changed,\s+(\d+) unmodified", re.M)
_DONE = re.compile(r"^processed (\d+) files, ([\d.]+) (B|[KMGT]iB)", re.M)
_ADDED = re.compile(
    r"^Added to the repo(?:sitory)?: ([\d.]+) (B|[KMGT]iB)(?: \(([\d.]+) (B|[KMGT]iB) *stored\))?", re.M
)
_UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_MISSING = re.compile(r"^(?:Fatal: )?(.* does not exist, skipping)$", re.M)
_BAD = re.compile(
    r"fatal|error|fail|unable|wrong password|does not|damaged|denied|not found|locked|missing|mismatch|"
    r"verification|invalid|refused|no such|exist",
    re.I,
)
_ADVICE = re.compile(r"https?://|^restic repair |^The repository (?:contains|is) damaged")  # from 0.16 on
_VERSION = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?")
_OPTIONS = (
    "-e --exclude --iexclude --exclude-file --iexclude-file --exclude-if-present --exclude-larger-than -g "
    "--group-by --files-from --files-from-verbatim --files-from-raw -h --host -H --parent --stdin-filename "
    "--tag --time -r --repo --repository-file -p --password-file --password-command --key-hint --cacert "
    "--tls-client-cert --cache-dir --limit-download --limit-upload -o --option --pack-size --compression "
    "--read-concurrency --retry-lock --stuck-request-timeout --http-user-agent"
)
_VALUED = frozenset(_OPTIONS.split())


def sources_of(command: Sequence[str]) -> list[str]:
    """The paths of `restic backup`, those of --files-from too."""
    plain, values = split_options(after_word(command, "restic", "backup"), _VALUED)
    for name in ("--files-from", "--files-from-verbatim"):
        for path in values.get(name, []):
            plain += lines_of(path)
    return plain


def excludes_of(command: Sequence[str]) -> list[str]:
    """What the command leaves out, files of patterns read. Raises OSError."""
    plain: list[str] = []
    _, values = split_options(after_word(command, "restic", "backup"), _VALUED)
    for name, found in values.items():
        if name in {"-e", "--exclude", "--iexclude"}:
            plain += found
        elif name in {"--exclude-file", "--iexclude-file"}:
            plain += [line for path in found for line in lines_of(path)]
        elif name in {"--exclude-if-present", "--exclude-larger-than"}:
            plain += [f"{name.removeprefix('--')} {value}" for value in found]
    flags = {
        "--exclude-caches": "with CACHEDIR.TAG",
        "-x": "other file systems",
        "--one-file-system": "other file systems",
    }
    return [*plain, *(said for flag, said in flags.items() if flag in command)]


def version_command(command: Sequence[str]) -> list[str]:
    """As the command runs it."""
    return [program_of(command, ("restic",)) or "restic", "version"]


def read_run(code: int, output: str, *, command: Sequence[str], version: str) -> RunRead:
    """Exit codes: 0 done, 1 failed, 3 (from 0.10) some of the source could not be read and a snapshot was
    made of the rest, 10 to 12 (from 0.17) no repository, locked, wrong password, 130 interrupted. With 0
    before 0.17 a source may still have been missing: the output says it."""
    numbers = _numbers(output)
    said, reason = _meaning(code, output, _as_version(version))
    return RunRead(said, reason, version=version, **numbers)


def _meaning(code: int, output: str, version: tuple[int, int]) -> tuple[Said, str]:
    lines = errors_of(output)
    more = f": {'; '.join(lines)}" if lines else ""
    missing = [found[1] for found in _MISSING.finditer(output)]
    if code == 0 and missing:
        return "warning", f"restic ended with 0, but {'; '.join(missing[:SAID_LINES])}"
    if code == 0:
        return "success", "restic ended with 0: everything that it was told to save is in the snapshot"
    if code == 3 and version >= (0, 10):
        return "warning", f"restic ended with 3: a part of the source could not be read{more}"
    known = {
        1: "it failed",
        2: "the program itself failed (Go)",
        10: "the repository does not exist",
        11: "the repository could not be locked",
        12: "wrong password",
        130: "it was interrupted",
    }
    if code in known and (version >= (0, 17) or not 10 <= code <= 12):
        return "failed", f"restic ended with {code}: {known[code]}{more}"
    if code < 0 or code > 128:
        return "failed", f"restic was ended by signal {-code if code < 0 else code - 128}{more}"
    return "failed", f"restic ended with {code}, which means nothing in this version{more}"


def _numbers(output: str) -> dict[str, Any]:
    """What the summary says, of --json or in words."""
    for line in reversed(output.splitlines()):
        if line.startswith("{") and '"summary"' in line:
            try:
                said = json.loads(line)
                return {
                    "copy": str(said.get("snapshot_id", "")),
                    "files": said.get("total_files_processed"),
                    "size": said.get("total_bytes_processed"),
                    "files_new": said.get("files_new"),
                    "files_changed": said.get("files_changed"),
                    "added": said.get("data_added_packed", said.get("data_added")),
                }
            except (ValueError, AttributeError):
                break
    found: dict[str, Any] = {}
    if saved := _SAVED.search(output):
        found["copy"] = saved[1]
    if files := _FILES.search(output):
        found |= {"files_new": int(files[1]), "files_changed": int(files[2])}
    if done := _DONE.search(output):
        found |= {"files": int(done[1]), "size": _bytes(done[2], done[3])}
    if added := _ADDED.search(output):
        found["added"] = _bytes(added[3] or added[1], added[4] or added[2])
    return found


def _bytes(number: str, unit: str) -> int:
    return round(float(number) * _UNITS[unit])


def errors_of(text: str) -> list[str]:
    """The lines that say what went wrong, each once."""
    found = [_plain(line) for line in text.splitlines()]
    told = [line for line in found if _BAD.search(line) and not _ADVICE.search(line)]
    told = [
        line for line in told if not line.lower().startswith(("load ", "check ", "read ", "create exclusive"))
    ]
    return [line[:300] for line in dict.fromkeys(told)][:SAID_LINES]


def _plain(line: str) -> str:
    """A line in words: newer versions say errors in JSON."""
    if not line.startswith("{"):
        return line.strip()
    try:
        said = json.loads(line)
    except ValueError:
        return ""
    if said.get("message_type") not in {"error", "exit_error"}:
        return ""
    error = said.get("error")
    text = said.get("message") or (error.get("message") if isinstance(error, dict) else error) or ""
    return f"error: {text} {said.get('item', '')}".strip()


def _as_version(text: str) -> tuple[int, int]:
    """Of an unknown one the newest is assumed."""
    found = _VERSION.search(text)
    return (int(found[1]), int(found[2])) if found else (99, 0)
