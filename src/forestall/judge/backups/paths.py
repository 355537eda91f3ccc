"""Sources and paths of copies, compared as people mean them."""

from fnmatch import fnmatchcase


def plain(path: str) -> str:
    """A source as it is compared: one kind of slash, none at the end or the beginning."""
    return path.replace("\\", "/").strip("/")


def covers(wide: str, narrow: str) -> bool:
    """Whether saving `wide` saves `narrow`."""
    one, other = plain(wide), plain(narrow)
    if not one or one == other or other.startswith(one + "/"):
        return True
    return any(letter in one for letter in "*?[") and fnmatchcase(other, one)
