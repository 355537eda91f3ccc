"""What the looks at a Mac make of recorded answers of several versions, and what goes wrong."""

from pathlib import Path

import pytest

from forestall.collect.agent.looking import Looks
from forestall.collect.host import looks_of
from forestall.collect.host.macos import (
    accounts,
    disk_health,
    disks,
    encryption,
    firewall,
    profiles,
    services,
    software,
    startup,
    system,
    time_offset,
    unified_log,
    updates,
)
from forestall.collect.masking import Masker
from forestall.collect.platforms import macos
from forestall.collect.viewing import NotHere, Reading
from unit.collect.platform_player import RECORDINGS, Player, view_of


def samples(reading: Reading) -> dict[str, float]:
    return {f"{one.metric} {one.item}".strip(): one.value for one in reading.samples}


def text(reading: Reading, kind: str) -> str:
    return next(one.text for one in reading.snapshots if one.kind == kind)


def test_users_groups_and_administrators(tmp_path: Path) -> None:
    keys = tmp_path / "Users/anna/.ssh/authorized_keys"
    keys.parent.mkdir(parents=True)
    keys.write_text("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGmJ anna@laptop\n# none\n")
    answers = {"/Users": "users-14.plist", "/Groups": "groups-14.plist"}
    reading = accounts.look(view_of("macos", answers, root=tmp_path))
    assert text(reading, "users").splitlines() == [
        "anna uid=501 home=/Users/anna shell=/bin/zsh",
        "nobody uid=-2 home= shell=/usr/bin/false",
        "root uid=0 home=/var/root shell=/bin/sh",
    ]
    assert text(reading, "administrators") == "anna\nroot\n"
    assert "_lp" not in text(reading, "groups")
    assert text(reading, "authorized_keys").startswith("anna: ssh-ed25519 SHA256:")


def test_launchd_services_that_ended_with_an_error(tmp_path: Path) -> None:
    folder = tmp_path / "Library/LaunchDaemons"
    folder.mkdir(parents=True)
    (folder / "com.acme.backup.plist").write_bytes((RECORDINGS / "macos/com.acme.backup.plist").read_bytes())
    (folder / "broken.plist").write_text("not a list")
    reading = services.look(view_of("macos", {"launchctl": "launchctl-14.txt"}, root=tmp_path))
    failed = {name for name, value in samples(reading).items() if name.startswith("service.failed") and value}
    assert failed == {"service.failed com.acme.backup", "service.failed com.other agent with space"}
    lines = text(reading, "services")
    assert "com.acme.backup enabled as root RunAtLoad StartInterval" in lines
    assert "Herbst2026!" not in lines and "abcd1234efgh" not in lines and "LANG=C" in lines
    assert "broken.plist cannot be read" in reading.snapshots[0].problem


@pytest.mark.parametrize(
    ("file", "value"), [("fdesetup-on.txt", 1.0), ("fdesetup-off.txt", 0.0), ("fdesetup-busy.txt", 0.0)]
)
def test_filevault(file: str, value: float) -> None:
    assert samples(encryption.look(view_of("macos", {"fdesetup": file}))) == {"disk.encrypted /": value}


def test_filevault_that_does_not_say() -> None:
    with pytest.raises(NotHere, match="Unable to get status"):
        encryption.look(view_of("macos", {"fdesetup": "fdesetup-error.txt"}))


@pytest.mark.parametrize(
    ("file", "counts"),
    [
        ("softwareupdate-14.txt", (2, 1)),
        ("softwareupdate-10.14.txt", (1, 1)),
        ("softwareupdate-none.txt", (0, 0)),
    ],
)
def test_updates_of_several_versions(file: str, counts: tuple[int, int]) -> None:
    found = samples(updates.look(view_of("macos", {"softwareupdate": file})))
    assert (found["updates.pending_count"], found["updates.security_count"]) == counts


def test_the_firewall() -> None:
    answers = {"getglobal": "firewall-on.txt", "getblock": "firewall-blockall.txt",
               "getstealth": "firewall-stealth.txt"}  # fmt: skip
    reading = firewall.look(view_of("macos", answers))
    assert samples(reading) == {"firewall.off application firewall": 0.0}
    assert text(reading, "firewall") == "state 1\nblock all off\nstealth mode on\n"
    assert samples(firewall.look(view_of("macos", {"getglobal": "firewall-off.txt"}))) == {
        "firewall.off application firewall": 1.0
    }


def test_the_clock_by_two_forms_of_sntp() -> None:
    def offset(server: str, answer: str) -> float:
        return time_offset.look(view_of("macos", {"systemsetup": server, "sntp": answer})).samples[0].value

    assert offset("time-server.txt", "sntp-14.txt") == -250.0
    assert offset("time-server.txt", "sntp-10.12.txt") == 1500.0
    for server, answer in (
        ("time-server.txt", "sntp-none.txt"),
        ("time-server-root.txt", "sntp-14.txt"),
    ):
        with pytest.raises(NotHere):
            offset(server, answer)


