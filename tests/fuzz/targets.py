"""What is fuzzed: every function that reads bytes from outside, and what it begins with.

A target takes any bytes and returns; bytes that are refused (a ValueError with a text) are fine, everything
else that is raised is a crash. Where there are two ways to the same result, both are gone and compared.
"""

import gzip
import json
import struct
import zlib
from collections.abc import Callable, Mapping
from typing import NamedTuple

import cramjam
import msgspec
import zstandard

from forestall.collect.parsers import relp, snmp_trap, syslog_framing, zabbix
from forestall.collect.parsers.syslog import parse_syslog_lines
from forestall.intake.doors import DoorRequest
from forestall.intake.formats import (
    Reading,
    alertmanager,
    elasticsearch,
    loki,
    otlp_logs,
    otlp_metrics,
    zabbix_api,
)
from forestall.intake.formats import jsonlines as json_format
from forestall.intake.formats import remote_write as samples
from forestall.intake.pushed import decode_pushed, encode_pushed
from forestall.intake.unpacking import RATIO_MAX, SMALL_BYTES, unpack, unpack_snappy
from forestall.kernel.observations import Batch, decode_batch

NOW_MS = 1_700_000_000_000
UNPACKED_MAX_BYTES = 4 << 20
_KNOWN = samples.known_series()


class Target(NamedTuple):
    """`seeds` are whole, valid inputs: mutations of them reach further than noise."""

    run: Callable[[bytes], None]
    seeds: tuple[bytes, ...]


def _kept(reading: Reading) -> None:
    """What was read must go through the durable queue and come back whole."""
    assert len(decode_pushed(encode_pushed(reading.pushed))) == len(reading.pushed)


def _counts(read: Callable[..., Reading], data: bytes) -> tuple[int, int] | None:
    """(taken, refused); None when it is refused as a whole."""
    try:
        reading = read(data, received_at_ms=NOW_MS)
    except ValueError:
        return None
    return len(reading.pushed), reading.refused_count


def syslog(data: bytes) -> None:
    """Framing in two pieces and in one give the same; then every message is read."""
    half = len(data) // 2
    apart, whole = syslog_framing.Framing(1000), syslog_framing.Framing(1000)
    messages = [*apart.feed(data[:half]), *apart.feed(data[half:]), *apart.finish()]
    assert messages == [*whole.feed(data), *whole.finish()]
    if messages:
        assert len(parse_syslog_lines(messages, NOW_MS)) == len(messages)


def relp_frames(data: bytes) -> None:
    frames = relp.Frames(1000)
    half = len(data) // 2
    for part in (data[:half], data[half:]):
        found, wrong = frames.feed(part)
        for one in found:
            relp.read_offers(one.data)
        if wrong:
            return


def zabbix_packet(data: bytes) -> None:
    if len(data) < 5:
        return
    size = zabbix.head_size(data[:5])
    if len(data) >= size:
        head = zabbix.read_head(data[:size])
        data = zabbix.decompress(data[size : size + head.length], head)
        zabbix.read_request(data, received_at_ms=NOW_MS)


def zabbix_json(data: bytes) -> None:
    zabbix.read_request(data, received_at_ms=NOW_MS)


def traps(data: bytes) -> None:
    if snmp_trap.version_of(data) == 3:
        snmp_trap.authority_of(data)
    else:
        snmp_trap.read_trap(data)[0].line(at_ms=NOW_MS)


def otlp_logs_protobuf(data: bytes) -> None:
    fast, slow = _counts(otlp_logs.read_protobuf, data), _counts(otlp_logs.read_slowly, data)
    if slow is None and fast is not None:  # the library refuses a body for one record, we that record
        assert fast[1] > 0, "the compiled way takes what the library refuses"
    else:
        assert fast == slow, "the compiled way and the library disagree"


def otlp_logs_json(data: bytes) -> None:
    _kept(otlp_logs.read_json_body(data, received_at_ms=NOW_MS))


def otlp_metrics_protobuf(data: bytes) -> None:
    fast, slow = _rows(otlp_metrics.read_protobuf, data), _rows(otlp_metrics.read_slowly, data)
    assert fast == slow, "the compiled way and the library disagree"


def _rows(read: Callable[..., Reading], data: bytes) -> list[tuple[object, ...]] | None:
    """Every sample; None when the body is refused as a whole."""
    try:
        reading = read(data, received_at_ms=NOW_MS)
    except ValueError:
        return None
    _kept(reading)
    one = reading.pushed.samples
    columns = (one.host.to_pylist(), one.metric.to_pylist(), one.item.to_pylist(), one.at_ms.tolist())
    return list(zip(*columns, one.value.tolist(), strict=True))


