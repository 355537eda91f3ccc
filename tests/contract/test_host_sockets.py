"""What listens, seen on real sockets; which ports the system gives away is what the look is told."""

import socket
from pathlib import Path

from forestall.collect.host.everywhere import ports as looks_at_ports
from forestall.collect.viewing import View


def view(root: Path) -> View:
    return View(now_ms=1, steady_s=1.0, root=root)


def test_a_listening_port_is_told_when_it_stays_and_gone_at_once(tmp_path: Path) -> None:
    def ports(looking: View) -> set[int]:
        text = next(one.text for one in looks_at_ports.look(looking).snapshots if one.kind == "ports")
        return {int(line.split()[1].rpartition(":")[2]) for line in text.splitlines()}

    given_away = tmp_path / "proc/sys/net/ipv4/ip_local_port_range"
    given_away.parent.mkdir(parents=True)
    given_away.write_text("1\t2\n")
    looking = view(tmp_path)
    ports(looking)
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_server(("0.0.0.0", 0)) as wide:
        port, wide_port = server.getsockname()[1], wide.getsockname()[1]
        assert port not in ports(looking)
        assert {port, wide_port} <= ports(looking)
        assert port in ports(view(tmp_path))  # later looks are compared with the first
        given_away.write_text(f"{min(port, wide_port)}\t65535\n")
        assert port not in ports(view(tmp_path)) and wide_port in ports(view(tmp_path))
    assert not {port, wide_port} & ports(looking)
