"""The numbers in reports of backups as samples, so that they are charted like any other. Pure."""

from collections.abc import Mapping

from forestall.kernel.backups import BackupReport, ProofReport, RepositoryReport, RunReport
from forestall.kernel.observations import Sample


def samples_of(report: BackupReport, names: Mapping[str, str]) -> list[Sample]:
    """Samples of the report's asset. `names`: plans by identifier; a report of another plan has none."""
    name = names.get(getattr(report, "plan", ""), "")
    if not name:
        return []
    at_ms, numbers = _numbers(report)
    return [
        Sample(at_ms, metric, name, float(value)) for metric, value in numbers.items() if value is not None
    ]


def _numbers(report: BackupReport) -> tuple[int, dict[str, int | float | None]]:
    match report:
        case RunReport(said="running"):
            return 0, {}
        case RunReport():
            took_ms = None
            if report.began_ms is not None and report.ended_ms is not None:
                took_ms = max(0, report.ended_ms - report.began_ms)
            return report.ended_ms or report.at_ms, {
                "backup.size_bytes": report.size,
                "backup.files_count": report.files,
                "backup.added_bytes": report.added,
                "backup.took_s": None if took_ms is None else took_ms / 1000,
            }
        case RepositoryReport(opened=True):
            return report.at_ms, {
                "backup.copies_count": report.copies_total,
                "backup.repository_used_bytes": report.used,
                "backup.repository_free_bytes": report.free,
            }
        case ProofReport(skipped=False, work="drill" | "service" | "elsewhere"):
            return report.ended_ms, {
                "backup.recovery_point_s": None if report.rpo_ms is None else report.rpo_ms / 1000,
                "backup.recovery_time_s": None if report.rto_ms is None else report.rto_ms / 1000,
            }
    return 0, {}
