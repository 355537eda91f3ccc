"""The real snmptrap and snmpinform of net-snmp send to the real listener: v1, v2c, v3."""

import asyncio
import json
import socket
import subprocess
from pathlib import Path

import pytest

from contract.listener_site import listening, until
from forestall.collect.listeners import traps
from forestall.kernel.errors import Trouble

LINK_DOWN = "1.3.6.1.6.3.1.1.5.3"
VARBINDS = ["1.3.6.1.2.1.2.2.1.1.7", "i", "7", "1.3.6.1.2.1.2.2.1.2.7", "s", "eth7: größe"]
COMMUNITY = "very-secret-community"


def send(port: int, *options: str, inform: bool = False, oid: str = LINK_DOWN) -> "asyncio.Future[int]":
    """The exit status of net-snmp's program, which reads no configuration of this machine."""
    command = ["snmpinform" if inform else "snmptrap", *options, f"127.0.0.1:{port}", "4200", oid, *VARBINDS]
    return asyncio.ensure_future(asyncio.to_thread(run, command))


def run(command: list[str]) -> int:
    return subprocess.run(
        command,
        check=False,
        env={"SNMPCONFPATH": "/nonexistent", "MIBS": "", "PATH": "/usr/bin"},
        capture_output=True,
    ).returncode


def users(folder: Path) -> list[str]:
    """Three users with files for their passphrases."""
    (folder / "auth").write_text("authentication passphrase\n")
    (folder / "privacy").write_text("privacy passphrase\n")
    auth, privacy = folder / "auth", folder / "privacy"
    return [
        f"both sha256 {auth} aes128 {privacy}",
        f"signed sha {auth}",
        "open",
        f"old md5 {auth} des {privacy}",
    ]


V3 = {
    "both": ["-l", "authPriv", "-a", "SHA-256", "-x", "AES"],
    "signed": ["-l", "authNoPriv", "-a", "SHA"],
    "open": ["-l", "noAuthNoPriv"],
    "old": ["-l", "authPriv", "-a", "MD5", "-x", "DES"],
}
PASSPHRASES = ["-A", "authentication passphrase", "-X", "privacy passphrase"]


async def test_snmptrap_v2c(tmp_path: Path) -> None:
    async with listening(traps, tmp_path / "queue") as site:
        assert await send(site.port, "-v2c", "-c", COMMUNITY) == 0
        await until(lambda: len(site.decoded().logs) == 1)
        logs = site.decoded().logs
    assert logs.message.to_pylist() == ["linkDown ifIndex.7=7 ifDescr.7=eth7: größe"]
    assert logs.source.to_pylist() == ["snmptrap"]
    assert (logs.severity.tolist(), logs.asset.tolist()) == ([3], [2])
    assert json.loads(logs.attrs[0].as_py()) == {"oid": LINK_DOWN, "version": "v2c", "uptime_s": "42.00"}
    kept = b"".join(path.read_bytes() for path in (tmp_path / "queue").iterdir())
    assert COMMUNITY.encode() not in kept


@pytest.mark.parametrize(
    ("generic", "specific", "oid", "first"),
    [("2", "0", LINK_DOWN, "linkDown"), ("6", "99", "1.3.6.1.4.1.4242.0.99", "1.3.6.1.4.1.4242.0.99")],
)
async def test_snmptrap_v1(tmp_path: Path, generic: str, specific: str, oid: str, first: str) -> None:
    async with listening(traps, tmp_path / "queue") as site:
        command = [
            "snmptrap",
            "-v1",
            "-c",
            COMMUNITY,
            f"127.0.0.1:{site.port}",
            "1.3.6.1.4.1.4242",
            "10.9.9.9",
        ]
        assert await asyncio.to_thread(run, [*command, generic, specific, "4200", *VARBINDS]) == 0
        await until(lambda: len(site.decoded().logs) == 1)
        logs = site.decoded().logs
    assert logs.message.to_pylist() == [f"{first} ifIndex.7=7 ifDescr.7=eth7: größe"]
    attrs = json.loads(logs.attrs[0].as_py())
    assert (attrs["oid"], attrs["version"], attrs["agent"]) == (oid, "v1", "10.9.9.9")
    assert logs.asset.tolist() == [3]  # the device that the relay names
    kept = b"".join(path.read_bytes() for path in (tmp_path / "queue").iterdir())
    assert COMMUNITY.encode() not in kept


