"""A file system that forgets what was not synced when the power is cut. A process of its own (FUSE).

    python tests/power_fs.py MOUNTPOINT CONTROL

Everything is in memory, twice: as programs see it, and as it would be on the disk. A file's data gets to the
disk by fsync of the file, a name by fsync of its directory, and nothing else does. A cut keeps what is on the
disk, and of the rest as much as it is told: any blocks of 4 KiB, and the first of the changes of names, in
their order (a rename wholly or not at all), as a journal does.

Control is a Unix socket; a JSON object a line:
    {"do": "freeze"}                             from now on every request fails with EIO: the power is gone
    {"do": "cut", "keep": 0..1, "seed": N}       what remains after the next unmount; then mounted again
    {"do": "faults", "rules": [{"op", "path", "errno"}]}   requests that fail; op: write, sync, names, all
    {"do": "capacity", "bytes": N}               how large the disk is
    {"do": "settle"}                             all is on the disk: the kernel had minutes to write it
    {"do": "size"}                               → {"used": N, "unsynced_names": N}
"""

import errno
import itertools
import json
import random
import socket
import stat
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import mfusepy

BLOCK = 4096
CAPACITY = 8 << 30
ROOT_MODE = stat.S_IFDIR | 0o755
SYNCS, WRITES, NAMES = "sync", "write", "names"

_numbers = itertools.count(1)


@dataclass(slots=True, eq=False)
class Node:
    """A file, a directory or a link. `kept`: what the disk has of it; `dirty`: blocks it has not."""

    mode: int
    number: int = field(default_factory=lambda: next(_numbers))
    data: bytearray = field(default_factory=bytearray)
    kept: bytearray = field(default_factory=bytearray)
    dirty: set[int] = field(default_factory=set)
    names: dict[str, "Node"] = field(default_factory=dict)
    kept_names: dict[str, "Node"] = field(default_factory=dict)
    pending: list[int] = field(default_factory=list)  # changes of names that are not on the disk
    links: int = 1
    times: list[int] = field(default_factory=lambda: [time.time_ns()] * 2)
    uid: int = 0
    gid: int = 0


Change = list[tuple[Node, str, Node | None]]


