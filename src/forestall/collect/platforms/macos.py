"""Every command that the agent runs on a Mac: constants, but for a time and the name of a disk.

Sources: log(1), launchctl(1), sfltool(1), system_profiler(8), pkgutil(1), dscl(1), fdesetup(8),
softwareupdate(8), socketfilterfw(8), profiles(1), diskutil(8), sntp(1), systemsetup(8) of macOS 12 to 15.
"""

import plistlib
import re
from collections.abc import Sequence
from typing import Any
from xml.parsers.expat import ExpatError

PACKAGES_S = 120.0
UPDATES_S = 300.0
LOG_S = 60.0

# What is worth keeping of the unified log, which has thousands of lines a second: who signed in, became root,
# or restarted it; faults of disks and file systems; backups, updates, management and protection.
WHICH_LOG = (
    'process IN {"sshd","sshd-session","sudo","su","login","loginwindow","shutdown","reboot",'
    '"screensharingd",'
    '"softwareupdated","backupd","mdmclient","XProtectRemediator","fsck_apfs","fsck_hfs","opendirectoryd"} '
    'AND (messageType == error OR messageType == fault OR process IN {"sshd","sshd-session","sudo","su",'
    '"login","shutdown","reboot","backupd"}) OR process == "kernel" '
    'AND (eventMessage CONTAINS "I/O error" OR '
    'eventMessage CONTAINS "disk full" OR eventMessage CONTAINS "panic" OR eventMessage CONTAINS[c] '
    '"memorystatus: killing" OR eventMessage CONTAINS "Previous shutdown cause")'
)
LAUNCHD_LIST = ("/bin/launchctl", "list")
LOGIN_ITEMS = ("/usr/bin/sfltool", "dumpbtm")
APPLICATIONS = ("/usr/sbin/system_profiler", "-json", "SPApplicationsDataType", "-detailLevel", "mini")
PACKAGES = ("/usr/sbin/pkgutil", "--pkgs")
SYSTEM = ("/usr/sbin/system_profiler", "-json", "SPHardwareDataType", "SPSoftwareDataType")
USERS = ("/usr/bin/dscl", "-plist", ".", "-readall", "/Users", "UniqueID", "UserShell", "NFSHomeDirectory")
GROUPS = ("/usr/bin/dscl", "-plist", ".", "-readall", "/Groups", "PrimaryGroupID", "GroupMembership")
FILEVAULT = ("/usr/bin/fdesetup", "status")
UPDATES = ("/usr/sbin/softwareupdate", "--list", "--no-scan")
FIREWALL = "/usr/libexec/ApplicationFirewall/socketfilterfw"
FIREWALL_STATE = (FIREWALL, "--getglobalstate")
FIREWALL_BLOCKS = (FIREWALL, "--getblockall")
FIREWALL_STEALTH = (FIREWALL, "--getstealthmode")
ENROLMENT = ("/usr/bin/profiles", "status", "-type", "enrollment")
PROFILES = ("/usr/bin/profiles", "list", "-output", "stdout-xml")
DISKS = ("/usr/sbin/diskutil", "list", "-plist", "physical")
TIME_SERVER = ("/usr/sbin/systemsetup", "-getnetworktimeserver")


def read_log(since_s: int) -> Sequence[str]:
    """The command that shows the log from a second on (since 1970), a JSON object a line."""
    show = ("/usr/bin/log", "show", "--style", "ndjson", "--start", f"@{since_s:d}")
    return (*show, "--predicate", WHICH_LOG)


def disk_info(disk: str) -> Sequence[str]:
    """The command that describes a disk. Raises ValueError for what is no disk's name."""
    if not re.fullmatch(r"disk\d{1,4}", disk):
        raise ValueError(f"{disk!r} is no disk")
    return ("/usr/sbin/diskutil", "info", "-plist", disk)


def time_compare(server: str) -> Sequence[str]:
    """The command that compares the clock with a server's. Raises ValueError for what is no host's name."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,252}", server):
        raise ValueError(f"{server!r} is no host's name")
    return ("/usr/bin/sntp", "-t", "5", server)


def read_plist(output: bytes, *, of: str) -> Any:
    """What a property list holds. Raises ValueError with what was said instead."""
    start = output.find(b"<?xml")
    try:
        return plistlib.loads(output[max(start, 0) :])
    except (plistlib.InvalidFileException, ExpatError, ValueError, OverflowError) as error:
        said = " ".join(output[:200].decode(errors="replace").split())
        raise ValueError(f"{of}: the answer is no property list: {said}") from error
