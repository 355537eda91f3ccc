"""What the command and the output of a run of borg, or of borgmatic, say."""

import json
import re
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import Any

from forestall.collect.backups.adapter import RunRead
from forestall.collect.backups.commands import (
    FILE_MAX_BYTES,
    after_word,
    lines_of,
    program_of,
    split_options,
)
from forestall.kernel.backups import Said

SAID_LINES = 5
BORGMATIC_CONFIG = "/etc/borgmatic/config.yaml"
_OPTIONS = (
    "-e --exclude --exclude-from --pattern --patterns-from --exclude-if-present --compression -C --comment "
    "--timestamp -c --checkpoint-interval --chunker-params --files-cache --remote-path --rsh --lock-wait "
    "--umask --upload-ratelimit --upload-buffer --remote-ratelimit --remote-buffer --stdin-name --stdin-user "
    "--stdin-group --stdin-mode --filter --debug-topic --repo -r --paths-delimiter --content-from-command"
)
_VALUED = frozenset(_OPTIONS.split())
_UNITS = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KiB": 1 << 10, "MiB": 1 << 20,
          "GiB": 1 << 30, "TiB": 1 << 40}  # fmt: skip
_FINGERPRINT = re.compile(r"Archive fingerprint:\s*([0-9a-f]{64})")
_FILES = re.compile(r"Number of files:\s*(\d+)")
_SIZES = re.compile(r"This archive:\s*([\d.]+) (\w+)\s+([\d.]+) (\w+)\s+([\d.]+) (\w+)")
_VERSION = re.compile(r"(\d+)\.(\d+)")
_WARNED = re.compile(
    r"\[Errno \d+\]|No such file or directory|Permission denied|file changed while we|"
    r"terminating with warning|changed size during",
    re.M,
)
_QUIET = re.compile(
    r"^(-{3,}|[AMUCEdsbhfcx?i+x-] \S|Repository: |Archive |Time \(|Duration|Number of|Utilization|"
    r"\s+Original|This archive|All archives|\s*Unique|Chunk index|Creating archive|\s*[{}\"\[\]])"
)


def sources_of(command: Sequence[str]) -> list[str]:
    """The paths of `borg create`, or of borgmatic's configuration."""
    words = after_word(command, "borg", "create")
    if words:
        plain, _ = split_options(words, _VALUED)
        return plain[1:]
    config = _borgmatic(command)
    return [str(path) for path in config.get("source_directories") or []]


def excludes_of(command: Sequence[str]) -> list[str]:
    """What the command, or borgmatic's configuration, leaves out. Raises OSError."""
    words = after_word(command, "borg", "create")
    plain: list[str] = []
    if words:
        _, values = split_options(words, _VALUED)
        for name, found in values.items():
            if name in {"-e", "--exclude", "--exclude-if-present"}:
                plain += found
            elif name == "--pattern":
                plain += [one for one in found if one.startswith(("-", "!"))]
            elif name == "--exclude-from":
                plain += [line for path in found for line in lines_of(path)]
            elif name == "--patterns-from":
                plain += [line for path in found for line in lines_of(path) if line.startswith(("-", "!"))]
        flags = {"--exclude-caches": "with CACHEDIR.TAG", "-x": "other file systems",
                 "--one-file-system": "other file systems"}  # fmt: skip
        return [*plain, *(said for flag, said in flags.items() if flag in words)]
    config = _borgmatic(command)
    for name in ("exclude_patterns", "exclude_if_present"):
        plain += [str(one) for one in config.get(name) or []]
    for path in config.get("exclude_from") or []:
        plain += lines_of(str(path))
    return plain


def version_command(command: Sequence[str]) -> list[str]:
    """As the command runs it."""
    return [program_of(command, ("borg",)) or "borg", "--version"]


def read_run(code: int, output: str, *, command: Sequence[str], version: str) -> RunRead:
    """Exit codes: 0 done, 1 a warning (an archive may be there, even an empty one), 2 an error, above 128 a
    signal; where BORG_EXIT_CODES is modern (the default from borg 2) 3 to 99 errors, 100 to 127 warnings.
    borgmatic ends with 0 after a warning of borg: the output says it."""
    said, reason = _meaning(code, output, PurePath(program_of(command, ("borg", "borgmatic"))).name or "borg")
    return RunRead(said, reason, version=version, **_numbers(output))


def _meaning(code: int, output: str, tool: str) -> tuple[Said, str]:
    lines = errors_of(output)[:SAID_LINES]
    more = f": {'; '.join(lines)}" if lines else ""
    if code == 0 and _WARNED.search(output):
        return "warning", f"{tool} ended with 0, but there was a warning{more}"
    if code == 0:
        return "success", f"{tool} ended with 0: everything that it was told to save is in the archive"
    if tool == "borg" and (code == 1 or 100 <= code <= 127):
        return "warning", f"borg ended with {code}: a warning, the archive may lack files{more}"
    if code < 0 or code > 128:
        return "failed", f"{tool} was ended by signal {-code if code < 0 else code - 128}{more}"
    return "failed", f"{tool} ended with {code}: an error{more}"


def errors_of(text: str) -> list[str]:
    """The lines that are neither a file list nor statistics, each once."""
    found: list[str] = []
    for line in text.splitlines():
        if line.startswith("{") and '"log_message"' in line:
            try:
                said = json.loads(line)
                line = (
                    str(said.get("message", ""))
                    if said.get("levelname") in {"WARNING", "ERROR", "CRITICAL"}
                    else ""
                )
            except ValueError:
                line = ""
        if line.strip() and not _QUIET.match(line):
            found.append(line.strip()[:300])
    return list(dict.fromkeys(found))


def _numbers(output: str) -> dict[str, Any]:
    """What --json or --stats say."""
    start, end = output.find('{\n    "archive"'), output.rfind("\n}")
    if 0 <= start < end:
        try:
            archive = json.loads(output[start : end + 2])["archive"]
            stats = archive["stats"]
            return {
                "copy": str(archive["id"]),
                "files": int(stats["nfiles"]),
                "size": int(stats["original_size"]),
                "added": int(stats["deduplicated_size"]),
            }
        except (ValueError, KeyError, TypeError):
            pass  # cut, or of another version: the words may still say it
    found: dict[str, Any] = {}
    if name := _FINGERPRINT.search(output):
        found["copy"] = name[1]
    if files := _FILES.search(output):
        found["files"] = int(files[1])
    if sizes := _SIZES.search(output):
        found["size"], found["added"] = _bytes(sizes[1], sizes[2]), _bytes(sizes[5], sizes[6])
    return found


def _bytes(number: str, unit: str) -> int | None:
    try:
        return round(float(number) * _UNITS[unit])
    except (KeyError, ValueError):
        return None


def _borgmatic(command: Sequence[str]) -> dict[str, Any]:
    """borgmatic's configuration, as far as it can be read here; empty when it is none."""
    if not program_of(command, ("borgmatic",)):
        return {}
    _, values = split_options(command, ("-c", "--config"))
    path = Path((values.get("-c") or values.get("--config") or [BORGMATIC_CONFIG])[0])
    try:
        import yaml  # an agent by itself may not have it

        with path.open("rb") as file:
            found = yaml.safe_load(file.read(FILE_MAX_BYTES))
    except (ImportError, OSError, yaml.YAMLError):
        return {}
    if not isinstance(found, dict):
        return {}
    location = found.get("location")
    return location if isinstance(location, dict) else found
