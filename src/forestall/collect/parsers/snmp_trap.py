"""SNMP traps and informs as log lines: v1 and v2c from their bytes, any version from its parts. Pure.

The community is read over and never kept: neither in a line nor in what is said of a message that is wrong.

Source: RFC 1157 section 4.1.6, RFC 3416 section 4.2.6, RFC 3584 section 3.1 (v1 as v2), RFC 3418 (names).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from forestall.collect.listeners import PushedLine

SOURCE = "snmptrap"
FACILITY = 1
NOTICE, WARNING, ERROR = 5, 4, 3
MESSAGE_MAX_CHARS = 64 << 10
DATAGRAM_MAX_BYTES = 65_535
NESTING_MAX = 24  # a trap nests five deep
ELEMENTS_MAX = 4_000

_STANDARD = "1.3.6.1.6.3.1.1.5."
TRAPS: dict[str, tuple[str, int]] = {
    _STANDARD + "1": ("coldStart", NOTICE),
    _STANDARD + "2": ("warmStart", NOTICE),
    _STANDARD + "3": ("linkDown", ERROR),
    _STANDARD + "4": ("linkUp", NOTICE),
    _STANDARD + "5": ("authenticationFailure", WARNING),
    _STANDARD + "6": ("egpNeighborLoss", WARNING),
    "1.3.6.1.2.1.15.0.1": ("bgpEstablished", NOTICE),
    "1.3.6.1.2.1.15.0.2": ("bgpBackwardTransition", ERROR),
    "1.3.6.1.2.1.17.0.1": ("newRoot", WARNING),
    "1.3.6.1.2.1.17.0.2": ("topologyChange", NOTICE),
    "1.3.6.1.2.1.33.2.0.1": ("upsTrapOnBattery", ERROR),
    "1.3.6.1.2.1.33.2.0.3": ("upsTrapAlarmEntryAdded", WARNING),
    "1.3.6.1.2.1.33.2.0.4": ("upsTrapAlarmEntryRemoved", NOTICE),
    "1.3.6.1.2.1.43.18.2.0.1": ("printerV2Alert", WARNING),
    "1.3.6.1.2.1.47.2.0.1": ("entConfigChange", NOTICE),
    "1.3.6.1.4.1.8072.4.0.2": ("nsNotifyShutdown", WARNING),
    "1.3.6.1.4.1.8072.4.0.3": ("nsNotifyRestart", NOTICE),
}
_COLUMNS = {
    "1.3.6.1.2.1.2.2.1.1": "ifIndex",
    "1.3.6.1.2.1.2.2.1.2": "ifDescr",
    "1.3.6.1.2.1.2.2.1.7": "ifAdminStatus",
    "1.3.6.1.2.1.2.2.1.8": "ifOperStatus",
    "1.3.6.1.2.1.31.1.1.1.1": "ifName",
    "1.3.6.1.2.1.31.1.1.1.18": "ifAlias",
    "1.3.6.1.2.1.1.5": "sysName",
}
_UPTIME, _TRAP_OID = "1.3.6.1.2.1.1.3.0", "1.3.6.1.6.3.1.1.4.1.0"
_ADDRESS, _COMMUNITY = "1.3.6.1.6.3.18.1.3.0", "1.3.6.1.6.3.18.1.4.0"
_NO_ADDRESS = "0.0.0.0"  # noqa: S104


class NotTrap(ValueError):
    """Not a trap or inform; the words say what it is instead, without what it says."""


@dataclass(frozen=True, slots=True)
class Trap:
    """A notification. `agent` is the address of the device that made it, "" when nobody said; `uptime` is in
    hundredths of a second; `varbinds` are (OID, text); `number` is the request's, which an answer repeats."""

    version: str
    oid: str
    varbinds: tuple[tuple[str, str], ...]
    uptime: int = 0
    agent: str = ""
    number: int = 0
    user: str = ""
    inform: bool = False

    def line(self, *, at_ms: int) -> PushedLine:
        """As a log line."""
        name, severity = TRAPS.get(self.oid, (self.oid, NOTICE))
        parts = [name, *(f"{_say_name(oid)}={value}" for oid, value in self.varbinds)]
        attrs = {"oid": self.oid, "version": self.version, "uptime_s": f"{self.uptime / 100:.2f}"}
        if self.agent:
            attrs["agent"] = self.agent
        if self.user:
            attrs["user"] = self.user
        if self.inform:
            attrs["inform"] = "yes"
        message = " ".join(parts)[:MESSAGE_MAX_CHARS]
        encoded = msgspec.json.encode(attrs).decode()
        return PushedLine(at_ms, severity, FACILITY, self.agent, SOURCE, message, encoded)


