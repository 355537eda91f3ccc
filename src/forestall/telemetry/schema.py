"""The tables of telemetry. The same statements serve chdb and a ClickHouse cluster.

`TEXT` is what a search looks at; the skip index stands on the same expression, so that words are found
without reading every line. `non_replicated_deduplication_window` makes an insert with the same token
idempotent, per partition. `fsync_after_insert`: what was acknowledged survives a power cut. The log's skip
index is built by merges, not by inserts (client.py): parts that are not merged yet are small.
"""

DATABASE = "forestall"
VERSION = 1
TEXT = "lower(concat(source, ' ', host, ' ', message))"
REMEMBERED_INSERTS = 10_000

_KEEP = (
    f"non_replicated_deduplication_window = {REMEMBERED_INSERTS},"
    " fsync_after_insert = 1, fsync_part_directory = 1"
)
CREATE = (
    f"CREATE DATABASE IF NOT EXISTS {DATABASE}",
    f"CREATE TABLE IF NOT EXISTS {DATABASE}.about (version UInt32) ENGINE = MergeTree ORDER BY version",
    f"""CREATE TABLE IF NOT EXISTS {DATABASE}.logs (
        client UInt64 CODEC(ZSTD(1)),
        asset UInt64 CODEC(ZSTD(1)),
        at DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
        received_at DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
        severity UInt8,
        facility UInt8,
        source LowCardinality(String),
        host LowCardinality(String),
        message String CODEC(ZSTD(3)),
        raw String CODEC(ZSTD(3)),
        attrs String CODEC(ZSTD(3)),
        INDEX words {TEXT} TYPE tokenbf_v1(16384, 3, 0) GRANULARITY 1
    ) ENGINE = MergeTree PARTITION BY toDate(at) ORDER BY (client, asset, at)
    SETTINGS {_KEEP}""",
    f"""CREATE TABLE IF NOT EXISTS {DATABASE}.samples (
        client UInt64 CODEC(ZSTD(1)),
        asset UInt64 CODEC(ZSTD(1)),
        metric LowCardinality(String),
        item LowCardinality(String),
        at DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)),
        value Float64 CODEC(Gorilla, ZSTD(1))
    ) ENGINE = MergeTree PARTITION BY toDate(at) ORDER BY (client, asset, metric, item, at)
    SETTINGS {_KEEP}""",
)
