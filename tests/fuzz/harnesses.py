"""Every decoder of what comes from outside, as a function of bytes: it may refuse in its documented way and
do nothing else. What it makes is bounded by what it was given.

`SEEDS` are bodies as real senders make them; mutations begin there.
"""

import gzip
import json
import zlib
from collections.abc import Callable

import cramjam
import numpy as np
import zstandard
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from forestall.collect.parsers import relp, snmp_trap, zabbix
from forestall.collect.parsers.syslog import parse_syslog_lines
from forestall.collect.parsers.syslog_framing import Framing
from forestall.intake import unpacking
from forestall.intake.doors import DoorRequest
from forestall.intake.formats import alertmanager, elasticsearch, jsonlines, loki, otlp_logs, otlp_metrics
from forestall.intake.formats import remote_write as prometheus
from forestall.intake.pushed import decode_pushed
from forestall.kernel.observations import decode_batch

NOW_MS = 1_795_000_000_000
MOST_BYTES = 1 << 20
ROWS_FOR_EACH_BYTE = 1  # no decoder makes more records than it was given bytes

NAMES = jsonlines.names_of()
KNOWN = prometheus.known_series()


def _bounded(data: bytes, rows: int) -> None:
    assert rows <= len(data) * ROWS_FOR_EACH_BYTE + 1, f"{rows} records out of {len(data)} bytes"


def syslog_lines(data: bytes) -> None:
    """Lines as they are, whatever they hold: each comes back as one record."""
    lines = data.split(b"\n")
    assert len(parse_syslog_lines(lines, NOW_MS)) == len(lines)


def syslog_stream(data: bytes) -> None:
    """Both framings, fed in pieces: the same messages as fed at once."""
    whole, pieces = Framing(8192), Framing(8192)
    once = [*whole.feed(data), *whole.finish()]
    some: list[bytes] = []
    for at in range(0, len(data), 7):
        some += pieces.feed(data[at : at + 7])
    some += pieces.finish()
    assert b"".join(once) == b"".join(some)
    _bounded(data, len(once))


def relp_frames(data: bytes) -> None:
    """Frames up to the first that is none."""
    frames, _ = relp.Frames(8192).feed(data)
    _bounded(data, len(frames))
    for frame in frames:
        relp.read_offers(frame.data)


def zabbix_packet(data: bytes) -> None:
    """Head, decompression, request."""
    if len(data) < 13:
        return
    size = zabbix.head_size(data[:13])
    head = zabbix.read_head(data[:size])
    zabbix.read_request(zabbix.decompress(data[size:], head), received_at_ms=NOW_MS)


def snmp_trap_packet(data: bytes) -> None:
    """v1 and v2c whole; of v3 what is read before its key is known."""
    if snmp_trap.version_of(data) == 3:
        snmp_trap.authority_of(data)
    else:
        trap, _ = snmp_trap.read_trap(data)
        trap.line(at_ms=NOW_MS)


def json_lines(data: bytes) -> None:
    """Records of any sender."""
    _bounded(data, len(jsonlines.read(data, NAMES, received_at_ms=NOW_MS).pushed))


def elasticsearch_bulk(data: bytes) -> None:
    """Actions and documents, and the answer to them."""
    bulk = elasticsearch.read(data, NAMES, received_at_ms=NOW_MS)
    json.loads(elasticsearch.answer_items(bulk, took_ms=1))


def loki_json(data: bytes) -> None:
    """A push as promtail or a Docker driver sends it."""
    _bounded(data, len(loki.read_json(data, received_at_ms=NOW_MS).pushed))


def loki_protobuf(data: bytes) -> None:
    """The same as protobuf."""
    _bounded(data, len(loki.read_protobuf(data, received_at_ms=NOW_MS).pushed))


def otlp_logs_protobuf(data: bytes) -> None:
    """An ExportLogsServiceRequest."""
    _bounded(data, len(otlp_logs.read_protobuf(data, received_at_ms=NOW_MS).pushed))


