"""What the looks at Windows make of recorded answers: versions, languages, encodings, and what goes wrong."""

import re

import pytest

from forestall.collect.agent.looking import Looks
from forestall.collect.host import looks_of
from forestall.collect.host.windows import (
    accounts,
    antivirus,
    disk_health,
    encryption,
    event_log,
    firewall,
    restart,
    schedules,
    services,
    shares,
    software,
    startup,
    system,
    time_offset,
    updates,
)
from forestall.collect.masking import Masker
from forestall.collect.platforms import decoding, windows
from forestall.collect.viewing import NotHere, Reading
from forestall.judge.pack import load_packs
from forestall.judge.rules import Look
from forestall.judge.shelf import builtin_packs
from unit.collect.platform_player import Player, view_of

NOW_MS = 1_795_000_000_000  # November 2026
LONG_AFTER_MS = 4_000_000_000_000  # after this machine's own start, whenever that was


def see(look: object, **answers: str | Exception) -> Reading:
    """What a look sees; `answers` by the question."""
    played = {f"<{name.replace('_', '-')}>": answer for name, answer in answers.items()}
    now_ms = LONG_AFTER_MS if look is services else NOW_MS
    return look.look(view_of("windows", played, now_ms=now_ms))  # type: ignore[attr-defined]


def samples(reading: Reading) -> dict[str, float]:
    return {f"{one.metric} {one.item}".strip(): one.value for one in reading.samples}


def text(reading: Reading, kind: str) -> str:
    return next(one.text for one in reading.snapshots if one.kind == kind)


def test_automatic_services_that_do_not_run_but_for_those_that_are_not_meant_to() -> None:
    reading = see(services, services="services-server2019-de.json")
    failed = {item.removeprefix("service.failed ") for item, value in samples(reading).items() if value == 1}
    assert failed == {"Spooler", "MSSQLSERVER", "VeeamBackupSvc"}
    assert samples(reading)["services.failed_count"] == 3
    lines = text(reading, "services")
    assert "MSSQLSERVER Auto BAECKEREI\\svc-sql" in lines
    assert "RemoteAccess Disabled" in lines
    assert "OneSyncSvc_4a1c2" not in lines
    assert "S3cr3tVeeam!" not in lines and "‹secret" in lines


def test_services_soon_after_the_start() -> None:
    row = {"Name": "Spooler", "State": "Stopped", "StartMode": "Auto", "Delayed": False, "ExitCode": 0}
    assert not services.has_failed(row, up_s=60)
    assert services.has_failed(row, up_s=3600)
    assert services.has_failed(row | {"ExitCode": 1067}, up_s=60)
    assert not services.has_failed(row | {"Delayed": True}, up_s=3600)
    assert not services.has_failed(row | {"StartMode": "Manual"}, up_s=3600)
    assert not services.has_failed(row | {"State": "Start Pending"}, up_s=3600)


def test_programs_of_all_three_places() -> None:
    lines = text(see(software, software="software-win11-en.json"), "packages").splitlines()
    assert lines == [
        "7-Zip 24.08 (x64) 24.08 (Igor Pavlov)",
        "Microsoft Update Health Tools 5.72.0.0 (Microsoft Corporation)",
        "Notepad++ (32-bit x86) 8.7 (Notepad++ Team) [32 bit]",
        "Zoom Workplace 6.2.5 (46028) (Zoom Communications, Inc.) [user]",
        "Програма обліку 8",
    ]


def test_administrators_of_a_german_windows() -> None:
    reading = see(accounts, users="users-server2019-de.json", groups="groups-server2019-de.json")
    assert text(reading, "administrators").splitlines() == [
        "BAECKEREI\\Domänen-Admins",
        "S-1-5-21-1004336348-1177238915-682003330-1109",
        "SRV01\\Administrator",
    ]
    assert "members=SRV01\\Gast" in text(reading, "groups")
    assert "Remotedesktopbenutzer S-1-5-32-555 members=\n" in text(reading, "groups")
    users = text(reading, "users")
    assert "jörg S-1-5-21-1004336348-1177238915-682003330-1001 enabled password=required\n" in users
    assert "disabled password=NOT-REQUIRED password-never-expires" in users


