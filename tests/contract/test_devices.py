"""Every recipe against a recorded device behind a real SSH server; what goes wrong; host keys; telnet."""

import asyncio
import os
import pwd
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from contract.daemons import free_port, running
from contract.device_player import PASSWORD, USER, Faults, Recording, playing, recorded, recording
from forestall.collect.asking import Asker, Keeper, ProbeOrder, ask_once
from forestall.collect.devices.recipe import find_recipe, recipe_names
from forestall.collect.masking import Masker
from forestall.collect.reach import anywhere
from forestall.collect.remembering import Memory
from forestall.kernel.observations import Outcome

CAPTURES = 100
NAMES = recorded()
KEY = asyncssh.generate_private_key("ssh-ed25519")


def make_asker(memory: Memory | None = None) -> Asker:
    keeper = Keeper(memory or Memory(), Masker(b"a key of this machine"))
    return Asker([], anywhere(), lambda order, outcome: None, keeper=keeper)


def order(device: Recording, port: int, **more: Any) -> ProbeOrder:
    credential = {"user": USER, "password": PASSWORD, "enable": device.given.get("enable", "")}
    settings = {"recipe": device.name} | more.pop("settings", {})
    given = {"id": "p", "asset": "a", "kind": "device", "target": f"127.0.0.1:{port}", "interval_s": 3600}
    return ProbeOrder(**given | {"settings": settings, "credential": credential} | more)


async def capture(device: Recording, faults: Faults | None = None, *, timeout_s: float = 0.0) -> Outcome:
    """One try."""
    async with playing(device, faults, key=KEY) as port:
        asked = order(device, port)
        return await ask_once(
            "device", asked.target, asked.settings, anywhere(), credential=asked.credential,
            keeper=Keeper(Memory(), Masker(b"a key of this machine")), timeout_s=timeout_s,
        )  # fmt: skip


def test_every_recipe_has_a_recording() -> None:
    assert set(NAMES) == set(recipe_names())


@pytest.mark.parametrize("name", NAMES)
async def test_a_recorded_device_is_captured(name: str) -> None:
    device = recording(name)
    outcome = await capture(device)
    assert outcome.ok, outcome.reason
    texts = {one.kind: one.text for one in outcome.snapshots}
    answered = device.given["answers"]
    assert set(texts) == {one.kind for one in find_recipe(name).commands if one.run in answered}
    assert not any(one.problem for one in outcome.snapshots)
    for kind, pieces in device.given["has"].items():
        for piece in pieces:
            assert piece in texts[kind], (kind, piece, texts[kind])
    for kind, pieces in device.given["hides"].items():
        for piece in pieces:
            assert piece not in texts[kind], (kind, piece)
    everything = "\n".join([*texts.values(), outcome.reason, outcome.answer])
    for secret in [*device.given["secrets"], PASSWORD]:
        assert secret not in everything, next(line for line in everything.split("\n") if secret in line)
    for text in texts.values():
        assert "\x1b" not in text and "\r" not in text and "\b" not in text
        assert "more" not in text.lower().split(), text
        assert all(line == line.rstrip() for line in text.splitlines())
    unsaved = [sample.value for sample in outcome.samples if sample.metric == "device.unsaved_lines"]
    if "unsaved" in device.given:
        assert [value > 0 for value in unsaved] == [device.given["unsaved"]], unsaved
    else:
        assert not unsaved


@pytest.mark.parametrize("name", [name for name in NAMES if "pager" in recording(name).given])
async def test_a_pager_that_cannot_be_left_off_is_answered(name: str) -> None:
    plain = await capture(recording(name))
    paged = await capture(recording(name), Faults(pages=True))
    assert paged.ok, paged.reason
    assert [one.text for one in paged.snapshots] == [one.text for one in plain.snapshots]


