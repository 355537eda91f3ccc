"""Where evidence comes from in an installation: the telemetry store, the configurations, the spec packs."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from forestall.configs.models import Change, Version
from forestall.configs.texts import text_of
from forestall.findings.gate import every
from forestall.findings.models import Finding
from forestall.kernel.clock import to_ms
from forestall.kernel.errors import Trouble
from forestall.kernel.ids import to_number
from forestall.telemetry.client import Store
from forestall.telemetry.read import latest, read_series
from forestall.telemetry.search import search_logs

POINTS = 400
LINES_MOST = 500
SNAPSHOTS_MOST = 60
CHANGES_MOST = 40
CHANGES_WITHIN = timedelta(days=7)
TEXT_MAX_BYTES = 64 << 10
TEXTS_MAX_BYTES = 1 << 20


class StoreReader:
    """Reads the parts of a bundle (`evidence.Reader`). `texts`: the text of every spec pack by its name."""

    def __init__(self, store: Store, texts: Mapping[str, str]) -> None:
        self._store = store
        self._texts = texts

    def series(
        self, finding: Finding, *, from_at: datetime, to_at: datetime, timeout_s: float
    ) -> list[dict[str, Any]]:
        clients = frozenset({to_number(finding.client_id)})
        asset = to_number(finding.asset_id)
        known = latest(self._store, clients=clients, asset=asset, now_ms=to_ms(to_at))
        found: list[dict[str, Any]] = [
            {"metric": one.metric, "item": one.item, "latest_at_ms": one.at_ms, "latest": one.value}
            for one in known
        ]
        for part in found:
            if part["metric"] != finding.metric or (finding.item and part["item"] != finding.item):
                continue
            series = read_series(
                self._store,
                clients=clients,
                asset=asset,
                metric=part["metric"],
                item=part["item"],
                from_ms=to_ms(from_at),
                to_ms=to_ms(to_at),
                pixels=POINTS,
            )
            part |= {"at_ms": series.at_ms, "low": series.low, "mean": series.mean, "high": series.high}
        return found

    def log_lines(
        self, finding: Finding, *, from_at: datetime, to_at: datetime, timeout_s: float
    ) -> list[dict[str, Any]]:
        page = search_logs(
            self._store,
            "",
            clients=frozenset({to_number(finding.client_id)}),
            asset=to_number(finding.asset_id),
            from_ms=to_ms(from_at),
            to_ms=to_ms(to_at),
            limit=LINES_MOST,
            timeout_s=timeout_s,
        )
        return [
            {
                "at_ms": line.at_ms,
                "severity": line.severity,
                "source": line.source,
                "host": line.host,
                "message": line.message,
                "raw": line.raw,
            }
            for line in reversed(page.lines)
        ]

    def snapshots(self, finding: Finding, *, to_at: datetime, timeout_s: float) -> list[dict[str, Any]]:
        rows = every(Version).filter(client=finding.client_id, asset=finding.asset_id, captured_at__lte=to_at)
        newest: dict[str, Version] = {}
        rows = rows.select_related("content").order_by("kind", "-captured_at")
        for row in rows.defer("content__compressed")[: SNAPSHOTS_MOST * 20]:
            newest.setdefault(row.kind, row)
        found = []
        left_bytes = TEXTS_MAX_BYTES
        for row in list(newest.values())[:SNAPSHOTS_MOST]:
            part: dict[str, Any] = {
                "kind": row.kind,
                "title": row.title,
                "number": row.number,
                "captured_at": row.captured_at.isoformat(),
                "seen_at": row.seen_at.isoformat(),
                "content": bytes(row.content.digest).hex(),
            }
            content = row.content
            if content.size_bytes <= min(TEXT_MAX_BYTES, left_bytes):
                try:
                    part["text"] = text_of(row)
                except Trouble as damaged:
                    part["left_out"] = str(damaged)
                left_bytes -= content.size_bytes
            else:
                part["left_out"] = f"{content.size_bytes} bytes; the content's hash stands above"
            found.append(part)
        return found

    def changes(self, finding: Finding, *, to_at: datetime, timeout_s: float) -> list[dict[str, Any]]:
        rows = every(Change).filter(
            client=finding.client_id, asset=finding.asset_id, at__lte=to_at, at__gte=to_at - CHANGES_WITHIN
        )
        return [
            {
                "kind": row.kind,
                "title": row.title,
                "after_at": row.after_at.isoformat(),
                "at": row.at.isoformat(),
                "signed_in": row.signed_in,
                "added": row.added,
                "removed": row.removed,
                "summary": row.summary,
            }
            for row in rows.order_by("-at", "-pk")[:CHANGES_MOST]
        ]

    def pack(self, finding: Finding, *, timeout_s: float) -> dict[str, Any]:
        if finding.pack not in self._texts:
            raise LookupError(f"the pack {finding.pack} is not loaded")
        return {"name": finding.pack, "version": finding.pack_version, "text": self._texts[finding.pack]}
