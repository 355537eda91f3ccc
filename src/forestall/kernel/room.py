"""What room there is on a disk."""

import os
from pathlib import Path


def free_bytes(directory: Path) -> int:
    """What is left for us on the disk of a directory."""
    room = os.statvfs(directory)
    return room.f_bavail * room.f_frsize
