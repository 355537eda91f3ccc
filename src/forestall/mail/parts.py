"""Attachments: what their bytes are, what they claim to be, and whether anybody should open them. Pure."""

import hashlib
import io
import re
import struct
import zipfile
from collections.abc import Iterator

import puremagic
import tnefparse

from forestall.mail.headers import one_line
from forestall.mail.values import Part

PARTS_MAX = 50
PART_MAX_BYTES = 35_000_000
LOOKED_AT_BYTES = 128 << 10
NAME_MAX_CHARS = 150
ZIP_RATIO_MOST = 100
ZIP_UNPACKED_MAX_BYTES = 1 << 30
ZIP_FILES_MAX = 10_000
TNEF_OBJECTS_MAX = 2_000
TNEF_WORK_MAX = 1 << 31  # bytes that the reader of winmail.dat copies: objects × size


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# What Windows and macOS run, or what runs something, when it is opened.
DANGEROUS = _words("""
    ade adp apk app appx appxbundle bat cab chm cmd com cpl dll dmg exe hta htm html img iso inf ins isp
    jar js jse lnk mde msc msi msix msp mst nsh one pif ps1 psm1 reg scf scr sct settingcontent-ms sh
    shb svg swf sys udl url vb vbe vbs vhd vhdx wsc wsf wsh xbap xhtml xht xll
""")
WITH_MACROS = _words("docm dotm xlsm xltm xlam xlsb pptm potm ppam ppsm sldm")
_HEADS = (
    (b"MZ", "application/vnd.microsoft.portable-executable", "a Windows program"),
    (b"\x7fELF", "application/x-executable", "a Linux program"),
    (b"\xca\xfe\xba\xbe", "application/x-mach-binary", "a macOS program or Java class"),
    (b"\xcf\xfa\xed\xfe", "application/x-mach-binary", "a macOS program"),
    (b"#!", "text/x-shellscript", "a script"),
    (b"L\x00\x00\x00\x01\x14\x02\x00", "application/x-ms-shortcut", "a Windows shortcut"),
)
_MARKUP = re.compile(rb"^\s*(?:<!doctype html|<html|<script|<svg|<\?xml[^>]{0,200}>\s*<svg)", re.I)
_RELATED = {"jpg": "image/jpeg", "jpeg": "image/jpeg", "png": "image/png", "gif": "image/gif",
            "pdf": "application/pdf", "zip": "application/zip"}  # fmt: skip


def part_of(data: bytes, *, name: str, claimed: str, inline: str = "") -> Part:
    """An attachment with what it is."""
    name = clean_name(name)
    kind, program = _kind_of(data, name, claimed)
    return Part(
        name=name, claimed=claimed[:120], kind=kind[:120], size=len(data), inline=inline[:250],
        digest=hashlib.sha256(data).hexdigest(), data=data, held=_why_held(data, name, kind, program)[:300],
    )  # fmt: skip


def clean_name(name: str) -> str:
    """A file's name without folders and marks that hide its end."""
    name = re.sub(r"[<>:\"|?*]", "_", one_line(name.replace("\\", "/").rpartition("/")[2])).strip(". ")
    stem, dot, end = name.rpartition(".")
    if len(name) > NAME_MAX_CHARS and dot and len(end) <= 20:
        name = f"{stem[: NAME_MAX_CHARS - len(end) - 1]}.{end}"
    return name[:NAME_MAX_CHARS] or "attachment"


def open_tnef(data: bytes) -> tuple[str, str, list[tuple[str, bytes]]]:
    """Text, HTML and files of a winmail.dat. Raises ValueError for what is none or too much.

    Source: MS-OXTNEF 2.1 for the objects that are counted before the reader is let at it.
    """
    if sum(1 for _ in _objects(data)) * len(data) > TNEF_WORK_MAX:
        raise ValueError("it has too many objects to be read in a bounded time")
    try:
        found = tnefparse.TNEF(data, do_checksum=False)
        files = []
        for one in found.attachments[:PARTS_MAX]:
            name = one.long_filename() or one.name or "attachment"
            files.append((str(name), bytes(one.data)))
        return _text(found.body), _text(found.htmlbody), files
    except Exception as error:  # the reader trusts what it reads
        raise ValueError(f"it cannot be read ({type(error).__name__})") from error