def otlp_logs_json(data: bytes) -> None:
    """The same in JSON."""
    _bounded(data, len(otlp_logs.read_json_body(data, received_at_ms=NOW_MS).pushed))


def otlp_metrics_protobuf(data: bytes) -> None:
    """An ExportMetricsServiceRequest."""
    otlp_metrics.read_protobuf(data, received_at_ms=NOW_MS)


def otlp_metrics_json(data: bytes) -> None:
    """The same in JSON."""
    otlp_metrics.read_json_body(data, received_at_ms=NOW_MS)


def remote_write(data: bytes) -> None:
    """A WriteRequest, unpacked."""
    prometheus.read(data, KNOWN, received_at_ms=NOW_MS)


def alertmanager_notice(data: bytes) -> None:
    """A webhook's body."""
    alertmanager.read(data, received_at_ms=NOW_MS)


def agent_batch(data: bytes) -> None:
    """What an agent's spool holds."""
    decode_batch(data)


def pushed_columns(data: bytes) -> None:
    """What a door left in the queue."""
    decode_pushed(data)


def packed(data: bytes) -> None:
    """Each encoding of a body, named by the first byte; what comes out is bounded."""
    names = ("identity", "gzip", "deflate", "zstd", "br")
    name = names[data[0] % len(names)] if data else "identity"
    headers = {"content-encoding": name}
    request = DoorRequest("POST", "/", {}, headers, data[1:], "192.0.2.1")
    assert len(unpacking.unpack(request, most=MOST_BYTES)) <= MOST_BYTES


def packed_snappy(data: bytes) -> None:
    """Snappy's block format."""
    assert len(unpacking.unpack_snappy(data, most=MOST_BYTES)) <= MOST_BYTES


Harness = Callable[[bytes], None]
HARNESSES: dict[str, Harness] = {
    one.__name__: one
    for one in (
        syslog_lines, syslog_stream, relp_frames, zabbix_packet, snmp_trap_packet, json_lines,
        elasticsearch_bulk, loki_json, loki_protobuf, otlp_logs_protobuf, otlp_logs_json,
        otlp_metrics_protobuf, otlp_metrics_json, remote_write, alertmanager_notice, agent_batch,
        pushed_columns, packed, packed_snappy,
    )
}  # fmt: skip


def survive(harness: Harness, data: bytes) -> None:
    """Carry it out; a documented refusal is an answer like any other."""
    try:
        harness(data)
    except ValueError:  # NotRelp, NotTrap, NotZabbix, Unusable: all of them are
        pass


def _logs() -> bytes:
    request = ExportLogsServiceRequest()
    resource = request.resource_logs.add()
    resource.resource.attributes.add(key="host.name").value.string_value = "web1"
    for number in range(3):
        record = resource.scope_logs.add().log_records.add(time_unix_nano=NOW_MS * 1_000_000)
        record.body.string_value = f"line {number}"
        record.attributes.add(key="n").value.int_value = number
    return request.SerializeToString()


def _metrics() -> bytes:
    request = ExportMetricsServiceRequest()
    scope = request.resource_metrics.add().scope_metrics.add()
    scope.metrics.add(name="cpu").gauge.data_points.add(as_double=0.5, time_unix_nano=NOW_MS * 1_000_000)
    point = scope.metrics.add(name="took").histogram.data_points.add(count=3, sum=1.5)
    point.bucket_counts.extend([1, 2])
    point.explicit_bounds.extend([0.1])
    return request.SerializeToString()


def _write_request() -> bytes:
    request = prometheus.WriteRequest()
    for name in ("up", "node_load1"):
        series = request.timeseries.add()
        series.labels.add(name=b"__name__", value=name.encode())
        series.labels.add(name=b"instance", value=b"web1:9100")
        series.samples.add(value=1.5, timestamp=NOW_MS)
    return bytes(request.SerializeToString())


