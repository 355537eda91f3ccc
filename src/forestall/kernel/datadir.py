"""The data directory of an installation: where everything that must survive lies, and who may use it."""

import os
import secrets
from pathlib import Path
from typing import IO

from forestall.kernel.durable import make_directory, sync_directory
from forestall.kernel.errors import Trouble
from forestall.kernel.locking import lock_file

SECRET_BYTES = 32


class DataDir:
    """Paths inside a data directory. Nothing is created before `create` is called."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.database = self.root / "forestall.db"
        self.settings = self.root / "forestall.toml"
        self.secret = self.root / "secret"
        self.queue = self.root / "queue"
        self.quarantine = self.root / "quarantine"
        self.telemetry = self.root / "telemetry"
        self.evidence = self.root / "evidence"
        self.mail = self.root / "mail"
        self.run = self.root / "run"
        self.agent = self.root / "agent"

    def create(self) -> None:
        """Make the directory and its parts, readable by their owner alone. Raises Trouble when that fails."""
        try:
            for path in (
                self.root,
                self.secret,
                self.queue,
                self.quarantine,
                self.telemetry,
                self.evidence,
                self.mail,
                self.run,
                self.agent,
            ):
                make_directory(path)
            probe = self.run / ".writable"
            probe.write_bytes(b"x")
            probe.unlink()
            list(self.root.iterdir())
        except PermissionError as error:
            raise Trouble(
                f"the data directory {self.root} cannot be read and written by this user",
                f"Run as its owner, or choose another with --data DIR ({error.strerror}).",
            ) from error
        except NotADirectoryError as error:
            raise Trouble(f"{self.root} is a file", "Choose a directory with --data DIR.") from error
        except FileExistsError as error:
            raise Trouble(f"{error.filename} is a file", "Choose a directory with --data DIR.") from error
        except OSError as error:
            raise Trouble(
                f"the data directory {self.root} cannot be written: {error.strerror}",
                "Make room on that disk, or choose another with --data DIR.",
            ) from error

    def key(self, name: str) -> bytes:
        """The secret key `name` (32 bytes), made on first use and readable by its owner alone."""
        path = self.secret / name
        try:
            return path.read_bytes()
        except FileNotFoundError:
            fresh = secrets.token_bytes(SECRET_BYTES)
            temporary = path.with_name(f".{name}.{os.getpid()}")
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(fresh)
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(temporary, path)  # the first of two processes wins; both read the same key
            except FileExistsError:
                pass
            finally:
                temporary.unlink()
            sync_directory(self.secret)
            return path.read_bytes()

    def lock(self) -> IO[str]:
        """Hold the directory for this process. Raises Trouble when another installation runs on it."""
        path = self.run / "lock"
        try:
            file = lock_file(path)
        except BlockingIOError as error:
            holder = path.read_text().strip() or "another process"
            raise Trouble(
                f"Forestall already runs on {self.root} (process {holder})",
                "Stop it first, or use another directory with --data DIR.",
            ) from error
        file.seek(0)
        file.truncate()
        file.write(str(os.getpid()))
        file.flush()
        return file