def _text(value: object) -> str:
    if isinstance(value, list):
        value = b"".join(one for one in value if isinstance(one, bytes)) or "".join(map(str, value))
    if isinstance(value, bytes):
        value = value.decode("cp1252", "replace")
    return str(value or "").replace("\0", "").strip()


def _objects(data: bytes) -> Iterator[int]:
    at, count = 6, 0
    if len(data) < 6 or data[:4] != b"\x78\x9f\x3e\x22":
        raise ValueError("it is no winmail.dat")
    while at + 11 <= len(data):
        (length,) = struct.unpack_from("<I", data, at + 5)
        yield at
        at, count = at + 11 + length, count + 1
        if count > TNEF_OBJECTS_MAX:
            raise ValueError(f"it has more than {TNEF_OBJECTS_MAX} objects")


def _kind_of(data: bytes, name: str, claimed: str) -> tuple[str, str]:
    """The type of the bytes, and what sort of program they are ("" for none)."""
    for head, kind, said in _HEADS:
        if data.startswith(head):
            return kind, said
    if _MARKUP.match(data[:1000]):
        return ("image/svg+xml" if b"<svg" in data[:1000].lower() else "text/html"), ""
    try:
        found = puremagic.magic_string(data[:LOOKED_AT_BYTES], name)
    except (puremagic.PureError, ValueError):
        found = []
    best = next((one for one in found if one.mime_type and one.confidence >= 0.3), None)
    return (str(best.mime_type) if best else claimed or "application/octet-stream"), ""


def _why_held(data: bytes, name: str, kind: str, program: str) -> str:
    """Why nobody should open it; "" when nothing speaks against it."""
    end = name.rpartition(".")[2].lower() if "." in name else ""
    if program:
        return f"it is {program}, whatever its name says"
    if end in DANGEROUS or kind in ("text/html", "image/svg+xml"):
        return f"what ends in .{end} can run when it is opened" if end in DANGEROUS else "it can hold scripts"
    if end in WITH_MACROS or b"vbaProject.bin" in data[-LOOKED_AT_BYTES:]:
        return "it holds macros"
    expected = _RELATED.get(end)
    if expected and kind.startswith(("image/", "application/")) and not _agree(expected, kind):
        return f"its name says .{end}, its bytes say {kind}"
    if data.startswith(b"PK\x03\x04"):
        return _why_zip_held(data)
    return ""


def _agree(expected: str, kind: str) -> bool:
    return (
        expected == kind or kind == "application/octet-stream" or (expected.endswith("zip") and "zip" in kind)
    )


def _why_zip_held(data: bytes) -> str:
    try:
        files = zipfile.ZipFile(io.BytesIO(data)).infolist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError, struct.error) as error:
        return f"the archive cannot be read ({type(error).__name__})"
    if len(files) > ZIP_FILES_MAX:
        return f"the archive holds {len(files)} files"
    unpacked = sum(one.file_size for one in files)
    if unpacked > ZIP_UNPACKED_MAX_BYTES or unpacked > ZIP_RATIO_MOST * max(len(data), 10_000):
        return f"the archive holds {unpacked} bytes, packed in {len(data)}: it may be made to fill a disk"
    if any(one.flag_bits & 1 for one in files):
        return "the archive is encrypted: nobody can look into it"
    for one in files:
        end = one.filename.rpartition(".")[2].lower()
        if end in DANGEROUS - {"html", "htm", "svg", "js"} or end in WITH_MACROS:
            return f"the archive holds {one.filename[:80]!r}, which can run when it is opened"
    return ""
