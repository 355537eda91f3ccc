"""SNMPv3 for notifications: pysnmp's engine without its network. It checks users and times, decrypts, and
makes the answers; what comes in and goes out are bytes. Not for two threads at once.

An engine remembers something of every message, also of bad ones, so it is renewed after MESSAGES_MAX.

Source: RFC 3412, RFC 3414 (authoritative is who receives an inform, and who sends a trap).
"""

import hashlib
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from forestall.collect.parsers.snmp_trap import NotTrap, Trap, authority_of, from_varbinds
from forestall.kernel.errors import Trouble

MESSAGES_MAX = 5_000
USERS_MAX = 200
ENGINE_MAX_BYTES = 32  # RFC 3411 section 5
PASSPHRASE_MIN_CHARS = 8  # RFC 3414 section 11.2

_AUTH = {
    "md5": "USM_AUTH_HMAC96_MD5",
    "sha": "USM_AUTH_HMAC96_SHA",
    "sha224": "USM_AUTH_HMAC128_SHA224",
    "sha256": "USM_AUTH_HMAC192_SHA256",
    "sha384": "USM_AUTH_HMAC256_SHA384",
    "sha512": "USM_AUTH_HMAC384_SHA512",
}
_PRIVACY = {
    "des": "USM_PRIV_CBC56_DES",
    "3des": "USM_PRIV_CBC168_3DES",
    "aes128": "USM_PRIV_CFB128_AES",
    "aes192": "USM_PRIV_CFB192_AES",
    "aes256": "USM_PRIV_CFB256_AES",
}
_FORM = "a line of traps_users is: name, or name sha256 FILE, or name sha256 FILE aes128 FILE"
_START_OF_BOOTS = 1_577_836_800  # 2020-01-01: boots are seconds since then, so that they only grow


@dataclass(frozen=True, slots=True)
class User:
    """A user of the User-based Security Model. Empty protocols: without authentication, privacy."""

    name: str
    auth: str = ""
    auth_passphrase: str = ""
    privacy: str = ""
    privacy_passphrase: str = ""

    @property
    def level(self) -> int:
        """The security level that a message of this user must have: 1 none, 2 authentication, 3 privacy."""
        return 3 if self.privacy else 2 if self.auth else 1


def read_users(lines: Sequence[str]) -> list[User]:
    """Users from settings; passphrases are in files. Raises Trouble that names the line or the file."""
    if len(lines) > USERS_MAX:
        raise Trouble(f"traps_users has more than {USERS_MAX} lines", "Leave some out.")
    users = []
    for number, line in enumerate(lines, 1):
        words = line.split()
        if (
            len(words) not in (1, 3, 5)
            or len(words[0]) > 32
            or (len(words) > 1 and words[1].lower() not in _AUTH)
            or (len(words) > 3 and words[3].lower() not in _PRIVACY)
        ):
            raise Trouble(f"line {number} of traps_users cannot be read", f"{_FORM[0].upper()}{_FORM[1:]}.")
        users.append(
            User(
                words[0],
                *((words[1].lower(), _passphrase(words[2])) if len(words) > 1 else ("", "")),
                *((words[3].lower(), _passphrase(words[4])) if len(words) > 3 else ("", "")),
            )
        )
    return users


def _passphrase(path: str) -> str:
    try:
        text = Path(path).read_text().strip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise Trouble(
            f"the passphrase in {path} cannot be read", "Make it a text file for this user."
        ) from error
    if len(text) < PASSPHRASE_MIN_CHARS:
        raise Trouble(
            f"the passphrase in {path} has fewer than {PASSPHRASE_MIN_CHARS} characters",
            "Choose a longer one.",
        )
    return text


class Pending(NamedTuple):
    """What the engine needs to answer an inform, and the engine that it came through."""

    engine: Any
    arguments: tuple[Any, ...]
    pdu: Any
    size: Any
    state: Any


class Said(NamedTuple):
    """What one message brought: a notification with what answers it, or neither; `replies` go back at once
    (discovery, what is wrong)."""

    trap: Trap | None
    pending: Pending | None
    replies: list[bytes]