def test_tasks_keep_no_secret_and_running_is_no_change() -> None:
    lines = text(see(schedules, tasks="tasks-win11-en.json"), "scheduled_tasks")
    assert "\\Backup\\Nightly copy enabled as SYSTEM highest" in lines
    assert "\\Old report disabled as Users" in lines
    assert "Winter2026!" not in lines
    assert text(see(schedules, tasks="tasks-one.json"), "scheduled_tasks").splitlines() == [
        "\\Alone enabled as SYSTEM highest",
        "\\Alone starts C:\\a.exe",
    ]


def test_what_is_started_at_sign_in() -> None:
    lines = text(see(startup, startup="startup-win11-en.json"), "startup").splitlines()
    assert lines[0].startswith("HKLM:[32 bit]\\Run Dropbox = ")
    assert lines[1] == "HKLM:\\Run SecurityHealth = %windir%\\system32\\SecurityHealthSystray.exe"
    assert lines[2].startswith("HKU\\S-1-5-21-3623811015-3361044348-30300820-1013\\RunOnce (default) = ")
    assert "ghp_" not in "".join(lines)


def test_encryption_of_fixed_volumes_that_say_how_they_are() -> None:
    reading = see(encryption, encryption="encryption-win11.json")
    assert samples(reading) == {"disk.encrypted C:": 1.0, "disk.encrypted D:": 0.0}
    assert text(reading, "encryption").splitlines() == [
        "C: protection on, encrypted",
        "D: protection off, decrypted",
        "F: protection unknown, unknown",
    ]
    with pytest.raises(NotHere):
        see(encryption, encryption="empty.json")


def test_updates_without_definitions_and_drivers() -> None:
    reading = see(
        updates, updates="updates-server2019-de.json", installed_updates="installed-updates-2019.json"
    )
    found = samples(reading)
    assert (found["updates.pending_count"], found["updates.security_count"]) == (2, 1)
    assert 735 < found["updates.since_last_days"] < 740
    assert text(reading, "updates").splitlines() == [
        "KB4514366 Update", "KB5039335 Update", "KB5046615 Security Update",
    ]  # fmt: skip
    without = see(updates, installed_updates="empty.json")
    assert samples(without) == {}


@pytest.mark.parametrize(("file", "due"), [("restart-due.json", 1.0)])
def test_a_restart_is_due(file: str, due: float) -> None:
    assert samples(see(restart, restart=file)) == {"updates.reboot_required": due}
    for nothing in ("empty.json", "nothing.json", "null.json"):
        with pytest.raises(NotHere):
            see(restart, restart=nothing)


def test_firewall_profiles_as_words_or_numbers() -> None:
    reading = see(firewall, firewall="firewall-win11.json")
    assert samples(reading) == {
        "firewall.off Domain": 0.0,
        "firewall.off Private": 1.0,
        "firewall.off Public": 0.0,
    }
    assert text(reading, "firewall").splitlines() == [
        "Domain on, inbound block, outbound allow",
        "Private OFF, inbound default, outbound default",
        "Public on, inbound block, outbound allow",
    ]


def test_shares_of_an_answer_in_utf16() -> None:
    assert text(see(shares, shares="shares-server2019-de.json"), "shares").splitlines() == [
        "Daten D:\\Daten",
        "Daten allow BAECKEREI\\Buchhaltung Nord change",
        "Daten allow Jeder full",
        "Scan D:\\Scan",
        "Scan allow NT-AUTORITÄT\\Authentifizierte Benutzer read",
    ]


@pytest.mark.parametrize(
    ("answers", "off"),
    [
        ({"defender": "defender-on.json", "antivirus": "antivirus-defender.json"}, 0.0),
        ({"defender": "defender-off.json"}, 1.0),
        ({"defender": "defender-off.json", "antivirus": "antivirus-other.json"}, 0.0),
        ({"defender": "defender-passive.json"}, 0.0),
        ({"antivirus": "antivirus-other.json"}, 0.0),
    ],
)
def test_protection_by_defender_or_another(answers: dict[str, str | Exception], off: float) -> None:
    assert samples(see(antivirus, **answers))["antivirus.off"] == off


def test_signatures_count_where_defender_protects() -> None:
    assert samples(see(antivirus, defender="defender-on.json"))["antivirus.signatures_days"] == 3
    assert "antivirus.signatures_days" not in samples(see(antivirus, defender="defender-off.json"))
    with pytest.raises(NotHere):
        see(antivirus)


