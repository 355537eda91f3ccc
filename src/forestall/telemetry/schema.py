"""The tables of telemetry. The same statements serve chdb and a ClickHouse cluster.

A log line is stored as the shape of its message and what varies in it (kernel.shapes): `shape`, `numbers`,
`words`, `addresses`; how it was written as it was received in `form`, `rest` and `raw`. The text of a shape
is in `vocabulary`, once a client, beside the names of the programs and hosts that a client's lines came from,
so that a search looks there first. The order puts lines alike next to each other within ten minutes; indexes
stand on what is rare: words and addresses.

`non_replicated_deduplication_window` makes an insert with the same token idempotent, per partition.
`fsync_after_insert`: what was acknowledged survives a power cut. Skip indexes are built by merges, not by
inserts (client.py): parts that are not merged yet are small.

The value of a sample is kept as a whole number and its decimal digits (kernel.decimals): half the size of a
binary fraction. `value` puts it together again. Logs lie in a partition a day, samples in one a month: a
chart of a year reads twelve, and a partition costs as much as ten thousand samples in it.

Reasons with figures: docs/decisions/0006-log-layout.md
"""

from forestall.kernel.decimals import BITS

DATABASE = "forestall"
VERSION = 3
REMEMBERED_INSERTS = 10_000
SHAPE, SOURCE, HOST = 1, 2, 3  # kinds of entries of the vocabulary
EVERYTHING = "*"  # in the place of a name: there are more than are kept
BUCKET = "toStartOfTenMinutes(at)"  # within it, lines alike lie together
SEPARATOR = " "  # kernel.shapes.SEPARATOR

_MARKS = r"[\x01-\x03]"
# The message of a row of `logs` that is joined with `parts_of`.
MESSAGE = (
    "if(shape = 0, words, concat(parts.fixed[1], arrayStringConcat(arrayMap((kind, nth, fixed) ->"
    f" concat(multiIf(kind = 1, splitByChar('{SEPARATOR}', numbers)[nth],"
    f" kind = 2, splitByChar('{SEPARATOR}', words)[nth], IPv4NumToString(addresses[nth])), fixed),"
    " parts.kinds, parts.nths, arraySlice(parts.fixed, 2)))))"
)


def parts_of(scope: str) -> str:
    """A join that brings each row the parts of its shape's text: what is fixed, and of each mark between
    which kind it is and the how-manieth of its kind. `scope`: the condition on `client`."""
    return (
        f"ANY LEFT JOIN (SELECT client, number AS shape, splitByRegexp('{_MARKS}', any(text)) AS fixed,"
        f" arrayMap(mark -> ascii(mark), extractAll(any(text), '{_MARKS}')) AS kinds,"
        " arrayMap((kind, place) -> countEqual(arraySlice(kinds, 1, place), kind), kinds,"
        " arrayEnumerate(kinds)) AS nths"
        f" FROM {DATABASE}.vocabulary WHERE {scope} AND kind = {SHAPE} GROUP BY client, number) AS parts"
        " USING (client, shape)"
    )


# Merges read and write in larger pieces than usual: a fifth less work for rows as small as these.
_PIECES = "merge_max_block_size = 65536, merge_max_block_size_bytes = 67108864"
_KEEP = (
    f"non_replicated_deduplication_window = {REMEMBERED_INSERTS},"
    " fsync_after_insert = 1, fsync_part_directory = 1,"
    # the parts that a merge replaces go at once (chdb has no old_parts_lifetime), so it must be on the disk
    " min_rows_to_fsync_after_merge = 1, min_compressed_bytes_to_fsync_after_merge = 1"
)
CREATE = (
    f"CREATE DATABASE IF NOT EXISTS {DATABASE}",
    f"CREATE TABLE IF NOT EXISTS {DATABASE}.about (version UInt32) ENGINE = MergeTree ORDER BY version",
    f"""CREATE TABLE IF NOT EXISTS {DATABASE}.vocabulary (
        client UInt64 CODEC(DoubleDelta, ZSTD(1)),
        kind UInt8,
        number UInt64,
        text String CODEC(ZSTD(3))
    ) ENGINE = ReplacingMergeTree ORDER BY (client, kind, number)
    SETTINGS {_KEEP}""",
    f"""CREATE TABLE IF NOT EXISTS {DATABASE}.logs (
        client UInt64 CODEC(DoubleDelta, ZSTD(1)),
        asset UInt64 CODEC(DoubleDelta, ZSTD(1)),
        at DateTime64(3, 'UTC') CODEC(T64, ZSTD(1)),
        late_at DateTime('UTC') CODEC(ZSTD(1)),
        severity UInt8 CODEC(ZSTD(1)),
        facility UInt8 CODEC(ZSTD(1)),
        source LowCardinality(String) CODEC(ZSTD(1)),
        host LowCardinality(String) CODEC(ZSTD(1)),
        shape UInt64 CODEC(ZSTD(1)),
        numbers String CODEC(ZSTD(1)),
        words String CODEC(ZSTD(1)),
        addresses Array(UInt32) CODEC(T64, ZSTD(1)),
        raw String CODEC(ZSTD(1)),
        attrs LowCardinality(String) CODEC(ZSTD(1)),
        form Int32 CODEC(ZSTD(1)),
        rest UInt32 CODEC(T64, ZSTD(1)),
        INDEX rare_words lower(words) TYPE tokenbf_v1(8192, 3, 0) GRANULARITY 1,
        INDEX rare_addresses addresses TYPE bloom_filter(0.1) GRANULARITY 1
    ) ENGINE = MergeTree PARTITION BY toDate(at) ORDER BY (client, {BUCKET}, shape, asset, at)
    SETTINGS {_KEEP}, {_PIECES}""",
    f"""CREATE TABLE IF NOT EXISTS {DATABASE}.samples (
        client UInt64 CODEC(DoubleDelta, ZSTD(1)),
        asset UInt64 CODEC(DoubleDelta, ZSTD(1)),
        metric LowCardinality(String) CODEC(ZSTD(1)),
        item LowCardinality(String) CODEC(ZSTD(1)),
        at DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
        whole Int64 CODEC(Delta(8), T64, ZSTD(1)),
        digits UInt8 CODEC(ZSTD(1)),
        value Float64 ALIAS if(digits = {BITS}, reinterpretAsFloat64(whole), whole / intExp10(digits))
    ) ENGINE = MergeTree PARTITION BY toYYYYMM(at) ORDER BY (client, asset, metric, item, at)
    SETTINGS {_KEEP}, {_PIECES}""",
    # For people with a ClickHouse client; the product reads `logs`.
    f"CREATE VIEW IF NOT EXISTS {DATABASE}.lines AS SELECT client, asset, at, severity, facility, source,"
    f" host, {MESSAGE} AS message, raw, attrs FROM {DATABASE}.logs {parts_of('1')}",
)
