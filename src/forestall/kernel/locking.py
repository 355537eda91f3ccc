"""One process at a time: a file that is locked for as long as it is open, on every platform."""

from pathlib import Path
from typing import IO, Any

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]
try:
    import msvcrt as _msvcrt
except ImportError:
    _msvcrt = None  # type: ignore[assignment]

msvcrt: Any = _msvcrt  # its functions are known to a checker on Windows alone
PLACE = 1 << 30  # Windows locks bytes: one far behind what is written, so that others may read the file


def lock_file(path: Path) -> IO[str]:
    """The open file, locked; closing it, or the end of the process, unlocks. Raises BlockingIOError when
    another process holds it (its text stands in the file, if it wrote any), OSError."""
    file = path.open("a+")
    try:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            file.seek(PLACE)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    except BlockingIOError:
        file.close()
        raise
    except OSError as error:  # how msvcrt says that it is held
        file.close()
        raise BlockingIOError(error.errno, "another process holds it", str(path)) from error
    return file