async def test_unchanged_devices_give_no_new_version() -> None:
    """A hundred captures, each of another moment: clocks, counters and encryptions vary, texts do not."""
    share = -(-CAPTURES // len(NAMES))

    async def compare(name: str) -> int:
        device, asker = recording(name), make_asker()
        async with playing(device, key=KEY) as port:
            asked = order(device, port)
            outcomes = await asyncio.gather(*(asker.run_once(asked) for _ in range(share)))
        first = [(one.kind, one.text) for one in outcomes[0].snapshots]
        assert first and all(outcome.ok for outcome in outcomes), (name, outcomes[0].reason)
        for outcome in outcomes[1:]:
            assert [(one.kind, one.text) for one in outcome.snapshots] == first, name
        return len(outcomes)

    assert sum(await asyncio.gather(*map(compare, NAMES))) >= CAPTURES


@pytest.mark.parametrize("name", NAMES)
async def test_a_capture_that_is_cut_short_has_a_problem_and_no_text(name: str) -> None:
    device = recording(name)
    command = find_recipe(name).commands[0]
    outcome = await capture(device, Faults(cut=command.run))
    assert not outcome.ok
    (first, *others) = outcome.snapshots
    assert first.kind == command.kind and first.text == ""
    assert "cut short" in first.problem or "no end mark" in first.problem, first.problem
    assert not any(one.text for one in others if one.kind == command.kind)
    for secret in device.given["secrets"]:
        assert secret not in outcome.reason + outcome.answer + first.problem


@pytest.mark.parametrize("name", [name for name in NAMES if find_recipe(name).commands[0].complete])
async def test_a_missing_end_is_noticed(name: str) -> None:
    command = find_recipe(name).commands[0]
    outcome = await capture(recording(name), Faults(unfinished=command.run))
    assert not outcome.ok
    first = outcome.snapshots[0]
    assert "no end mark" in first.problem and first.text == ""
    assert len(outcome.snapshots) > 1  # the rest was captured


@pytest.mark.parametrize("name", NAMES)
async def test_a_refusal_is_a_problem_in_words(name: str) -> None:
    needed = next(one for one in find_recipe(name).commands if not one.optional)
    outcome = await capture(recording(name), Faults(refused=needed.run))
    refused = next(one for one in outcome.snapshots if one.kind == needed.kind)
    assert not outcome.ok and refused.text == ""
    assert "refuses" in refused.problem and needed.run in refused.problem


async def test_a_real_openssh_server_is_captured(tmp_path: Path) -> None:
    """Generic Linux behind sshd: this machine's own files, by a private key."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    for name in ("host", "client"):
        key.write_private_key(tmp_path / name)
        (tmp_path / name).chmod(0o600)
    (tmp_path / "client.pub").write_text(key.export_public_key().decode())
    Path("/run/sshd").mkdir(exist_ok=True)
    port = free_port()
    (tmp_path / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {tmp_path}/host\nPidFile none\nStrictModes no\n"
        f"AuthorizedKeysFile {tmp_path}/client.pub\nPasswordAuthentication no\nUsePAM no\n"
    )
    user = pwd.getpwuid(os.getuid()).pw_name
    credential = {"user": user, "private_key": (tmp_path / "client").read_text()}
    with running(["/usr/sbin/sshd", "-D", "-e", "-f", str(tmp_path / "sshd_config")], port=port):
        asked = order(recording("linux"), port, credential=credential)
        outcome = await make_asker().run_once(asked)
    assert outcome.ok, outcome.reason
    texts = {one.kind: one.text for one in outcome.snapshots}
    assert Path("/etc/os-release").read_text().strip() in texts["version"]
    assert "root:x:0:0" in texts["passwd"] and "dpkg\t" in texts["packages"]


async def test_keyboard_interactive_and_a_private_key_open_too() -> None:
    device = recording("linux")
    async with playing(device, interactive=True) as port:
        assert (await make_asker().run_once(order(device, port))).ok
    key = asyncssh.generate_private_key("ssh-ed25519")
    text = key.export_private_key("pkcs8-pem", passphrase="of the key").decode()
    credential = {"user": USER, "private_key": text, "passphrase": "of the key"}
    keys = asyncssh.import_authorized_keys(key.export_public_key().decode())
    async with playing(device, authorized_client_keys=keys) as port:
        assert (await make_asker().run_once(order(device, port, credential=credential))).ok
        wrong = await make_asker().run_once(order(device, port, credential=credential | {"passphrase": "x"}))
    assert "private key of the credential cannot be read" in wrong.reason


async def test_a_wrong_password_is_said_and_tried_once() -> None:
    device = recording("cisco-ios")
    async with playing(device) as port:
        wrong = order(device, port, credential={"user": USER, "password": "wr0ng-one"})
        outcome = await make_asker().run_once(wrong)
        none = await make_asker().run_once(order(device, port, credential={}))
        refused = await make_asker().run_once(
            order(device, port, credential={"user": USER, "password": PASSWORD, "enable": "wr0ng-en"})
        )
    assert "refuses the user 'reader'" in outcome.reason and "asked twice" not in outcome.reason
    assert "needs a credential" in none.reason
    assert "refuses the enable password" in refused.reason
    assert "wr0ng" not in outcome.reason + refused.reason


async def test_another_host_key_stops_everything_until_a_person_accepts_it(tmp_path: Any) -> None:
    device = recording("linux")
    first, second = KEY, asyncssh.generate_private_key("ssh-ed25519")
    path = tmp_path / "remembered.json"
    async with playing(device, key=first) as port:
        assert (await make_asker(Memory(path)).run_once(order(device, port))).ok
    async with playing(device, key=second, port=port):
        outcome = await make_asker(Memory(path)).run_once(order(device, port))
        assert not outcome.ok and "shows another host key than before" in outcome.reason
        assert second.get_fingerprint() in outcome.reason and not outcome.snapshots
        changed = {one.metric: one.value for one in outcome.samples}["device.host_key_changed"]
        assert changed == 1.0
        trusted = {"settings": {"host_key": f"ssh-ed25519 {second.get_fingerprint()}"}}
        assert (await make_asker(Memory(path)).run_once(order(device, port, **trusted))).ok
        assert (await make_asker(Memory(path)).run_once(order(device, port))).ok


async def test_old_algorithms_are_spoken_only_when_allowed() -> None:
    device = recording("linux")
    old = {
        "kex_algs": ["diffie-hellman-group1-sha1"],
        "encryption_algs": ["3des-cbc"],
        "mac_algs": ["hmac-md5"],
    }
    async with playing(device, **old) as port:
        refused = await make_asker().run_once(order(device, port))
        allowed = await make_asker().run_once(order(device, port, settings={"old_algorithms": "yes"}))
    assert "set old_algorithms of this probe to yes" in refused.reason
    assert allowed.ok, allowed.reason


async def test_what_never_ends_or_never_prompts_is_bounded() -> None:
    device = recording("linux")
    device.given["answers"]["cat /etc/os-release"] = "x" * 79 + "\n" * 1
    device.given["answers"]["cat /etc/os-release"] *= 60_000  # 4.8 MB
    outcome = await capture(device)
    assert "more than 4 MB" in outcome.reason
    silent = recording("cisco-ios")
    silent.given |= {"prompt": "no prompt at all here!!", "user_prompt": "no prompt at all here!!"}
    outcome = await capture(silent, timeout_s=1.0)
    assert not outcome.ok and "no answer" in outcome.reason


async def test_telnet_only_when_told() -> None:
    device = recording("cisco-ios")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\xff\xfb\x01\xff\xfb\x03\xff\xfd\x18\r\nUser Access Verification\r\n\r\nUsername: ")

        async def ask() -> str:
            line = b""
            while not line.strip(b"\r\n"):
                line = (await reader.readline()).rpartition(b"\x18")[2]
            return line.decode(errors="replace").strip()

        user = await ask()
        writer.write(b"Password: ")
        if (user, await ask()) != (USER, PASSWORD):
            writer.write(b"\r\n% Login invalid\r\n\r\nUsername: ")
            await reader.read()
            return
        writer.write(b"\r\nsw-access-1#")
        while line := await reader.readline():
            command = line.decode().strip()
            text = "" if command.startswith("terminal") else device.answer(command, Faults())
            writer.write((command + "\n" + text).replace("\n", "\r\n").encode() + b"sw-access-1#")

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        told = order(device, port, settings={"transport": "telnet"})
        outcome = await make_asker().run_once(told)
        assert outcome.ok, outcome.reason
        assert "interface GigabitEthernet1/0/2" in outcome.snapshots[0].text
        wrong = order(
            device, port, settings={"transport": "telnet"}, credential={"user": USER, "password": "no"}
        )
        refused = await make_asker().run_once(wrong)
        assert "refuses the user" in refused.reason
