"""Log lines as devices send them: no secret of a command that was typed stays, and prose stays as it is."""

import random
import re
import string

import pytest

from forestall.collect.masking import Masker
from forestall.collect.masking_said import LINE_MAX_CHARS, SUSPECT, WORDS, mask_said

MASKER = Masker(b"key of this machine")
LINES = (
    "User:ana  logged command:snmp-server community {} RO",
    "User 'ana', running 'CLI' from IP 10.0.0.5, executed 'username b password {}'",
    "User:ana  logged command:username ana privilege 15 secret 5 {}",
    "User:ana  logged command:!exec: enable secret 9 {}",
    "User:ana logged command: key 7 {}",
    "logged command:radius-server host 10.0.0.1 auth-port 1812 acct-port 1813 key 7 {}",
    "snmp-server community {} RO",
    "username x secret 5 {}",
    "enable password level 15 7 {}",
    "-Line=vty0-IPAddr=10.1.1.1-User=ana; Command is snmp-agent community read cipher {}",
    "User 'root', command 'set system login user x authentication plain-text-password-value {} '",
    "User 'root' set: [system root-authentication encrypted-password] <unconverted> -> \"{}\"",
    'cfgpath="system.admin" cfgattr="password[{}]" msg="Edit system.admin x"',
    'cfgattr="psksecret[ENC {}->ENC other]"',
    "update:console0:admin:configure terminal ; snmp-server community {} group network-operator (SUCCESS)",
    "neighbor 10.0.0.1 password 7 {}",
    "crypto isakmp key {} address 10.0.0.9",
    "ip ospf message-digest-key 1 md5 {}",
    "standby 1 authentication md5 key-string 0 {}",
    "wpa-psk ascii 0 {}",
    "/snmp community set 0 name={}",
    "snmp-server user ops grp v3 auth sha {} priv aes 128 other",
    "snmp-server user ops grp v3 auth sha other priv aes 128 {}",
    "snmp-server host 10.0.0.2 version 2c {}",
    "ana : TTY=pts/0 ; PWD=/root ; USER=root ; COMMAND=/usr/bin/mysql -uroot -p{} db",
    "wget http://ana:{}@10.0.0.1/fw.bin",
    "set service snmp community {} authorization ro",
    "tacacs-server host 10.0.0.1 key 0 {}",
    "configure radius netlogin primary shared-secret encrypted {}",
    '10.1.1.1 "GET /items?id=7&token={} HTTP/1.1" 200 512',
    '{{"user": "ana", "password": "{}"}}',
    '{{"log": "{{\\"db_password\\": \\"{}\\", \\"port\\": 1}}"}}',
    "Authorization: Bearer {}",
)
PROSE = (
    "Failed password for invalid user bob from 10.0.0.1 port 2222 ssh2",
    "Accepted publickey for kwong from 10.30.41.114 port 24112 ssh2",
    "pam_unix(passwd:chauthtok): password changed for bob",
    "User bob password expired",
    "pre-shared-key mismatch with peer 10.0.0.1",
    "the token of session 12 expired",
    "enable secret changed by ana",
    "SNMP authentication failure from 10.0.0.1, community name was wrong",
    "radius-server 10.0.0.1 key mismatch",
    "Key exchange failed: no matching key exchange method found",
    'level=info msg="secret rotated" key_id=12',
    "BGP community list updated",
    "IKE: no matching pre-shared-key found for 10.0.0.1",
    "snmpd[12]: Connection from UDP: [10.0.0.1]:54321->[10.0.0.2]:161",
    "ana : TTY=pts/0 ; PWD=/root ; USER=root ; COMMAND=/usr/bin/id",
    "session_key=none",
)


def secrets_of(seed: int, count: int) -> list[str]:
    dice, letters = random.Random(seed), string.ascii_letters + string.digits
    return ["Zq" + "".join(dice.choice(letters) for _ in range(12)) for _ in range(count)]


def test_none_of_a_thousand_secrets_stays() -> None:
    secrets = secrets_of(5, 1000)
    said = [LINES[place % len(LINES)].format(secret) for place, secret in enumerate(secrets)]
    masked = [mask_said(MASKER, line) for line in said]
    leaks = [line for line, secret in zip(masked, secrets, strict=True) if secret in line]
    assert leaks == []
    assert all("‹secret " in line for line in masked)


@pytest.mark.parametrize("line", LINES)
def test_a_line_with_a_secret_is_suspected_before_it_is_read(line: str) -> None:
    text = line.format("Zqabcdefgh12")
    assert any(word in text.lower() for word in WORDS)
    assert re.search(SUSPECT, text, re.IGNORECASE)


@pytest.mark.parametrize("line", PROSE)
def test_prose_stays(line: str) -> None:
    assert mask_said(MASKER, line) == line


def test_masking_twice_changes_nothing_more() -> None:
    for line in LINES:
        once = mask_said(MASKER, line.format("Zqabcdefgh12"))
        assert mask_said(MASKER, once) == once


def test_a_very_long_line_is_masked_in_pieces() -> None:
    text = "x" * LINE_MAX_CHARS + " password=Zqabcdefgh12"
    assert "Zqabcdefgh12" not in mask_said(MASKER, text)


@pytest.mark.parametrize("secret", ["public", "PRIVATE", "cisco"])
def test_what_vendors_ship_is_marked_as_such(secret: str) -> None:
    masked = MASKER.mask(f"snmp-server community {secret} RO\n")
    assert re.fullmatch(r"snmp-server community ‹secret [0-9a-f]{6} default› RO\n", masked)
    assert MASKER.mask(masked) == masked
    assert " default›" not in MASKER.mask("snmp-server community Zqabcdefgh12 RO")
