"""Is the journal in a backup whole? Needs no running installation, and no Django."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

from pysqlite3 import dbapi2 as sqlite3

from forestall.journal import merkle
from forestall.keeping.archive import JournalState
from forestall.kernel.errors import Trouble


def check_sqlite(path: Path, wanted: JournalState) -> None:
    """Raises Trouble when the copy is damaged, or its journal is not the one of the manifest: every entry is
    hashed again, and the tree is built anew from them."""
    try:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as copy:
            answer = str(copy.execute("PRAGMA integrity_check(1)").fetchone()[0])
            rows = copy.execute("SELECT seq, body, leaf_hash FROM journal_entry ORDER BY seq")
            size, root = (0, b"") if answer != "ok" else root_of(rows)
        copy.close()
    except sqlite3.Error as error:
        answer, size, root = str(error), 0, b""
    if answer != "ok":
        raise Trouble(f"the database in the backup is damaged: {answer}", "Take another backup.")
    if (size, root.hex()) != (wanted.size, wanted.root):
        raise Trouble(
            f"the journal in the backup ({size} entries) is not the one of its manifest ({wanted.size})",
            "It was altered: take another backup.",
        )


def root_of(rows: Iterable[tuple[int, bytes, bytes]]) -> tuple[int, bytes]:
    """How many entries (seq, body, leaf hash) there are, and the root over them. An entry without a body was
    erased (see keeping.deletion): its hash still counts. Raises Trouble at the first that does not fit."""
    stack: list[tuple[int, bytes]] = []  # (leaves, hash) of complete subtrees, largest first
    count = 0
    for seq, body, leaf in rows:
        leaf, body = bytes(leaf), bytes(body)
        if seq != count or (body and merkle.leaf_hash(body) != leaf):
            raise Trouble(
                f"entry {count} of the journal is missing or was altered", "Restore another backup."
            )
        count += 1
        span, node = 1, leaf
        while stack and stack[-1][0] == span:
            node, span = merkle.node_hash(stack.pop()[1], node), span * 2
        stack.append((span, node))
    if not stack:
        return 0, hashlib.sha256(b"").digest()
    root = stack.pop()[1]
    while stack:
        root = merkle.node_hash(stack.pop()[1], root)
    return count, root