def version_of(data: bytes) -> int:
    """0 for v1, 1 for v2c, 3 for v3. Raises NotTrap for what no SNMP message can be, or nests too deep."""
    _check_shape(data)
    at = 2 + (data[1] & 0x7F if data[1] & 0x80 else 0)
    if data[at : at + 2] != b"\x02\x01" or data[at + 2] not in (0, 1, 3):
        raise NotTrap("not an SNMP message of version 1, 2c or 3")
    return data[at + 2]


def authority_of(data: bytes) -> tuple[bytes, bytes]:
    """Of a v3 message: the engine that is the authority for it (b"": it asks for ours), and the user. Both
    are what the message says, not checked. Raises NotTrap.

    Source: RFC 3412 section 6, RFC 3414 section 2.4.
    """
    try:
        _, at, _ = _element(data, 0)  # SNMPv3Message
        for _ in range(2):  # its version, its header
            _, start, length = _element(data, at)
            at = start + length
        _, at, _ = _element(data, at)  # the octets that hold the parameters of security
        _, at, _ = _element(data, at)  # UsmSecurityParameters
        found = []
        for _ in range(4):  # engine, boots, time, user
            _, start, length = _element(data, at)
            found.append(data[start : start + length])
            at = start + length
    except IndexError as error:
        raise NotTrap("an SNMPv3 message that cannot be read") from error
    return found[0], found[3]


def _element(data: bytes, at: int) -> tuple[int, int, int]:
    """Tag, start and length of what an element holds. Raises IndexError."""
    tag, length, start = data[at], data[at + 1], at + 2
    if length & 0x80:
        count = length & 0x7F
        length = int.from_bytes(data[start : start + count], "big")
        start += count
    if start + length > len(data):
        raise IndexError
    return tag, start, length


def read_trap(data: bytes) -> tuple[Trap, bytes]:
    """A v1 or v2c message, and the answer to it (b"" when it asks for none). Raises NotTrap."""
    from pyasn1.codec.ber import decoder, encoder
    from pyasn1.error import PyAsn1Error
    from pysnmp.error import PySnmpError
    from pysnmp.proto import api

    version = version_of(data)
    if version == 3:
        raise NotTrap("a message of version 3")
    module: Any = api.PROTOCOL_MODULES[version]
    try:
        message, _ = decoder.decode(data, asn1Spec=module.Message())
        pdu = module.apiMessage.get_pdu(message)
        if version == 0:
            return _of_v1(module, pdu), b""
        inform = pdu.isSameTypeWith(module.InformRequestPDU())
        if not inform and not pdu.isSameTypeWith(module.TrapPDU()):
            raise NotTrap("an SNMP message that is neither trap nor inform: send questions to the device")
        trap = from_varbinds(
            "v2c",
            module.apiPDU.get_varbinds(pdu),
            number=int(module.apiPDU.get_request_id(pdu)),
            inform=inform,
        )
        if not inform:
            return trap, b""
        response = module.apiMessage.get_response(message)
        module.apiPDU.set_varbinds(module.apiMessage.get_pdu(response), module.apiPDU.get_varbinds(pdu))
        return trap, bytes(encoder.encode(response))
    except NotTrap:
        raise
    except (PyAsn1Error, PySnmpError, ValueError, TypeError, IndexError, KeyError, AttributeError) as error:
        raise NotTrap("an SNMP message that cannot be read") from error


