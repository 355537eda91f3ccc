"""A proof as one page that an auditor understands (PDF by typst), from the sealed report alone."""

import json
from importlib.resources import files
from typing import Any

import typst

from forestall.backups.models import Proof
from forestall.backups.values import WORK_TITLES
from forestall.judge.backups.values import LEVEL_NAMES
from forestall.kernel.backups import LEVEL_OF_WORK, CheckSeen, ProofReport
from forestall.kernel.clock import from_ms
from forestall.kernel.words import say_bytes, say_duration

TEMPLATE = "proof.typ"
CHECKS_SHOWN = 14
SAID_MAX_CHARS = 160
TITLES = {
    "drill": "Proof of a restore",
    "service": "Proof of a running service",
    "elsewhere": "Proof of a restore elsewhere",
    "read": "Proof that the data was read back",
    "check": "Proof of a sound repository",
    "look": "Look into a repository",
}


def proof_pdf(row: Proof, report: ProofReport, *, provider: str) -> bytes:
    """The page. `row` is sealed, with `plan`, its `asset` and `client`. One proof gives the same bytes."""
    source = files("forestall.backups").joinpath(TEMPLATE).read_bytes()
    made: bytes = typst.compile(
        source,
        format="pdf",
        ignore_system_fonts=True,
        sys_inputs={"data": json.dumps(page_of(row, report, provider=provider))},
        timestamp=int(row.ended_at.timestamp()),
    )
    return made


def page_of(row: Proof, report: ProofReport, *, provider: str) -> dict[str, Any]:
    """What the page says, part by part."""
    plan = row.plan
    return {
        "id": row.pk,
        "provider": provider,
        "title": TITLES[report.work],
        "client": row.client.name,
        "asset": plan.asset.name,
        "plan": plan.name,
        "ok": report.ok,
        "verdict": _verdict(report),
        "reason": report.reason,
        "done": _done(row, report),
        "outcome": _outcome(report),
        "checks": [_check(one) for one in _worst_first(report)],
        "sealed_at": _time(row.sealed_at) if row.sealed_at else "not sealed",
        "seal": [
            ["SHA-256 of the sealed file", row.sha256 or "not sealed"],
            ["Entry of the journal", str(row.seq) if row.seq is not None else "none"],
        ],
    }


def _verdict(report: ProofReport) -> str:
    if report.skipped:
        return "Not tried, which counts as failed"
    if not report.ok:
        return "It did not hold"
    level = LEVEL_OF_WORK[report.work]
    return f"Level {level} holds: {LEVEL_NAMES[level]}"


def _done(row: Proof, report: ProofReport) -> list[list[str]]:
    plan = row.plan
    lines = [
        ["What", WORK_TITLES[report.work]],
        ["When", f"{_time(row.began_at)} to {_time(row.ended_at)} ({_took(row)})"],
        ["On the machine", report.machine or "not said"],
        ["With", " ".join(filter(None, (report.tool, report.version))) or "not said"],
        ["Repository", plan.repository or "none"],
        ["Sources", ", ".join(plan.sources) or "as the tool is told"],
    ]
    if report.copy:
        made = f", made {_time(from_ms(report.copy_at_ms))}" if report.copy_at_ms else ""
        lines.append(["Copy, by its own identifier", f"{report.copy}{made}"])
    if report.slice_of:
        lines.append(["Part that was read", f"{report.slice_of[0]} of {report.slice_of[1]}"])
    return lines


def _outcome(report: ProofReport) -> list[list[str]]:
    lines = []
    if report.manifest is not None:
        lines.append(
            [
                "Compared with",
                f"hashes of {report.manifest.files:,} files ({say_bytes(report.manifest.size)}) taken at the"
                f" source {_time(from_ms(report.manifest.at_ms))}; root {report.manifest.root}",
            ]
        )
    if report.files_expected is not None:
        equal = report.files_equal or 0
        lines.append(["Files equal to the source", f"{equal:,} of {report.files_expected:,}"])
    if report.size is not None:
        lines.append(["Bytes compared or read", f"{say_bytes(report.size)} ({report.size:,} bytes)"])
    if report.mismatches_total:
        named = "; ".join(f"{one.path} ({one.what})" for one in report.mismatches[:3])
        lines.append(["Files that are not as they were", f"{report.mismatches_total:,}: {named}"])
    if report.canary_at_ms is not None:
        lines.append(["Newest canary that came back", f"planted {_time(from_ms(report.canary_at_ms))}"])
    if report.rpo_ms is not None:
        lines.append(["Age of the newest restored data", say_duration(report.rpo_ms / 1000)])
    if report.rto_ms is not None:
        lines.append(["Time from the key to the last check", say_duration(report.rto_ms / 1000)])
    return lines or [["Outcome", report.reason]]


def _worst_first(report: ProofReport) -> list[CheckSeen]:
    return sorted(report.checks, key=lambda one: one.ok)[:CHECKS_SHOWN]


def _check(one: CheckSeen) -> dict[str, Any]:
    said = one.said if len(one.said) <= SAID_MAX_CHARS else f"{one.said[: SAID_MAX_CHARS - 1]}…"
    return {"name": one.name, "ok": one.ok, "said": said}


def _took(row: Proof) -> str:
    return say_duration(max(1.0, (row.ended_at - row.began_at).total_seconds()))


def _time(at: Any) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
