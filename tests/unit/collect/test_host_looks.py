"""What looks make of recorded answers of tools and files, and that one that fails or hangs stops no other."""

import asyncio
import base64
import os
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import cast

import pytest

from forestall.collect.agent.looking import Looks
from forestall.collect.host.everywhere import etc_files, start
from forestall.collect.host.linux import accounts, restart, sockets, time_offset, updates
from forestall.collect.host.linux.disk_health import arrays
from forestall.collect.masking import Masker
from forestall.collect.viewing import NotHere, Reading, View, run
from forestall.kernel.observations import LogRecord
from forestall.kernel.plugins import Spec


def view(root: Path) -> View:
    return View(now_ms=1, steady_s=1.0, root=root, mask=Masker(b"k").mask)


def put(root: Path, **files: str) -> None:
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_arrays_that_are_degraded_failed_or_stopped() -> None:
    text = (
        "Personalities : [raid1] [raid5]\n"
        "md0 : active raid1 sdb1[1] sda1[0]\n      1048512 blocks [2/2] [UU]\n\n"
        "md1 : active raid5 sdc1[2] sdb2[1] sda2[0](F)\n      2096 blocks level 5 [3/2] [_UU]\n\n"
        "md2 : inactive sdd1[0](S)\n      1048512 blocks\n\n"
        "md3 : active raid0 sde1[0] sdf1[1]\n      2096 blocks 512k chunks\n\nunused devices: <none>\n"
    )
    assert arrays(text) == {"md0": True, "md1": False, "md2": False}


def test_offsets_of_time_daemons_are_positive_when_the_clock_is_ahead() -> None:
    chrony = "C0A80001,ntp.example,3,1764000000.1,0.250000000,0.1,0.1,1,0,0.1,0.01,0.001,64.5,Normal\n"
    assert time_offset.of_chrony(chrony) == -250.0  # positive is slow
    assert time_offset.of_chrony(chrony.replace("Normal", "Not synchronised")) is None
    assert time_offset.of_ntpd("leap=00, offset=-1.5\n") == 1.5
    assert time_offset.of_ntpd("leap=11, offset=0.0\n") is None
    assert time_offset.of_timesyncd("       Offset: +1.5ms\n") == -1.5
    assert time_offset.of_timesyncd("       Offset: -2s 500ms\n") == 2500.0
    assert time_offset.of_timesyncd("Server: (null)\n") is None


def test_updates_of_a_simulated_upgrade() -> None:
    answer = (
        "Inst libssl3 [3.0.1] (3.0.2 Debian-Security:12/stable-security [amd64])\n"
        "Inst vim [1] (2 Debian:12.1/stable [amd64])\n"
        "Inst linux-image-6.1.0-30-amd64 (6.1.124-1 Debian-Security:12/stable-security [amd64])\n"
        "Conf vim (2 Debian:12.1/stable [amd64])\n"
    )
    assert updates.count_apt(answer) == (2, 1)


def test_a_machine_without_package_lists_says_nothing_of_updates(tmp_path: Path) -> None:
    put(tmp_path, var__lib__dpkg__status="")
    with pytest.raises(NotHere):
        updates.look(view(tmp_path))


def test_a_restart_is_due_after_a_newer_kernel(tmp_path: Path) -> None:
    assert restart.is_due(tmp_path, "6.1.0-9-amd64", 100.0) is None
    (tmp_path / "boot").mkdir()
    (tmp_path / "boot/vmlinuz-6.1.0-9-amd64").touch()
    assert restart.is_due(tmp_path, "6.1.0-9-amd64", 100.0) is False
    (tmp_path / "boot/vmlinuz-6.1.0-10-amd64").touch()
    assert restart.is_due(tmp_path, "6.1.0-9-amd64", 100.0) is True
    assert restart.is_due(tmp_path, "6.1.0-10-amd64", 100.0) is False
    put(tmp_path, **{"run__reboot-required": ""})
    assert restart.is_due(tmp_path, "6.1.0-10-amd64", 100.0) is True


def test_accounts_without_their_hashes_and_with_their_keys(tmp_path: Path) -> None:
    key = base64.b64encode(b"\0\0\0\x0bssh-ed25519" + b"k" * 36).decode()
    put(
        tmp_path,
        etc__passwd="root:x:0:0::/root:/bin/bash\nana:x:1000:1000::/home/ana:/bin/sh\n",
        etc__shadow="root:!:1::::::\nana:$6$salt$hashhashhash:1::::::\n",
        etc__group="sudo:x:27:bo,ana\n",
        etc__sudoers="# a comment\n%sudo ALL=(ALL) ALL\n#includedir /etc/sudoers.d\n",
        home__ana___DOT_ssh__authorized_keys=f'# old\nfrom="10.0.0.1" ssh-ed25519 {key} ana@laptop\n',
    )
    texts = {one.kind: one.text for one in accounts.look(view(tmp_path)).snapshots}
    assert "sign-in=set" in texts["users"] and "hashhash" not in str(texts)
    assert texts["groups"] == "sudo gid=27 members=ana,bo\n"
    assert texts["sudoers"] == "# --- etc/sudoers\n%sudo ALL=(ALL) ALL\n#includedir /etc/sudoers.d\n"
    assert texts["authorized_keys"].startswith('ana: from="10.0.0.1" ssh-ed25519 SHA256:')
    assert key not in texts["authorized_keys"]