def from_varbinds(
    version: str, varbinds: Sequence[tuple[Any, Any]], *, number: int, inform: bool, user: str = ""
) -> Trap:
    """A v2c or v3 notification. Raises NotTrap when it does not say which it is."""
    oid = agent = ""
    uptime = 0
    rest = []
    for name, value in varbinds:
        text = str(name)
        if text == _TRAP_OID:
            oid = str(value)
        elif text == _UPTIME:
            uptime = int(value)
        elif text == _ADDRESS:
            agent = value.prettyPrint()
        elif text != _COMMUNITY:
            rest.append((text, say_value(value)))
    if not oid:
        raise NotTrap("a notification that does not say which it is (snmpTrapOID is missing)")
    return Trap(
        version, oid, tuple(rest), uptime, "" if agent == _NO_ADDRESS else agent, number, user, inform
    )


def say_value(value: Any) -> str:
    """A value as text: bytes as UTF-8 where they are that and can be printed, else in hexadecimal."""
    from pyasn1.type.univ import Null, ObjectIdentifier, OctetString

    if isinstance(value, ObjectIdentifier):
        return str(value)
    if isinstance(value, Null):
        return ""
    if isinstance(value, OctetString) and type(value).__name__ != "IpAddress":
        data = bytes(value)
        try:
            text = data.rstrip(b"\0").decode()
        except UnicodeDecodeError:
            return "0x" + data.hex()
        return (
            text if all(letter.isprintable() or letter in "\r\n\t" for letter in text) else "0x" + data.hex()
        )
    return str(value.prettyPrint())


def _of_v1(module: Any, pdu: Any) -> Trap:
    if not pdu.isSameTypeWith(module.TrapPDU()):
        raise NotTrap("an SNMP message that is neither trap nor inform: send questions to the device")
    api = module.apiTrapPDU
    generic, specific = int(api.get_generic_trap(pdu)), int(api.get_specific_trap(pdu))
    oid = f"{api.get_enterprise(pdu)}.0.{specific}" if generic == 6 else f"{_STANDARD}{generic + 1}"
    varbinds = tuple(
        (str(name), say_value(value)) for name, value in api.get_varbinds(pdu) if str(name) != _COMMUNITY
    )
    agent = api.get_agent_address(pdu).prettyPrint()
    return Trap("v1", oid, varbinds, int(api.get_timestamp(pdu)), "" if agent == _NO_ADDRESS else agent)


def _say_name(oid: str) -> str:
    for length in (10, 11, 12, 8):  # of the columns above
        parts = oid.split(".")
        if (name := _COLUMNS.get(".".join(parts[:length]))) and len(parts) > length:
            return f"{name}.{'.'.join(parts[length:])}"
    return oid


def _check_shape(data: bytes) -> None:
    """Walk the BER elements without recursion. Raises NotTrap for more than ELEMENTS_MAX, deeper than
    NESTING_MAX, indefinite lengths, or elements that reach beyond what holds them."""
    if len(data) < 8 or data[0] != 0x30:
        raise NotTrap("not an SNMP message")
    ends, at, elements = [len(data)], 0, 0
    while ends:
        if at == ends[-1]:
            ends.pop()
            continue
        elements += 1
        if at + 2 > ends[-1] or elements > ELEMENTS_MAX or len(ends) > NESTING_MAX or data[at] & 0x1F == 0x1F:
            raise NotTrap("not an SNMP message")
        constructed, length = data[at] & 0x20, data[at + 1]
        at += 2
        if length & 0x80:
            count = length & 0x7F
            if not 1 <= count <= 4 or at + count > ends[-1]:
                raise NotTrap("not an SNMP message")
            length = int.from_bytes(data[at : at + count], "big")
            at += count
        if at + length > ends[-1]:
            raise NotTrap("an SNMP message that is cut short")
        if constructed:
            ends.append(at + length)
        else:
            at += length