def test_disks_that_say_that_they_fail() -> None:
    reading = see(disk_health, disks="disks-server.json", virtual_disks="virtual-disks.json")
    assert samples(reading) == {
        "disk.healthy Samsung SSD 980 S64DNX0T": 1.0,
        "disk.healthy WDC WD40EFRX WD-WCC4E": 0.0,
        "disk.healthy space Datapool": 0.0,
    }


def test_the_system_in_words() -> None:
    lines = text(see(system, system="system-win11-en.json"), "system")
    assert "system: Microsoft Windows 11 Pro 10.0.22631\nworkgroup: WORKGROUP\n" in lines
    assert "memory: 16 GiB" in lines


def test_the_clock_in_two_languages() -> None:
    def offset(source: str, compared: str) -> float:
        answers = {"/query": source, "/stripchart": compared}
        return time_offset.look(view_of("windows", answers)).samples[0].value

    assert offset("time-source-en.txt", "time-compare-en.txt") == 250.0  # the server is behind us
    assert offset("time-source-en.txt", "time-compare-de.txt") == -61_500.0
    for source, compared in (
        ("time-source-cmos-de.txt", "time-compare-en.txt"),
        ("time-source-en.txt", "time-compare-refused.txt"),
    ):
        with pytest.raises(NotHere):
            offset(source, compared)


def test_answers_that_are_no_json_say_what_they_are() -> None:
    with pytest.raises(ValueError, match="services: the answer is no JSON: Get-CimInstance : Zugriff verw"):
        see(services, services="error-de.txt")
    with pytest.raises(ValueError, match="software: the answer is no JSON: JSON that breaks off"):
        see(software, software="truncated.json")
    with pytest.raises(OSError, match="users: "):
        see(accounts, users=OSError("powershell.exe ended with status 1: HRESULT 0x80070005: denied"))
    with pytest.raises(NotHere):
        see(encryption, encryption=OSError("ended with status 1: HRESULT 0x8004100e,Get: Invalid namespace"))


def test_decoding_of_dates_switches_and_lists() -> None:
    assert decoding.as_text("/Date(1731452400000)/") == "2024-11-12"
    assert decoding.as_text("/Date(99999999999999999)/") == "/Date(99999999999999999)/"
    assert decoding.date_ms("/Date(-62135596800000)/") == -62_135_596_800_000
    assert [decoding.as_state(word) for word in (True, "True", 1, "Off", 0, None, "?")] == [
        True, True, True, False, False, None, None,
    ]  # fmt: skip
    assert decoding.as_list({"value": [1, None], "Count": 2}) == [1]
    assert decoding.to_text("Größe".encode("cp850")) == "Größe"
    assert decoding.to_text("ab".encode("utf-16-be")) != "ab"  # nobody writes it without a mark


# the event log


def events(**answers: str | Exception) -> dict[str, str | Exception]:
    return {f"query-events {name} ": answer for name, answer in answers.items()}


def test_events_are_read_in_any_language_and_the_place_is_kept() -> None:
    view = view_of("windows", events(System="events-system-de.xml", Security="events-security-en.xml"))
    reading = event_log.look(view)
    assert reading.keep is not None and reading.keep["places"] == {"System": 4105, "Security": 902}
    said = {record.attrs["event_id"]: record for record in reading.logs}
    assert (said["41"].severity, said["41"].source) == (2, "Microsoft-Windows-Kernel-Power")
    assert said["41"].message.startswith("Event 41: Das System wurde neu gestartet")
    assert said["7034"].source == "Service Control Manager"
    assert said["7036"].message == "Event 7036: param1=Spooler param2=beendet"
    assert said["1074"].attrs["user"] == "BAECKEREI\\anna" and "\n" not in said["1074"].message
    assert said["4625"].severity == 4 and said["4625"].facility == 10
    assert said["4625"].attrs | {"user": "administrator", "address": "203.0.113.9"} == said["4625"].attrs
    assert said["1102"].attrs["by"] == "anna"
    assert said["41"].at_ms == 1_795_421_553_123
    assert [record.attrs["record"] for record in reading.logs[-4:]] == ["4105", "900", "901", "902"]
    view.kept = reading.keep
    player = view.run
    assert isinstance(player, Player)
    player.asked.clear()
    player.answers = {"EventRecordID>4105": "nothing.json", "query-events System": "events-system-de.xml"}
    again = event_log.look(view)
    assert not again.logs and again.keep is None
    assert any("/query:*[System[EventRecordID>4105]]" in said for said in player.asked)


