"""Which texts of configurations have to be judged, and judging them, a few at a time.

A text is due when it is new, when the spec that holds for it changed, and when another baseline was named.
What the spec says of it is kept with the configuration, for people to read.
"""

import time
from datetime import timedelta

from forestall.configs.differences import describe
from forestall.configs.models import Configuration
from forestall.configs.texts import text_of
from forestall.estate.tenancy import system_scope
from forestall.judge.judge import Judge
from forestall.judge.values import JudgedText, Transition
from forestall.kernel.clock import from_ms, to_ms
from forestall.kernel.errors import Trouble
from forestall.kernel.ids import to_number

AT_ONCE = 200
AT_ONCE_S = 0.25
OVERLAP = timedelta(minutes=1)  # what another process touched while its transaction was open
SCOPE = system_scope("watch")


class TextsToJudge:
    """What is due, and since when it was looked for. All methods run in the judge's thread."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._due: dict[int, None] = {}  # configurations
        self._looked_ms = 0

    def look(self, now_ms: int) -> None:
        """Find what is due: among all when what is asked changed, else among those that were touched."""
        texts = self._judge.texts
        rows = Configuration.objects.of(SCOPE).filter(asset__archived_at=None)
        if not texts.stale:
            rows = rows.filter(touched_at__gte=from_ms(self._looked_ms) - OVERLAP)
        columns = rows.values_list(
            "pk", "asset", "kind", "newest__content__digest", "baseline__content__digest"
        )
        for key, asset, kind, content, baseline in columns.iterator(chunk_size=2000):
            if not texts.is_judged(to_number(asset), kind, content=_hex(content), baseline=_hex(baseline)):
                self._due[key] = None
        texts.stale = False
        self._looked_ms = now_ms

    def judge_some(self, now_ms: int) -> list[Transition]:
        """Judge some of what is due; the rest waits for the next time."""
        if not self._due:
            return []
        keys = list(self._due)[:AT_ONCE]
        rows = Configuration.objects.of(SCOPE).filter(pk__in=keys)
        rows = rows.select_related("newest__content", "baseline__content")
        found = {row.pk: row for row in rows}
        taken: list[Transition] = []
        said: list[Configuration] = []
        until = time.monotonic() + AT_ONCE_S
        for key in keys:
            del self._due[key]
            if key in found:
                taken += self._judge_one(found[key], now_ms, said)
            if time.monotonic() > until:
                break
        Configuration.objects.of(SCOPE).bulk_update(said, ["judged"])
        return taken

    def _judge_one(self, row: Configuration, now_ms: int, said: list[Configuration]) -> list[Transition]:
        """What comes of it; a row of which something else is to be said than before is added to `said`."""
        number, newest, baseline = to_number(row.asset_id), row.newest, row.baseline
        try:
            text = text_of(newest)
            drift = ""
            if baseline is not None and baseline.content_id != newest.content_id:
                differs = describe(text_of(baseline), text)
                drift = f"{differs.summary} (+{differs.added} −{differs.removed} lines)"
        except Trouble as damaged:
            _say(row, said, {"damaged": str(damaged), "version": newest.number})
            return []
        content = _hex(newest.content.digest)
        is_new = not self._judge.texts.knows(number, row.kind, content=content)
        judged = JudgedText(
            asset=number,
            kind=row.kind,
            at_ms=to_ms(newest.captured_at) if is_new else now_ms,
            text=text,
            content=content,
            version=newest.number,
            title=row.title,
            baseline=_hex(baseline.content.digest) if baseline is not None else "",
            baseline_version=baseline.number if baseline is not None else 0,
            drift=drift,
        )
        taken, result = self._judge.observe_text(judged)
        _say(row, said, {"broken": result.broken, "held": list(result.held), "version": newest.number})
        return taken


def _say(row: Configuration, said: list[Configuration], judged: dict[str, object]) -> None:
    if row.judged != judged:
        row.judged = judged
        said.append(row)


def _hex(digest: bytes | memoryview | None) -> str:
    return bytes(digest).hex() if digest is not None else ""