class _Outgoing:
    """Stands where the engine expects its network."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def send_message(self, message: Any, domain: Any, address: Any) -> None:
        """Keep it, to be sent by the listener."""
        self.sent.append(bytes(message))

    def get_timer_resolution(self) -> float:
        """How many seconds a tick of the engine has; ours never ticks, it is renewed."""
        return 0.5


class Engine:
    """Reads v3 messages of these users."""

    def __init__(self, users: Sequence[User]) -> None:
        self._users = {user.name: user for user in users}
        self._left = 0
        self._engine: Any = None
        self._outgoing = _Outgoing()
        self._found: list[tuple[Trap, Pending | None]] = []
        self._wrong = ""
        self._introduced: set[tuple[bytes, bytes]] = set()
        self._keys: dict[str, tuple[Any, Any]] = {}

    def read(self, data: bytes, address: tuple[Any, ...]) -> Said:
        """One message. Raises NotTrap, without what it says."""
        from pyasn1.error import PyAsn1Error
        from pysnmp.carrier.asyncio.dgram import udp
        from pysnmp.error import PySnmpError

        if self._left <= 0:
            self._renew()
        self._left -= 1
        self._found.clear()
        self._outgoing.sent.clear()
        self._wrong = ""
        self._introduce(*authority_of(data))
        place = udp.UdpTransportAddress(address[:2])
        try:
            self._engine.message_dispatcher.receive_message(self._engine, udp.DOMAIN_NAME, place, data)
        except NotTrap:
            raise
        except (
            PyAsn1Error,
            PySnmpError,
            ValueError,
            TypeError,
            IndexError,
            KeyError,
            AttributeError,
        ) as error:
            raise NotTrap("an SNMPv3 message that cannot be read") from error
        replies = list(self._outgoing.sent)
        if self._wrong:
            raise NotTrap(self._wrong)
        if not self._found:
            if not replies:
                raise NotTrap(
                    "an SNMPv3 message that is not of a known user: see traps_users, and the passphrases"
                )
            return Said(None, None, replies)
        trap, pending = self._found[0]
        return Said(trap, pending, replies)

    def answer(self, pending: Pending) -> list[bytes]:
        """The answer to an inform, to be sent now that it is durable; empty when it cannot be made."""
        from pyasn1.error import PyAsn1Error
        from pysnmp.error import PySnmpError
        from pysnmp.proto.api import v2c

        self._outgoing.sent.clear()
        response = v2c.apiPDU.get_response(pending.pdu)
        v2c.apiPDU.set_error_status(response, 0)
        v2c.apiPDU.set_error_index(response, 0)
        v2c.apiPDU.set_varbinds(response, v2c.apiPDU.get_varbinds(pending.pdu))
        try:
            pending.engine.message_dispatcher.return_response_pdu(
                pending.engine, *pending.arguments, response, pending.size, pending.state, {}
            )
        except (PySnmpError, PyAsn1Error):
            return []  # the sender asks again
        return list(self._outgoing.sent)

    def _renew(self) -> None:
        from pysnmp.entity.engine import SnmpEngine
        from pysnmp.proto.api import v1, v2c
        from pysnmp.proto.rfc1902 import OctetString

        self._left = MESSAGES_MAX
        digest = hashlib.sha256(socket.gethostname().encode()).digest()[:8]
        engine = SnmpEngine(snmpEngineID=OctetString(b"\x80\x00\x4f\xb8\x05" + digest))
        (boots,) = engine.get_mib_builder().import_symbols("__SNMP-FRAMEWORK-MIB", "snmpEngineBoots")
        boots.syntax = boots.syntax.clone(max(1, int(time.time()) - _START_OF_BOOTS))
        engine.transport_dispatcher = self._outgoing
        self._introduced.clear()
        kinds = (v1.TrapPDU.tagSet, v2c.SNMPv2TrapPDU.tagSet, v2c.InformRequestPDU.tagSet)
        engine.message_dispatcher.register_context_engine_id(b"", kinds, self._take)
        self._engine = engine

    def _introduce(self, authority: bytes, name: bytes) -> None:
        """Let the engine know a user of ours at the engine that a message names: keys differ with it."""
        from pysnmp.entity import config
        from pysnmp.proto.rfc1902 import OctetString

        user = self._users.get(name.decode(errors="replace"))
        if user is None or not authority or len(authority) > ENGINE_MAX_BYTES:
            return
        if (authority, name) in self._introduced:
            return
        self._introduced.add((authority, name))
        auth = getattr(config, _AUTH[user.auth]) if user.auth else config.USM_AUTH_NONE
        privacy = getattr(config, _PRIVACY[user.privacy]) if user.privacy else config.USM_PRIV_NONE
        keys = self._keys.get(user.name)
        if keys is None:  # a passphrase is hashed a million bytes long, so once
            auth_key = config.AUTH_SERVICES[auth].hash_passphrase(user.auth_passphrase) if user.auth else None
            privacy_key = (
                config.PRIV_SERVICES[privacy].hash_passphrase(auth, user.privacy_passphrase)
                if user.privacy
                else None
            )
            keys = self._keys[user.name] = (auth_key, privacy_key)
        config.add_v3_user(
            self._engine,
            user.name,
            auth,
            keys[0],
            privacy,
            keys[1],
            securityEngineId=OctetString(authority),
            authKeyType=config.USM_KEY_TYPE_MASTER,
            privKeyType=config.USM_KEY_TYPE_MASTER,
        )

    def _take(self, engine: Any, *arguments: Any) -> None:
        """What pysnmp calls for a message that it has checked: (message model, security model, name, level,
        context engine, context, PDU version, PDU, most bytes of an answer, state)."""
        from pysnmp.proto.api import v2c

        *head, pdu, size, state = arguments
        user = self._users.get(str(head[2]))
        if user is None or int(head[3]) < user.level:
            self._wrong = "an SNMPv3 message with less security than its user must have"
            return
        inform = pdu.tagSet == v2c.InformRequestPDU.tagSet
        trap = from_varbinds(
            "v3",
            v2c.apiPDU.get_varbinds(pdu),
            number=int(v2c.apiPDU.get_request_id(pdu)),
            inform=inform,
            user=user.name,
        )
        self._found.append((trap, Pending(engine, tuple(head), pdu, size, state) if inform else None))