def test_management_without_what_the_profiles_hold() -> None:
    answers = {"profiles status": "enrolment-14.txt", "profiles list": "profiles-14.plist"}
    lines = text(profiles.look(view_of("macos", answers)), "profiles").splitlines()
    assert lines == [
        "Enrolled via DEP: No",
        "MDM enrollment: Yes (User Approved)",
        "MDM server: https://mdm.example.net/checkin",
        "anna: Mail (net.example.mail)",
        "computerlevel: Wi-Fi (net.example.wifi)",
    ]
    with pytest.raises(ValueError, match="no property list: Enrolled"):
        profiles.look(view_of("macos", answers | {"profiles list": "enrolment-14.txt"}))


def test_applications_and_packages_that_are_not_apples() -> None:
    answers = {"SPApplications": "applications-14.json", "pkgutil": "packages.txt"}
    assert text(software.look(view_of("macos", answers)), "packages").splitlines() == [
        "Firefox 132.0.1 (identified_developer)",
        "Größe (unknown)",
        "package com.teamviewer.teamviewer",
        "package org.wireshark.ChmodBPF.pkg",
    ]
    with pytest.raises(ValueError, match="no JSON: Enrolled via"):
        software.look(view_of("macos", {"SPApplications": "enrolment-14.txt"}))


def test_login_items() -> None:
    lines = text(startup.look(view_of("macos", {"sfltool": "loginitems-14.txt"})), "startup").splitlines()
    assert lines == [
        "Dropbox (app) enabled, allowed, visible: 2.com.getdropbox.dropbox",
        "Zoom Video Communications, Inc. (developer) disabled, disallowed, visible: us.zoom",
    ]


def test_disks_and_the_system() -> None:
    answers = {"list -plist": "disks-14.plist", "info -plist disk0": "disk0.plist",
               "info -plist disk4": "disk4.plist"}  # fmt: skip
    assert samples(disk_health.look(view_of("macos", answers))) == {
        "disk.healthy disk0 APPLE SSD AP0512Z": 1.0,
        "disk.healthy disk4 WDC WD10": 0.0,
    }
    lines = text(system.look(view_of("macos", {"SPHardware": "system-14.json"})), "system")
    assert "system: macOS 14.7.1 (23H222)" in lines and "uptime" not in lines
    with pytest.raises(ValueError, match="is no disk"):
        macos.disk_info("disk0; reboot")


def test_a_container_counts_once() -> None:
    parts = [
        ("/dev/disk3s1s1", "/", "apfs", "ro,sealed,local,rootfs"),
        ("/dev/disk3s5", "/System/Volumes/Data", "apfs", "rw,local,dontbrowse"),
        ("/dev/disk3s6", "/System/Volumes/VM", "apfs", "rw,local,dontbrowse"),
        ("/dev/disk5s1", "/Volumes/Backup", "apfs", "rw,local"),
        ("/dev/disk6s2", "/Volumes/STICK", "exfat", "rw,local"),
        ("map auto_home", "/System/Volumes/Data/home", "autofs", "rw"),
        ("//anna@nas/data", "/Volumes/data", "smbfs", "rw"),
    ]
    assert disks.containers(parts) == ["/", "/Volumes/Backup", "/Volumes/STICK"]


def test_the_log_is_read_on_without_losing_or_repeating_lines() -> None:
    at_ms = 1_795_421_560_000  # a few seconds after the lines
    view = view_of("macos", {"log show": "log-14.ndjson"}, now_ms=at_ms)
    reading = unified_log.look(view)
    assert [(one.source, one.severity) for one in reading.logs] == [
        ("sshd", 5), ("backupd", 3), ("kernel", 2), ("log", 6),
    ]  # fmt: skip
    assert reading.logs[2].message == "disk0s2: I/O error. next"
    assert reading.logs[0].at_ms == 1_795_421_551_000
    assert reading.keep is not None
    view.kept = reading.keep
    player = view.run
    assert isinstance(player, Player)
    player.answers = {"log show": "log-14-later.ndjson"}
    later = unified_log.look(view)
    assert [one.source for one in later.logs] == ["sudo"]
    assert "--start @1795421548" in player.asked[-1]
    view.kept = later.keep or {}
    assert not unified_log.look(view).logs


def test_the_looks_of_a_mac() -> None:
    looks = Looks(Masker(b"k"), kept={}, looks=looks_of("darwin"))
    assert {"unified_log", "services", "profiles", "ports", "etc_files"} <= set(looks.names)
    assert not {"journald", "event_log"} & set(looks.names)
