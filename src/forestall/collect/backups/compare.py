"""Holds a restored tree against the manifest of its source: every file's hash, nothing left out.

Both are walked in step. A file that moved while the run went on is judged apart: as before, as after, grown
(its beginning is as before), else torn: nobody can say that it is any file that ever was.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from forestall.collect.backups.canary import DIRECTORY, FILE, Planted, Torn
from forestall.collect.backups.canary import read as read_canary
from forestall.collect.backups.manifest import Entry, read_entries
from forestall.collect.backups.taking import Moved, hash_file
from forestall.collect.backups.walking import Found, order, walk
from forestall.kernel.backups import MISMATCHES_MAX, Canary, Mismatch

PATH_MAX_CHARS = 1024


@dataclass(slots=True)
class Compared:
    """What came of it. `expected` files of the manifest, `equal` ones by hash. Of those that moved while the
    run went on, `apart` are as they were after it, or grown; `torn` are neither that nor as before;
    `unvouched`: nobody knows what they were after it. `added`: files that the manifest has not."""

    expected: int = 0
    equal: int = 0
    size: int = 0  # bytes that were hashed
    apart: int = 0
    torn: int = 0
    unvouched: int = 0
    added: int = 0
    left_out: int = 0
    unread: int = 0  # the source itself could not be read there
    mismatches: list[Mismatch] = field(default_factory=list)
    mismatches_total: int = 0
    kinds: dict[str, int] = field(default_factory=dict)

    def note(self, path: bytes, what: str) -> None:
        """A file that is not as it was."""
        self.mismatches_total += 1
        self.kinds[what] = self.kinds.get(what, 0) + 1
        if len(self.mismatches) < MISMATCHES_MAX:
            self.mismatches.append(Mismatch(show_path(path), what))


def compare(
    manifest: Path,
    root: Path,
    *,
    bound: str,
    strip: str = "",
    moved: Mapping[bytes, Moved] | None = None,
    named: frozenset[str] = frozenset(),
    unnamed: int = 0,
    left_out: Callable[[bytes], bool] = lambda path: False,
    may_move: Callable[[bytes], bool] = lambda path: False,
    tell: Callable[[int, int], None] = lambda done, total: None,
    going: Callable[[], bool] = lambda: True,
) -> Compared:
    """Compare. `bound` is the root that the manifest must have. `moved`: what is known of files that moved,
    by path; without it `named` are such files, and `unnamed` how many there are beyond these. `may_move`:
    those that are proved otherwise. `tell` is given files done and bytes read.

    Raises Damaged for another manifest, OSError, InterruptedError when `going` says no.
    """
    done = Compared()
    judge = _Judge(done, moved, named, unnamed, may_move, going)
    front = strip.encode("utf-8", "surrogateescape")
    for path, expected, found in _in_step(manifest, root, bound=bound, strip=front):
        if left_out(path):
            done.left_out += expected is not None and expected.kind == "f"
        elif expected is None:
            done.added += found is not None and found.kind == "f"
        else:
            judge.one(expected, found)
            if expected.kind == "f":
                tell(done.expected, done.size)
    return done


class _Judge:
    """One path after the other."""

    def __init__(
        self,
        done: Compared,
        moved: Mapping[bytes, Moved] | None,
        named: frozenset[str],
        unnamed: int,
        may_move: Callable[[bytes], bool],
        going: Callable[[], bool],
    ) -> None:
        self.done, self.moved, self.named, self.unnamed = done, moved, named, unnamed
        self.may_move, self.going = may_move, going

    def one(self, expected: Entry, found: Found | None) -> None:
        """Hold a restored path against what was there."""
        done = self.done
        if expected.kind in "un":
            done.unread += 1
            return
        if expected.kind != "f":
            self._no_file(expected, found)
            return
        done.expected += 1
        if found is None or found.kind != "f" or found.stat is None:
            self._differs(expected, found, "missing" if found is None else "no file any more")
            return
        try:
            digest, size, _ = hash_file(found.path, going=self.going)
        except InterruptedError:
            raise
        except OSError as error:
            done.note(expected.path, f"cannot be read: {error.strerror or error}"[:128])
            return
        done.size += size
        if digest == expected.digest:
            done.equal += 1
            return
        self._differs(
            expected, found, "shorter" if size < expected.size else "differs", digest=digest, size=size
        )

    def _no_file(self, expected: Entry, found: Found | None) -> None:
        """Directories and links; devices, sockets and pipes hold no data, and tools leave them out."""
        if expected.kind == "s" or (found is None and self._moved(expected.path) is not None):
            return
        if found is None:
            self.done.note(expected.path, "missing")
        elif found.kind != expected.kind:
            self.done.note(expected.path, "of another kind")
        elif expected.kind == "l" and os.readlink(found.path) != expected.digest:  # noqa: PTH115 - bytes
            self.done.note(expected.path, "a link to elsewhere")

    def _differs(
        self, expected: Entry, found: Found | None, what: str, *, digest: bytes = b"", size: int = 0
    ) -> None:
        """A file that is not what it was before the run: is it one that moved while the run went on?"""
        done, after = self.done, self._moved(expected.path)
        if after is None:
            done.note(expected.path, what)
        elif self._ever_was(expected, found, after, digest=digest, size=size):
            done.apart += 1
        elif not (after.digest or after.gone) or self.may_move(expected.path):
            done.unvouched += 1
        else:
            done.torn += 1
            done.note(expected.path, "torn" if digest else what)

    def _ever_was(
        self, expected: Entry, found: Found | None, after: Moved, *, digest: bytes, size: int
    ) -> bool:
        """As it was after the run; gone by then; or with more behind what it was before."""
        if found is None or not digest:
            return after.gone
        return digest == after.digest or (size > expected.size and self._grown(found.path, expected))

    def _grown(self, path: bytes, expected: Entry) -> bool:
        return hash_file(path, going=self.going, first=expected.size)[0] == expected.digest

    def _moved(self, path: bytes) -> Moved | None:
        """What is known of a file that moved; None when it did not."""
        if self.moved is not None:
            return self.moved.get(path)
        if show_path(path) in self.named:
            return Moved()
        if self.unnamed > 0 and len(self.named) > 0:
            self.unnamed -= 1
            return Moved()
        return None


def _in_step(
    manifest: Path, root: Path, *, bound: str, strip: bytes
) -> Iterator[tuple[bytes, Entry | None, Found | None]]:
    """Every path of the two as it was at the source, together where both have it. What was only restored as
    the way to the manifest's paths is left out."""
    top = os.fsencode(root).rstrip(b"/")
    restored = walk(os.fsencode(root))
    next(restored)  # the directory that holds it all
    here = next(restored, None)
    for entry, _ in read_entries(manifest, root=bound):
        wanted = order(top + b"/" + entry.path.removeprefix(strip).lstrip(b"/"))
        while here is not None and (at := order(here.path)) < wanted:
            if wanted[: len(at)] != at:
                yield strip + here.path.removeprefix(top), None, here
            here = next(restored, None)
        if here is not None and order(here.path) == wanted:
            yield entry.path, entry, here
            here = next(restored, None)
        else:
            yield entry.path, entry, None
    while here is not None:
        yield strip + here.path.removeprefix(top), None, here
        here = next(restored, None)