@pytest.mark.parametrize("user", V3)
async def test_snmptrap_v3(tmp_path: Path, user: str) -> None:
    async with listening(traps, tmp_path / "queue", users=users(tmp_path)) as site:
        options = ["-v3", "-e", "0x8000000001020304", "-u", user, *V3[user], *PASSPHRASES]
        assert await send(site.port, *options) == 0
        await until(lambda: len(site.decoded().logs) == 1 or site.rejected)
        logs = site.decoded().logs
        assert site.rejected == []
    assert logs.message.to_pylist() == ["linkDown ifIndex.7=7 ifDescr.7=eth7: größe"]
    assert json.loads(logs.attrs[0].as_py())["user"] == user


@pytest.mark.parametrize("user", ["v2c", *V3])
async def test_informs_are_answered_when_they_are_durable(tmp_path: Path, user: str) -> None:
    async with listening(traps, tmp_path / "queue", users=users(tmp_path)) as site:
        options = ["-v2c", "-c", "x"] if user == "v2c" else ["-v3", "-u", user, *V3[user], *PASSPHRASES]
        site.full = True
        sending = send(site.port, "-t", "1", "-r", "30", *options, inform=True)
        await until(lambda: site.asked > 2)
        assert not sending.done()  # it asks again and again
        assert len(site.decoded().logs) == 0
        site.full = False
        assert await asyncio.wait_for(sending, 60) == 0
        assert len(site.decoded().logs) == 1
        await until(lambda: site.accept.counters["received"] == 1)
    assert site.messages() == ["linkDown ifIndex.7=7 ifDescr.7=eth7: größe"]  # however often it was asked
    assert json.loads(site.decoded().logs.attrs[0].as_py())["inform"] == "yes"


async def test_who_is_not_a_user_or_says_too_little_is_told_and_not_taken(tmp_path: Path) -> None:
    async with listening(traps, tmp_path / "queue", users=users(tmp_path)) as site:
        engine = ["-v3", "-e", "0x8000000001020305"]
        wrong = ["-A", "another passphrase here", "-X", "privacy passphrase"]
        await send(site.port, *engine, "-u", "both", *V3["both"], *wrong)
        await send(site.port, *engine, "-u", "nobody", *V3["both"], *PASSPHRASES)
        await send(site.port, *engine, "-u", "both", *V3["open"])
        await until(lambda: site.accept.counters["rejected"] >= 3)
        assert await send(site.port, "-v2c", "-c", "x") == 0
        await until(lambda: len(site.messages()) == 1)  # the rest goes on
    assert any("less security" in reason for reason in site.rejected), site.rejected
    assert any("known user" in reason for reason in site.rejected)
    assert site.raw == [b""] * len(site.raw)


async def test_rubbish_is_told_and_does_not_stop_the_rest(tmp_path: Path) -> None:
    async with listening(traps, tmp_path / "queue") as site:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as rubbish:
            for data in (
                b"",
                b"<13>hello",
                b"0" * 60_000,
                b"\x30\x84\xff\xff\xff\xff\x02\x01\x01",
                b"\x30\x80" * 3000,
            ):
                rubbish.sendto(data, ("127.0.0.1", site.port))
        await send(site.port, "-v3", "-e", "0x8000000001020306", "-u", "x", *V3["open"])
        assert await send(site.port, "-v2c", "-c", "x") == 0
        await until(lambda: len(site.messages()) == 1)
    assert site.accept.counters["rejected"] == 6
    assert any("traps_users" in reason for reason in site.rejected)


async def test_traps_that_the_kernel_drops_are_counted(tmp_path: Path) -> None:
    sent = 3000
    async with listening(traps, tmp_path / "queue") as site:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for _ in range(sent):  # the listener's loop does not run meanwhile, so its buffer overflows
                sender.sendto(b"x" * 8000, ("127.0.0.1", site.port))
    counters = site.accept.counters
    assert counters["udp_dropped"] > 0
    assert counters["rejected"] + counters["udp_dropped"] == sent


async def test_users_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "short").write_text("1234567")
    for lines, said in (
        (["a b"], "line 1 of traps_users"),
        (["a sha256 /nonexistent"], "/nonexistent"),
        ([f"a sha256 {tmp_path / 'short'}"], "fewer than 8"),
    ):
        with pytest.raises(Trouble, match=said):
            async with listening(traps, tmp_path / "queue", users=lines):
                pass
