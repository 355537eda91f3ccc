"""JSON lines (NDJSON): one object a line, a log record each.

The fields mean what `fields` says; VictoriaLogs' parameters `_msg_field`, `_time_field` and `_stream_fields`
name others. Source: github.com/ndjson/ndjson-spec; VictoriaLogs, "Data ingestion", "HTTP parameters".
"""

import numpy as np

from forestall.intake.formats import REFUSED_MAX, Reading, Refused
from forestall.intake.formats.fields import Names, names_with
from forestall.intake.formats.json_columns import JsonColumns, read_json_records
from forestall.intake.pushed import ROWS_MAX, Pushed, no_samples
from forestall.kernel.columns import I64, U8

LINES_MAX = 2 * ROWS_MAX  # a bulk body has an action for each record

_BOM = b"\xef\xbb\xbf"
_BREAK = ord("\n")


def names_of(*, message: str = "", time: str = "", stream: str = "") -> Names:
    """The names that a request's parameters (lists with commas) ask for. Raises ValueError for too many."""
    asked = (
        tuple(name.strip() for name in told.split(",") if name.strip()) for told in (message, time, stream)
    )
    of_message, of_time, of_stream = asked
    return names_with(message=of_message, time=of_time, source=of_stream)


def read(body: bytes, names: Names, *, received_at_ms: int) -> Reading:
    """The records of a body; blank lines do not count. Raises ValueError for more than ROWS_MAX."""
    body = body.removeprefix(_BOM)
    starts, ends = find_lines(body)
    if len(starts) > ROWS_MAX:
        raise ValueError(
            f"one body has at most {ROWS_MAX} records, this one {len(starts)}: send smaller batches"
        )
    return reading_of(read_json_records(body, starts, ends, names, received_at_ms=received_at_ms))


def reading_of(columns: JsonColumns) -> Reading:
    """What a body of records holds."""
    told = tuple(Refused(place, reason) for place, reason in list(columns.refused.items())[:REFUSED_MAX])
    return Reading(Pushed(columns.logs, no_samples()), told, len(columns.refused))


def find_lines(body: bytes) -> tuple[I64, I64]:
    """Where each line that is not blank starts and ends, without its line break. Raises ValueError for more
    than LINES_MAX."""
    data: U8 = np.frombuffer(body, np.uint8)
    breaks = np.flatnonzero(data == _BREAK)
    starts = np.concatenate([[0], breaks + 1]).astype(np.int64)
    ends = np.concatenate([breaks, [len(body)]]).astype(np.int64)
    kept = ends > starts
    if np.count_nonzero(kept) > LINES_MAX:
        raise ValueError(f"one body has at most {LINES_MAX} lines: send smaller batches")
    suspects = np.flatnonzero(kept & (ends - starts <= 64))
    for row in suspects[data[starts[suspects]] <= ord(" ")].tolist():
        kept[row] = bool(body[starts[row] : ends[row]].strip())
    return starts[kept], ends[kept]