class Disk:
    """The tree, live and as on the disk."""

    def __init__(self) -> None:
        self.root = Node(ROOT_MODE)
        self.changes: dict[int, Change] = {}
        self._change = itertools.count(1)
        self.used = 0
        self.capacity = CAPACITY

    def change(self, *halves: tuple[Node, str, Node | None]) -> None:
        """Change names, live; it is on the disk when one of the directories is synced."""
        number = next(self._change)
        self.changes[number] = list(halves)
        for folder, name, node in halves:
            if node is None:
                folder.names.pop(name, None)
            else:
                folder.names[name] = node
            folder.pending.append(number)
            folder.times[1] = time.time_ns()

    def sync_names(self, folder: Node) -> None:
        """What fsync of a directory does."""
        pending, folder.pending = folder.pending, []
        for number in pending:
            self._settle(self.changes.pop(number, []))

    def _settle(self, change: Change) -> None:
        for folder, name, node in change:
            if node is None:
                folder.kept_names.pop(name, None)
            else:
                folder.kept_names[name] = node

    def sync_data(self, node: Node) -> None:
        """What fsync of a file does."""
        if len(node.kept) > len(node.data):
            del node.kept[len(node.data) :]
        elif len(node.kept) < len(node.data):
            node.kept.extend(bytes(len(node.data) - len(node.kept)))
        for block in node.dirty:
            start = block * BLOCK
            end = min(start + BLOCK, len(node.data))
            if start < end:
                node.kept[start:end] = node.data[start:end]
        node.dirty = set()

    def resize(self, node: Node, size: int) -> None:
        """Cut or grow a file, live."""
        before = len(node.data)
        if size < before:
            del node.data[size:]
        else:
            node.data.extend(bytes(size - before))
        node.dirty.update(range(min(size, before) // BLOCK, max(size, before) // BLOCK + 1))
        self.used += size - before

    def settle(self) -> None:
        """Everything gets to the disk."""
        for node in self._all():
            if stat.S_ISDIR(node.mode):
                self.sync_names(node)
            else:
                self.sync_data(node)

    def _all(self) -> list[Node]:
        found, stack = {}, [self.root]
        while stack:
            node = stack.pop()
            if node.number not in found:
                found[node.number] = node
                stack += node.names.values()
        return list(found.values())

    def cut(self, *, keep: float, dice: random.Random) -> None:
        """What remains when the power goes: see the module."""
        waiting = list(self.changes.values())
        for change in waiting[: round(len(waiting) * keep * dice.random()) if keep else 0]:
            self._settle(change)
        self.changes = {}
        self.used = 0
        seen: set[int] = set()
        stack = [self.root]
        while stack:
            node = stack.pop()
            if node.number in seen:
                node.links += 1
                continue
            seen.add(node.number)
            node.links = 1
            if stat.S_ISDIR(node.mode):
                node.names, node.pending = dict(node.kept_names), []
                stack += node.names.values()
            else:
                self._cut_file(node, keep, dice)
                self.used += len(node.data)

    def _cut_file(self, node: Node, keep: float, dice: random.Random) -> None:
        blocks = [block for block in sorted(node.dirty) if dice.random() < keep]
        size = len(node.data) if dice.random() < keep else len(node.kept)
        remains = bytearray(node.kept[:size].ljust(size, b"\0"))
        for block in blocks:
            start, end = block * BLOCK, min(block * BLOCK + BLOCK, size, len(node.data))
            if start < end:
                remains[start:end] = node.data[start:end]
        node.data, node.kept, node.dirty = remains, bytearray(remains), set()


class Files(mfusepy.Operations):  # type: ignore[misc]
    """The requests of programs."""

    use_ns = True
    flag_nullpath_ok = True

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self.frozen = False
        self.rules: list[dict[str, Any]] = []
        self._open: dict[int, tuple[Node, str]] = {}
        self._handles = itertools.count(1)

    def init_with_config(self, conn_info: Any, config_3: Any) -> None:
        if config_3 is not None:
            config_3.contents.hard_remove = 1
            config_3.contents.nullpath_ok = 1
            config_3.contents.use_ino = 1

    # finding

    def _at(self, path: str) -> Node:
        node = self.disk.root
        for name in path.split("/"):
            if name:
                found = node.names.get(name)
                if found is None:
                    raise mfusepy.FuseOSError(errno.ENOENT)
                node = found
        return node

    def _place(self, path: str) -> tuple[Node, str]:
        folder, _, name = path.rpartition("/")
        return self._at(folder), name

    def _of(self, path: str | None, handle: int | None) -> tuple[Node, str]:
        if handle and handle in self._open:
            return self._open[handle]
        return self._at(path or "/"), path or ""

    def _may(self, what: str, path: str) -> None:
        if self.frozen:
            raise mfusepy.FuseOSError(errno.EIO)
        for rule in self.rules:
            if rule["op"] in (what, "all") and rule["path"] in path:
                raise mfusepy.FuseOSError(int(rule["errno"]))

    # names

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        self._may("look", path or "")
        node, _ = self._of(path, fh)
        size = len(node.data)
        return {
            "st_mode": node.mode, "st_ino": node.number, "st_nlink": node.links, "st_uid": node.uid,
            "st_gid": node.gid, "st_size": size, "st_blocks": -(-size // 512), "st_blksize": BLOCK,
            "st_atime": node.times[0], "st_mtime": node.times[1], "st_ctime": node.times[1],
        }  # fmt: skip

    def readdir(self, path: str, fh: int) -> list[str]:
        self._may("look", path or "")
        return [".", "..", *self._of(path, fh)[0].names]

    def opendir(self, path: str) -> int:
        self._may("look", path)
        return self._opened(self._at(path), path)

    def releasedir(self, path: str, fh: int) -> int:
        self._open.pop(fh, None)
        return 0

    def mkdir(self, path: str, mode: int) -> int:
        self._may(NAMES, path)
        folder, name = self._place(path)
        self.disk.change((folder, name, Node(stat.S_IFDIR | mode)))
        return 0

    def create(self, path: str, mode: int, fi: Any = None) -> int:
        self._may(NAMES, path)
        folder, name = self._place(path)
        node = Node(stat.S_IFREG | mode & 0o7777)
        self.disk.change((folder, name, node))
        return self._opened(node, path)

    def symlink(self, target: str, source: str) -> int:
        self._may(NAMES, target)
        folder, name = self._place(target)
        data = source.encode()
        self.disk.change(
            (folder, name, Node(stat.S_IFLNK | 0o777, data=bytearray(data), kept=bytearray(data)))
        )
        return 0

    def readlink(self, path: str) -> str:
        return bytes(self._at(path).data).decode()

    def link(self, target: str, source: str) -> int:
        self._may(NAMES, target)
        node, (folder, name) = self._at(source), self._place(target)
        node.links += 1
        self.disk.change((folder, name, node))
        return 0

    def unlink(self, path: str) -> int:
        self._may(NAMES, path)
        folder, name = self._place(path)
        self._let_go(folder.names[name])
        self.disk.change((folder, name, None))
        return 0

    def rmdir(self, path: str) -> int:
        self._may(NAMES, path)
        folder, name = self._place(path)
        if self._at(path).names:
            raise mfusepy.FuseOSError(errno.ENOTEMPTY)
        self.disk.change((folder, name, None))
        return 0

    def rename(self, old: str, new: str) -> int:
        self._may(NAMES, old)
        self._may(NAMES, new)
        (folder, name), (other, title) = self._place(old), self._place(new)
        node, there = folder.names[name], other.names.get(title)
        if there is not None and there.names:
            raise mfusepy.FuseOSError(errno.ENOTEMPTY)
        if there is not None:
            self._let_go(there)
        self.disk.change((folder, name, None), (other, title, node))
        return 0

    def chmod(self, path: str, mode: int) -> int:
        node = self._at(path)
        node.mode = stat.S_IFMT(node.mode) | stat.S_IMODE(mode)
        return 0

    def chown(self, path: str, uid: int, gid: int) -> int:
        node = self._at(path)
        node.uid, node.gid = uid, gid
        return 0

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> int:
        self._at(path).times = list(times or (time.time_ns(), time.time_ns()))
        return 0

    def _let_go(self, node: Node) -> None:
        node.links -= 1
        if node.links == 0:
            self.disk.used -= len(node.data)

    # data

    def _opened(self, node: Node, path: str) -> int:
        handle = next(self._handles)
        self._open[handle] = (node, path)
        return handle

    def open(self, path: str, flags: int) -> int:
        self._may("look", path)
        return self._opened(self._at(path), path)

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        node, name = self._of(path, fh)
        self._may("read", name)
        return bytes(node.data[offset : offset + size])

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        node, name = self._of(path, fh)
        self._may(WRITES, name)
        end = offset + len(data)
        growth = max(0, end - len(node.data))
        if growth and self.disk.used + growth > self.disk.capacity:
            raise mfusepy.FuseOSError(errno.ENOSPC)
        if offset > len(node.data):
            node.data.extend(bytes(offset - len(node.data)))
        node.data[offset:end] = data
        node.dirty.update(range(offset // BLOCK, -(-end // BLOCK)))
        node.times[1] = time.time_ns()
        self.disk.used += growth
        return len(data)

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        node, name = self._of(path, fh)
        self._may(WRITES, name)
        self.disk.resize(node, length)
        return 0

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        node, name = self._of(path, fh)
        self._may(SYNCS, name)
        self.disk.sync_data(node)
        return 0

    def fsyncdir(self, path: str, datasync: int, fh: int) -> int:
        node, name = self._of(path, fh)
        self._may(SYNCS, name)
        self.disk.sync_names(node)
        return 0

    def flush(self, path: str, fh: int) -> int:
        return 0

    def release(self, path: str, fh: int) -> int:
        self._open.pop(fh, None)
        return 0

    def statfs(self, path: str) -> dict[str, int]:
        blocks = self.disk.capacity // BLOCK
        free = max(0, self.disk.capacity - self.disk.used) // BLOCK
        return {
            "f_bsize": BLOCK, "f_frsize": BLOCK, "f_blocks": blocks, "f_bfree": free, "f_bavail": free,
            "f_files": 1 << 20, "f_ffree": 1 << 19, "f_favail": 1 << 19, "f_namemax": 255,
        }  # fmt: skip


class Control(threading.Thread):
    """Does what the test says."""

    def __init__(self, path: str, files: Files) -> None:
        super().__init__(daemon=True)
        self._files = files
        self._at = socket.socket(socket.AF_UNIX)
        self._at.bind(path)
        self._at.listen()
        self.keep, self.seed = 0.0, 0

    def run(self) -> None:
        while True:
            line, _ = self._at.accept()
            with line, line.makefile("rw") as both:
                for text in both:
                    both.write(json.dumps(self._do(json.loads(text))) + "\n")
                    both.flush()

    def _do(self, said: dict[str, Any]) -> dict[str, Any]:
        files, disk = self._files, self._files.disk
        match said["do"]:
            case "freeze":
                files.frozen = True
            case "cut":
                self.keep, self.seed = float(said["keep"]), int(said["seed"])
            case "faults":
                files.rules = list(said["rules"])
            case "settle":
                disk.settle()
            case "capacity":
                disk.capacity = int(said["bytes"])
            case "size":
                pending = len(disk.changes)
                return {"used": disk.used, "unsynced_names": pending}
        return {}


def main() -> None:
    mountpoint, control_path = sys.argv[1:]
    disk = Disk()
    files = Files(disk)
    control = Control(control_path, files)
    control.start()
    while True:
        mfusepy.FUSE(
            files, mountpoint, foreground=True, nothreads=True, allow_other=True,
            entry_timeout=30, attr_timeout=30, max_write=1 << 17, fsname="power",
        )  # fmt: skip
        if not files.frozen:
            return
        disk.cut(keep=control.keep, dice=random.Random(control.seed))
        again = Files(disk)
        again.rules = files.rules
        control._files = files = again


if __name__ == "__main__":
    main()