def zabbix_calls(data: bytes) -> None:
    _kept(zabbix_api.read_push(bytes(zabbix_api.read_call(data).params), received_at_ms=NOW_MS))


def otlp_metrics_json(data: bytes) -> None:
    _kept(otlp_metrics.read_json_body(data, received_at_ms=NOW_MS))


def remote_write_protobuf(data: bytes) -> None:
    _kept(samples.read(data, _KNOWN, received_at_ms=NOW_MS))


def loki_protobuf(data: bytes) -> None:
    _kept(loki.read_protobuf(data, received_at_ms=NOW_MS))


def loki_json(data: bytes) -> None:
    _kept(loki.read_json(data, received_at_ms=NOW_MS))


def elasticsearch_bulk(data: bytes) -> None:
    bulk = elasticsearch.read(data, json_format.names_of(), received_at_ms=NOW_MS)
    json.loads(elasticsearch.answer_items(bulk, took_ms=1))


def json_lines(data: bytes) -> None:
    _kept(json_format.read(data, json_format.names_of(), received_at_ms=NOW_MS))


def alertmanager_notice(data: bytes) -> None:
    _kept(alertmanager.read(data, received_at_ms=NOW_MS))


def agent_batch(data: bytes) -> None:
    batch = decode_batch(data)
    assert decode_batch(msgspec.msgpack.encode(batch)).number == batch.number


def _unpacking(encoding: str) -> Callable[[bytes], None]:
    def run(data: bytes) -> None:
        request = DoorRequest("POST", "/x", {}, {"content-encoding": encoding}, data, "192.0.2.1")
        if encoding == "snappy":
            found = unpack_snappy(data, most=UNPACKED_MAX_BYTES)
        else:
            found = unpack(request, most=UNPACKED_MAX_BYTES)
        assert len(found) <= min(UNPACKED_MAX_BYTES, max(SMALL_BYTES, len(data) * RATIO_MAX))

    return run


def _zabbix_seeds() -> tuple[bytes, bytes, bytes]:
    asked = {
        "request": "sender data",
        "data": [{"host": "h", "key": "k", "value": "1.5", "clock": 1700000000, "ns": 5}],
    }
    body = json.dumps(asked).encode()
    packed = zlib.compress(body)
    return (
        b"ZBXD\x01" + struct.pack("<II", len(body), 0) + body,
        b"ZBXD\x03" + struct.pack("<II", len(packed), len(body)) + packed,
        body,
    )


def _otlp_metrics_seed() -> bytes:
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

    request = ExportMetricsServiceRequest()
    resource = request.resource_metrics.add()
    attribute = resource.resource.attributes.add(key="host.name")
    attribute.value.string_value = "h"
    scope = resource.scope_metrics.add()
    for kind in ("gauge", "sum"):
        point = getattr(scope.metrics.add(name=f"m.{kind}", unit="By"), kind).data_points.add()
        point.as_double, point.time_unix_nano = 1.5, NOW_MS * 1_000_000
        point.attributes.add(key="a").value.int_value = 3
    buckets = scope.metrics.add(name="m.h").histogram.data_points.add(count=3, sum=5.0)
    buckets.bucket_counts.extend([1, 2])
    buckets.explicit_bounds.extend([1.0])
    return bytes(request.SerializeToString())


def _otlp_logs_seed() -> bytes:
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

    request = ExportLogsServiceRequest()
    resource = request.resource_logs.add()
    resource.resource.attributes.add(key="host.name").value.string_value = "h"
    scope = resource.scope_logs.add()
    scope.scope.name = "s"
    for place in range(2):
        record = scope.log_records.add(time_unix_nano=NOW_MS * 1_000_000, severity_number=9 + place)
        record.body.string_value = "a line \u00e4"
        record.attributes.add(key="n").value.int_value = place
        record.attributes.add(key="d").value.double_value = 0.5
        inner = record.attributes.add(key="list").value.array_value
        inner.values.add().bool_value = True
    return bytes(request.SerializeToString())