def test_a_cleared_log_is_read_from_its_beginning() -> None:
    view = view_of(
        "windows", {"EventRecordID>9999": "nothing.json", "query-events System": "events-system-de.xml"}
    )
    view.kept = {"places": {"System": 9999}}
    view.steady_s = 1000.0
    reading = event_log.look(view)
    assert len(reading.logs) == 5 and reading.keep == {"places": {"System": 4105}}


def test_damaged_events_are_counted_and_hold_up_none() -> None:
    view = view_of("windows", events(Application="events-application-damaged.xml"))
    reading = event_log.look(view)
    assert [record.attrs.get("record") for record in reading.logs if record.source != "forestall-agent"] == [
        "10", "11", "13",
    ]  # fmt: skip
    assert "2 events of Application could not be read" in [record.message for record in reading.logs]
    assert reading.keep == {"places": {"Application": 13}}  # the cut one is read again
    assert "Sommer2026!" not in Masker(b"k").mask_line(reading.logs[-1].message)
    bomb = event_log.look(view_of("windows", events(Setup="events-bomb.xml")))
    assert [record.message for record in bomb.logs] == ["1 events of Setup could not be read"]


def test_a_channel_that_is_refused_is_said_once() -> None:
    denied = OSError("wevtutil ended with status 5: Access is denied.")
    view = view_of("windows", events(System="events-system-de.xml", Security=denied))
    first = event_log.look(view)
    assert "Security: wevtutil ended with status 5" in first.logs[-1].message
    view.kept = first.keep or {}
    assert not [one for one in event_log.look(view).logs if one.source == "forestall-agent"]


def test_channels_that_could_be_options_are_refused() -> None:
    for name in ("/r:attacker", "System & calc", "", 'x" y'):
        with pytest.raises(ValueError, match="not the name of an event log"):
            windows.read_events(name, "*", newest=False, most=1)
    for name in ("-x", "a b", "$(calc)"):
        with pytest.raises(ValueError, match="no host's name"):
            windows.time_compare(name)


# the platform as a whole


def test_the_agents_directory_is_closed_by_sids_in_any_language() -> None:
    command = windows.close_directory("C:\\ProgramData\\Forestall\\agent")
    assert command[1:4] == ["C:\\ProgramData\\Forestall\\agent", "/inheritance:r", "/grant:r"]
    assert [part.partition(":")[0] for part in command[4:7]] == ["*S-1-5-18", "*S-1-5-32-544", "*S-1-3-4"]
    for wrong in ("agent", "/reset", ""):
        with pytest.raises(ValueError, match="whole path"):
            windows.close_directory(wrong)


def test_every_look_at_windows_asks_only_what_is_listed() -> None:
    looks = Looks(Masker(b"k"), kept={}, looks=looks_of("win32"))
    assert {"event_log", "services", "updates", "disks", "ports", "etc_files"} <= set(looks.names)
    assert "journald" not in looks.names
    for question in windows.QUESTIONS:
        command = windows.powershell(question)
        assert command[0].endswith("powershell.exe") and "-Command" in command
        balanced = re.sub(r"'[^']*'", "", command[-1])
        for opening, closing in ("()", "{}", "[]"):
            assert balanced.count(opening) == balanced.count(closing), question
        verbs = set(re.findall(r"\b(Set|Remove|New|Stop|Start|Invoke|Add|Clear)-\w+", command[-1]))
        assert verbs <= {"New"} and "Invoke-" not in command[-1], question


def test_the_packs_know_recorded_events_in_any_language() -> None:
    book = load_packs(builtin_packs())
    rules = [
        rule for pack in book.packs if pack.name == "windows-server" for rule in pack.rules
        if rule.look is Look.LOG
    ]  # fmt: skip
    view = view_of("windows", events(System="events-system-de.xml", Security="events-security-en.xml"))
    matched = {
        record.attrs["event_id"]: {
            rule.name
            for rule in rules
            if record.source in rule.sources and record.severity <= rule.severity
            and re.search(rule.pattern, record.message)
        }
        for record in event_log.look(view).logs
    }  # fmt: skip
    assert matched == {
        "41": {"windows-stopped-unexpectedly"},
        "7034": {"windows-services-crash"},
        "7": {"windows-disk-failing"},
        "1074": set(),
        "7036": set(),
        "4625": {"windows-sign-in-failures"},
        "4740": {"windows-account-locked"},
        "1102": {"windows-log-cleared"},
    }
