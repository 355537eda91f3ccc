"""What backup products say of their runs, read from recordings."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from forestall.collect.backups.heard import duration_s, size_of
from forestall.collect.backups.mails import MAIL_MAX_BYTES, plain, read_mail
from forestall.collect.jobs import heartbeat, proxmox, synology, veeam, windows_server_backup
from forestall.kernel.backups import RunReport

HERE = Path(__file__).parents[2] / "recordings" / "backups"


def text(name: str) -> str:
    return (HERE / name).read_text()


def ms(moment: str) -> int:
    return round(datetime.fromisoformat(moment).timestamp() * 1000)


def test_a_mail_of_vzdump_is_a_run_for_each_guest() -> None:
    runs = read_mail((HERE / "proxmox-mail.eml").read_bytes())
    assert [(run.job, run.said, run.host) for run in runs] == [
        ("100", "success", "pve1"),
        ("101", "failed", "pve1"),
    ]
    assert runs[0].size == round(12.34 * (1 << 30)) and runs[0].ended_ms == ms("2026-11-21T01:12:30+01:00")
    assert "unable to connect" in runs[1].reason
    assert len({run.key for run in runs}) == 2


def test_a_log_of_vzdump_tells_warnings_from_failures() -> None:
    runs = proxmox.read_log(text("proxmox-task.log"))
    assert [(run.job, run.said) for run in runs] == [
        ("100", "success"),
        ("101", "failed"),
        ("102", "warning"),
    ]
    assert runs[0].began_ms == ms("2026-11-21T01:00:02+00:00")
    assert runs[0].ended_ms == ms("2026-11-21T01:01:25+00:00")
    assert runs[0].added == 32 << 30 and "Input/output error" in runs[1].reason


def test_tasks_of_a_backup_server_are_runs_and_a_prune_is_none() -> None:
    runs = proxmox.read_tasks(text("proxmox-tasks.json"))
    assert [(run.job, run.said) for run in runs] == [
        ("100", "success"),
        ("101", "failed"),
        ("102", "running"),
    ]
    with pytest.raises(ValueError, match="no list `data`"):
        proxmox.read_tasks("{}")


def test_a_mail_of_veeam_has_its_times_over_midnight() -> None:
    (run,) = read_mail((HERE / "veeam-mail.eml").read_bytes())
    assert (run.tool, run.job, run.said, run.warnings) == ("veeam", "Daily Servers", "warning", 1)
    assert run.began_ms == ms("2026-11-20T22:00:12+01:00") and run.ended_ms == ms("2026-11-21T02:30:40+01:00")
    assert run.size == 410 << 30 and run.added == round(14.2 * (1 << 30))
    assert "guest processing was skipped" in run.reason


def test_sessions_of_veeam_are_runs_and_maintenance_is_none() -> None:
    runs = veeam.read_sessions(text("veeam-sessions.json"))
    assert [(run.job, run.said) for run in runs] == [
        ("Daily Servers", "warning"),
        ("Daily Desktops", "running"),
    ]


def test_hyper_backup_tells_a_failure_by_mail_and_by_log() -> None:
    (run,) = read_mail((HERE / "synology-mail.eml").read_bytes())
    assert (run.tool, run.job, run.said, run.host) == ("synology", "Office files", "failed", "NAS01")
    assert run.began_ms == ms("2026-11-21T03:00:00+01:00")
    assert run.ended_ms == ms("2026-11-21T03:05:12+01:00")
    runs = synology.read_log(text("synology.log"))
    assert [(run.said, run.files, run.files_new) for run in runs] == [
        ("success", 15382, 12),
        ("failed", None, None),
    ]


def test_events_of_windows_are_runs() -> None:
    runs = windows_server_backup.read_events(text("windows-events.xml"))
    assert [run.said for run in runs] == ["success", "failed"]
    assert runs[0].began_ms is not None and runs[0].ended_ms == ms("2026-11-20T20:31:00+00:00")
    assert "2155348129" in runs[1].reason
    bomb = "<!DOCTYPE x [<!ENTITY a 'b'>]><Event><System>&a;</System></Event>"
    assert windows_server_backup.read_events(bomb) == []
    copies = windows_server_backup.read_versions(text("wbadmin-versions.txt"), zone=UTC)
    assert [copy.key for copy in copies] == ["11/20/2026-20:00", "11/21/2026-20:00"]


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"Subject: Lunch\n\nAt noon?", "no product"),
        (b"", "no product"),
        (b"Subject: [Success] Something\n\nof a shop", "no product"),
        (b"\xff\xfe\x00" * 100, "no product"),
        (b"x" * (MAIL_MAX_BYTES + 1), "are the most"),
    ],
)
def test_a_mail_that_nobody_understands_is_kept_as_unknown(raw: bytes, why: str) -> None:
    (run,) = read_mail(raw)
    assert run.said == "unknown" and why in run.reason
    assert isinstance(run.report("06YK9KF3KMET7", 1), RunReport)


def test_sizes_and_durations_as_products_write_them() -> None:
    assert size_of("1,234.5 KB") == round(1234.5 * 1024) and size_of("12,5 GB") == round(12.5 * (1 << 30))
    assert size_of("none") is None
    assert duration_s("1.02:03:04") == 93_784 and duration_s("1h 2m 3s") == 3_723


def test_a_heartbeat_knows_no_more_than_the_exit_code() -> None:
    assert heartbeat.read_run(0, "", command=["x"], version="").said == "success"
    run = heartbeat.read_run(3, "one\nno space left\n", command=["x"], version="")
    assert run.said == "failed" and "no space left" in run.reason


@pytest.mark.parametrize(
    "body", ["<script" * 300_000, "<style>" * 300_000, "Duration" + " " * 900_000, "</td" * 500_000]
)
def test_a_mail_that_is_made_to_be_slow_is_read_like_any_other(body: str) -> None:
    """Each would take hours where every beginning is sought to the end."""
    for kind in ("plain", "html"):
        raw = f"Subject: [Success] Files\nFrom: veeam@x\nContent-Type: text/{kind}\n\n{body}".encode()
        assert len(read_mail(raw)) == 1


def test_events_without_an_end_are_passed_over() -> None:
    assert windows_server_backup.read_events("<Event " * 140_000) == []


def test_scripts_and_styles_are_not_shown() -> None:
    html = (
        "<p>one</p><style>p {color: red}</style><p>two</p><SCRIPT>var a = 1</SCRIPT\n><p>three</p><script>x"
    )
    assert plain(html).split() == ["one", "two", "three"]