def test_sshd_with_its_includes_and_a_change_is_seen(tmp_path: Path) -> None:
    put(
        tmp_path,
        etc__ssh__sshd_config="Include extra/*.conf\nPermitRootLogin no\n",
        etc__ssh__extra__one_DOT_conf="PasswordAuthentication no\n",
    )
    looking = view(tmp_path)
    first = etc_files.look(looking).snapshots[0]
    assert first.kind == "sshd_config" and "PasswordAuthentication no" in first.text
    assert etc_files.look(looking).snapshots[0].text == first.text
    changed = tmp_path / "etc/ssh/sshd_config"
    changed.write_text("Include extra/*.conf\nPermitRootLogin yes\n")
    os.utime(changed, (5, 5))
    assert "PermitRootLogin yes" in etc_files.look(looking).snapshots[0].text


def test_what_changes_by_itself_is_left_out_of_the_firewall() -> None:
    assert sockets.stable_iptables(
        [
            "# Generated by now",
            "*filter",
            ":INPUT DROP [12:345]",
            "-A f2b-sshd -s 1.2.3.4/32 -j REJECT",
            "COMMIT",
        ]
    ) == ["*filter", ":INPUT DROP", "COMMIT"]
    rules = (
        "table inet f {\n\tset banned {\n\t\ttype ipv4_addr\n\t\tflags timeout\n"
        "\t\telements = { 1.2.3.4 timeout 1h expires 5m,\n\t\t\t     1.2.3.5 timeout 1h }\n\t}\n\n"
        "\tset own {\n\t\ttype ipv4_addr\n\t\telements = { 10.0.0.1 }\n\t}\n}"
    )
    text = "\n".join(sockets.stable_nft(rules.splitlines()))
    assert "1.2.3." not in text and "10.0.0.1" in text


def test_commands_end_in_time_and_within_their_size() -> None:
    with pytest.raises(NotHere):
        run(["there-is-no-such-command"])
    with pytest.raises(OSError, match="status 3: why"):
        run(["sh", "-c", "echo why >&2; exit 3"])
    assert run(["sh", "-c", "echo ok; exit 3"], statuses=(3,)) == "ok\n"
    begun = time.monotonic()
    with pytest.raises(OSError, match="did not answer"):
        run(["sh", "-c", "sleep 60 & sleep 60"], timeout_s=0.2)
    with pytest.raises(OSError, match="more than"):
        run(["sh", "-c", "yes"], most_bytes=1000)
    assert len(run(["sh", "-c", "yes"], most_bytes=1000, cut=True)) == 1000
    assert time.monotonic() - begun < 30


def test_rates_need_two_looks_and_no_reset() -> None:
    one = View(now_ms=1, steady_s=10.0)
    assert one.rate("x", 100) is None
    two = View(now_ms=1, steady_s=12.0, memory=one.memory)
    assert two.rate("x", 300) == 100.0
    assert View(now_ms=1, steady_s=14.0, memory=one.memory).rate("x", 5) is None


def look_of(name: str, function: object) -> ModuleType:
    spec = Spec(name, name, "about", "source")
    return cast(ModuleType, SimpleNamespace(SPEC=spec, EVERY_S=5, look=function))


async def test_a_look_that_fails_is_said_once_and_stops_no_other() -> None:
    broken = [True]

    def failing(view: View) -> Reading:
        if broken[0]:
            raise ValueError("no")
        return Reading(keep={"place": 1})

    def absent(view: View) -> Reading:
        raise NotHere("nothing")

    looks = Looks(
        Masker(b"k"),
        kept={},
        looks={name: look_of(name, function) for name, function in (("a", failing), ("b", absent))},
    )
    said: list[LogRecord] = []
    first, again_s = await looks.look("a", said.append)
    assert ([log.message for log in first.logs], again_s) == (["looking at a failed: ValueError: no"], 5.0)
    assert not (await looks.look("a", said.append))[0].logs
    assert looks.failures == 2
    broken[0] = False
    assert "works again" in (await looks.look("a", said.append))[0].logs[0].message
    assert looks.kept == {"a": {"place": 1}}
    nothing, again_s = await looks.look("b", said.append)
    assert (nothing, again_s) == (Reading(), 300.0)


async def test_a_look_that_hangs_holds_up_nobody() -> None:
    looks = Looks(
        Masker(b"k"),
        kept={},
        looks={
            "slow": look_of("slow", lambda view: time.sleep(30)),
            "fast": look_of("fast", lambda view: Reading()),
        },
    )
    slow = asyncio.create_task(looks.look("slow", print))
    assert (await looks.look("fast", print))[0] == Reading()
    slow.cancel()


def test_a_wrong_setting_is_named() -> None:
    with pytest.raises(ValueError, match="no look 'nosuch'"):
        Looks(Masker(b"k"), kept={}, settings={"nosuch": {}})


def test_a_restart_names_who_was_signed_in_before_it(tmp_path: Path) -> None:
    def seen(kept: dict[str, object], boot_id: str, people: list[str]) -> Reading:
        put(tmp_path, **{"proc__sys__kernel__random__boot_id": boot_id})
        return start.look(View(now_ms=1, steady_s=1.0, root=tmp_path, kept=kept, signed_in=lambda: people))

    first = seen({}, "one", [])
    assert first.snapshots[0].signed_in == [] and first.keep is not None
    second = seen(first.keep, "one", ["anna from 10.0.0.7 since 2026-11-23 08:50"])
    assert second.snapshots[0].text == first.snapshots[0].text and second.keep is not None
    assert seen(second.keep, "one", ["anna from 10.0.0.7 since 2026-11-23 08:50"]).keep is None
    third = seen(second.keep, "two", [])
    assert third.snapshots[0].signed_in == ["anna from 10.0.0.7 since 2026-11-23 08:50"]
    assert third.keep is not None and third.keep["now"] == []