@dataclass(frozen=True, slots=True)
class CanaryBack:
    """Whether the canary came back, in words; `planted` when it did, whole."""

    ok: bool
    said: str
    planted: Planted | None = None


def find_canary(root: Path, source: str, *, strip: str = "", expected: Canary | None) -> CanaryBack:
    """The canary of the plan's first source in a restored tree; `expected`: the one of that copy's run."""
    path = restored_path(root, source, strip) / DIRECTORY / FILE
    if not inside(root, path):
        return CanaryBack(
            False, "the canary did not come back: the way to it is a link out of the restored tree"
        )
    try:
        planted = read_canary(path)
    except Torn as error:
        return CanaryBack(False, f"the canary came back torn: {error}")
    except OSError as error:
        return CanaryBack(False, f"the canary did not come back: {error.strerror or error}")
    if expected is not None and planted.canary.nonce != expected.nonce:
        return CanaryBack(
            False,
            "another canary came back than the one that was planted for this run: the copy is of another run",
        )
    return CanaryBack(True, "the canary came back whole, with its nonce", planted)


def restored_path(root: Path, source: str, strip: str) -> Path:
    """Where a path of the source lies in a restored tree."""
    return root / source.removeprefix(strip).lstrip("/")


def inside(root: Path, path: Path) -> bool:
    """Whether a path of a restored tree stays in it: a link that was restored may lead back to the source."""
    return path.resolve().is_relative_to(root.resolve())


def show_path(path: bytes) -> str:
    """A path as it travels: text, cut to its end."""
    return path.decode("utf-8", "replace")[-PATH_MAX_CHARS:]