_TEXT = b"a line of some text\n" * 40
_ZABBIX = _zabbix_seeds()
_OTLP_LOGS_JSON = (
    b'{"resourceLogs":[{"resource":{"attributes":[{"key":"host.name","value":{"stringValue":"h"}}]},'
    b'"scopeLogs":[{"logRecords":[{"timeUnixNano":"1700000000000000000","severityNumber":9,'
    b'"body":{"stringValue":"m"},"attributes":[{"key":"a","value":{"intValue":"1"}}]}]}]}]}'
)
_OTLP_METRICS_JSON = (
    b'{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"m","gauge":{"dataPoints":'
    b'[{"asDouble":1.5,"timeUnixNano":"1700000000000000000"}]}}]}]}]}'
)
_JSON_LINES = (
    b'{"_msg":"m \\u00e4","_time":"2026-01-02T03:04:05.678Z","host":"h","level":"warn","n":1.5e3}\n'
) * 3
_BULK = (
    b'{"create":{"_index":"i"}}\n{"message":"m","@timestamp":"2026-01-02T03:04:05Z"}\n'
    b'{"delete":{"_id":"1"}}\n'
)
_NOTICE = (
    b'{"version":"4","status":"firing","alerts":[{"status":"firing","labels":{"alertname":"a","instance":'
    b'"h:9100"},"annotations":{"summary":"s"},"startsAt":"2026-01-02T03:04:05Z","fingerprint":"f"}]}'
)
_WRITE = bytes.fromhex("0a1c0a0d0a085f5f6e616d655f5f12016d120b09000000000000f83f1001")
_VARBINDS = bytes.fromhex("300d06082b060102010103004301103017060a2b06010603010104010006092b0601060301010503")
_PDU = bytes.fromhex("020101020100020100") + bytes([0x30, len(_VARBINDS)]) + _VARBINDS
_COMMUNITY = bytes.fromhex("0201010406") + b"public\xa7" + bytes([len(_PDU)]) + _PDU
_TRAP = bytes([0x30, len(_COMMUNITY)]) + _COMMUNITY
_PUSH = b'{"jsonrpc":"2.0","method":"history.push","params":[{"host":"h","key":"k","value":1.5},{}],"id":1}'

TARGETS: Mapping[str, Target] = {
    "syslog": Target(
        syslog,
        (
            b'<34>1 2026-01-02T03:04:05.678Z host app 12 ID [a b="c"] text\n<13>Jan  2 03:04:05 h p[1]: t\n',
            b"26 <13>Jan  2 03:04:05 h p: t11 <13>a\nb\nc  ",
        ),
    ),
    "relp": Target(
        relp_frames, (b"1 open 30 relp_version=0\ncommands=syslog\n2 syslog 5 <13>a\n3 close 0\n",)
    ),
    "zabbix": Target(zabbix_packet, _ZABBIX[:2]),
    "zabbix_json": Target(zabbix_json, _ZABBIX[2:]),
    "traps": Target(traps, (_TRAP,)),
    "otlp_logs": Target(otlp_logs_protobuf, (_otlp_logs_seed(),)),
    "otlp_logs_json": Target(otlp_logs_json, (_OTLP_LOGS_JSON,)),
    "otlp_metrics": Target(otlp_metrics_protobuf, (_otlp_metrics_seed(),)),
    "otlp_metrics_json": Target(otlp_metrics_json, (_OTLP_METRICS_JSON,)),
    "remote_write": Target(remote_write_protobuf, (_WRITE * 2,)),
    "loki": Target(loki_protobuf, (bytes.fromhex("0a090a027b7d120312016d"),)),
    "loki_json": Target(
        loki_json, (b'{"streams":[{"stream":{"a":"b"},"values":[["1700000000000000000","m"]]}]}',)
    ),
    "elasticsearch": Target(elasticsearch_bulk, (_BULK * 3,)),
    "zabbix_api": Target(zabbix_calls, (_PUSH,)),
    "jsonlines": Target(json_lines, (_JSON_LINES,)),
    "alertmanager": Target(alertmanager_notice, (_NOTICE,)),
    "agent": Target(agent_batch, (msgspec.msgpack.encode(Batch(1, NOW_MS, [])),)),
    "gzip": Target(_unpacking("gzip"), (gzip.compress(_TEXT, mtime=0), gzip.compress(b"", mtime=0) * 2)),
    "deflate": Target(_unpacking("deflate"), (zlib.compress(_TEXT), zlib.compress(_TEXT)[2:-4])),
    "zstd": Target(_unpacking("zstd"), (zstandard.compress(_TEXT),)),
    "snappy": Target(_unpacking("snappy"), (bytes(cramjam.snappy.compress_raw(_TEXT)),)),
}


def try_one(target: Target, data: bytes) -> None:
    """Raises whatever is a mistake of ours."""
    try:
        target.run(data)
    except ValueError as error:
        assert str(error), "a refusal says why"