_LINES = b"""<34>1 2026-11-23T08:00:00.123Z web1 su - ID47 [a@1 b="c"] \xef\xbb\xbf'su root' failed
<13>Nov 23 08:00:00 web1 sshd[99]: Failed password for root from 10.0.0.7 port 4 ssh2
<190>47: *Nov 23 08:00:00.001 UTC: %SYS-5-CONFIG_I: Configured from console
date=2026-11-23 time=08:00:00 devname="fw" logid="0100032002" msg="x"
"""
_BULK = b'{"create":{"_index":"a"}}\n{"message":"x","@timestamp":"2026-11-23T08:00:00Z"}\n'
_STREAM = {"streams": [{"stream": {"host": "a"}, "values": [[str(NOW_MS * 10**6), "x"]]}]}
_NOTICE = {"alerts": [{"status": "firing", "labels": {"alertname": "x"}, "startsAt": "2026-11-23T08:00:00Z"}]}
_TRAP = bytes.fromhex(
    "302b020101040670756267696341a41e06032b060140040a000001020106020101430100300906072b0601020101050400"
)
_ZABBIX = b'{"request":"sender data","data":[{"host":"a","key":"k","value":"1","clock":1795000000}]}'
SEEDS: dict[str, list[bytes]] = {
    "syslog_lines": [_LINES],
    "syslog_stream": [_LINES, b"".join(b"%d %s" % (len(one), one) for one in _LINES.split(b"\n") if one)],
    "relp_frames": [b"1 open 30 relp_version=0\nrelp_software=x\n\n2 syslog 5 <13>x\n3 close 0\n"],
    "zabbix_packet": [
        b"ZBXD\x01" + len(_ZABBIX).to_bytes(8, "little") + _ZABBIX,
        b"ZBXD\x03"
        + len(zlib.compress(_ZABBIX)).to_bytes(4, "little")
        + len(_ZABBIX).to_bytes(4, "little")
        + zlib.compress(_ZABBIX),
    ],
    "snmp_trap_packet": [_TRAP],
    "json_lines": [
        b'{"message":"x","level":"error","time":"2026-11-23T08:00:00Z","a":{"b":[1,null]}}\n{"m":1}\n'
    ],
    "elasticsearch_bulk": [_BULK],
    "loki_json": [json.dumps(_STREAM).encode()],
    "loki_protobuf": [
        b'\n\x1f\n\x08{a="bc"}\x12\x13\n\x0b\x08\x80\xa0\xf9\xc8\x06\x10\x80\x94\xeb\xdc\x03\x12\x04text'
    ],
    "otlp_logs_protobuf": [_logs()],
    "otlp_logs_json": [
        b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"timeUnixNano":"1","body":{"stringValue":"x"}}]}]}]}'
    ],
    "otlp_metrics_protobuf": [_metrics()],
    "otlp_metrics_json": [
        b'{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"a","gauge":{"dataPoints":[{"asInt":"1"}]}}]}]}]}'
    ],
    "remote_write": [_write_request()],
    "alertmanager_notice": [json.dumps(_NOTICE).encode()],
    "agent_batch": [bytes.fromhex("93a178010290"), b"\x95\x01\x00\x90\x00"],
    "pushed_columns": [bytes(12), np.array([0, 0, 1], "<u4").tobytes() + b"\x90"],
    "packed": [
        b"\x01" + gzip.compress(_LINES),
        b"\x02" + zlib.compress(_LINES),
        b"\x03" + zstandard.compress(_LINES),
        b"\x01" + gzip.compress(bytes(4 << 20)),
        b"\x03" + zstandard.compress(bytes(4 << 20)),
    ],
    "packed_snappy": [
        bytes(cramjam.snappy.compress_raw(_LINES)),
        bytes(cramjam.snappy.compress_raw(bytes(1 << 20))),
    ],
}
