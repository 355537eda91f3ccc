"""Real daemons on loopback for the tests: nginx, PostgreSQL; and certificates of an authority of our own.

Each is a context manager that ends what it started. They run as the user of the tests, except PostgreSQL,
which refuses root and then runs as `postgres`.
"""

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import psycopg
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from psycopg import sql

START_S = 90.0


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    """A port on 127.0.0.1 that nobody uses at this moment."""
    with socket.socket(socket.AF_INET, kind) as chosen:
        chosen.bind(("127.0.0.1", 0))
        return int(chosen.getsockname()[1])


def accepts(port: int) -> bool:
    """Whether somebody accepts connections there."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def wait_until(happened: Callable[[], bool], *, what: str, process: subprocess.Popen[bytes]) -> None:
    """Poll until it happened. Raises AssertionError with the process's words when it ends or hangs."""
    deadline = time.monotonic() + START_S
    while not happened():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            said = process.communicate()[0] or b""
            raise AssertionError(f"{what} did not start: {said.decode(errors='replace')[-2000:]}")
        time.sleep(0.02)


@contextmanager
def running(
    command: Sequence[str], *, port: int, user: str | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A daemon in the foreground that accepts connections on `port`; ended afterwards."""
    group = pwd.getpwnam(user).pw_gid if user else None
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, user=user, group=group, cwd="/"
    )
    try:
        wait_until(lambda: accepts(port), what=command[0], process=process)
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)  # for PostgreSQL: without waiting for its clients
            try:
                process.communicate(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()  # a child of its own may still hold its output open
                with suppress(subprocess.TimeoutExpired):
                    process.communicate(timeout=60)


@dataclass(frozen=True)
class Certified:
    """A certificate with its key, as files (PEM)."""

    certificate: Path
    key: Path

    @property
    def pem(self) -> str:
        return self.certificate.read_text()


def make_certificate(
    folder: Path,
    name: str,
    *,
    names: Sequence[str] = ("127.0.0.1", "localhost"),
    issuer: Certified | None = None,
    valid_from: datetime | None = None,
    valid_until: datetime | None = None,
    authority: bool = False,
) -> Certified:
    """A certificate for `names` (DNS names or addresses) in `folder`/`name`.pem.

    Without `issuer` it is signed by itself; with `authority` it may sign others. Valid from yesterday for
    90 days unless told otherwise.
    """
    now = datetime.now(UTC)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signer, signer_name = key, subject
    if issuer is not None:
        loaded = serialization.load_pem_private_key(issuer.key.read_bytes(), None)
        assert isinstance(loaded, ec.EllipticCurvePrivateKey)
        signer = loaded
        signer_name = x509.load_pem_x509_certificate(issuer.certificate.read_bytes()).subject
    said: list[x509.GeneralName] = []
    for text in names:
        try:
            said.append(x509.IPAddress(ip_address(text)))
        except ValueError:
            said.append(x509.DNSName(text))
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(signer_name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(valid_from or now - timedelta(days=1))
        .not_valid_after(valid_until or now + timedelta(days=90))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(said), critical=False)
    )
    folder.mkdir(parents=True, exist_ok=True)
    made = Certified(folder / f"{name}.pem", folder / f"{name}.key")
    made.certificate.write_bytes(
        builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    )
    made.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    made.key.chmod(0o600)
    return made


@contextmanager
def nginx(servers: str, *, port: int, reloads: bool = False) -> Iterator[subprocess.Popen[bytes]]:
    """nginx with these `server { … }` blocks, one of which listens on `port`. `reloads`: with a master and a
    worker, so that SIGHUP makes it read its configuration again."""
    with tempfile.TemporaryDirectory(prefix="forestall-nginx-") as folder:
        conf = Path(folder) / "nginx.conf"
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        temporary = "\n".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
        processes = (
            f"{'user root; ' * (os.geteuid() == 0)}worker_processes 1" if reloads else "master_process off"
        )
        conf.write_text(
            f"daemon off; {processes}; pid {folder}/nginx.pid; error_log stderr warn;\n"
            f"events {{ worker_connections 64; }}\nhttp {{ access_log off; {temporary}\n{servers}\n}}\n"
        )
        command = [shutil.which("nginx", path="/usr/sbin:/usr/bin") or "nginx", "-c", str(conf), "-p", folder]
        command += ["-e", f"{folder}/early.log"]
        with running(command, port=port) as process:
            yield process


@dataclass(frozen=True)
class Postgres:
    """A server of our own; `user` is its superuser."""

    port: int
    user: str
    password: str
    socket_folder: Path
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        """As DATABASE_URL has it."""
        return f"postgresql://{self.user}:{self.password}@127.0.0.1:{self.port}/postgres"

    def owned(self, database: str) -> str:
        """DATABASE_URL of a new database whose owner, of the same name, is no superuser: as README asks."""
        with self._signed_in() as connection:
            for statement in ("CREATE ROLE {} LOGIN CREATEDB PASSWORD {}", "CREATE DATABASE {0} OWNER {0}"):
                name, word = sql.Identifier(database), sql.Literal(self.password)
                connection.execute(sql.SQL(statement).format(name, word))
        return f"postgresql://{database}:{self.password}@127.0.0.1:{self.port}/{database}"

    def _signed_in(self) -> "psycopg.Connection[tuple[Any, ...]]":
        until = time.monotonic() + START_S
        while True:
            try:
                return psycopg.connect(self.url, autocommit=True)
            except psycopg.OperationalError:  # it listens a little before it answers
                if time.monotonic() > until:
                    raise
                time.sleep(0.2)


@contextmanager
def postgres() -> Iterator[Postgres]:
    """PostgreSQL with a data directory of its own, reachable over TCP with a password."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    assert programs, "PostgreSQL is not installed: sh tests/install_daemons.sh"
    user = "postgres" if os.geteuid() == 0 else None
    password, port = secrets.token_hex(8), free_port()
    with tempfile.TemporaryDirectory(prefix="forestall-postgres-") as name:
        folder = Path(name)
        secret = folder / "password"
        secret.write_text(password)
        if user:
            owner = pwd.getpwnam(user)
            for path in (folder, secret):
                os.chown(path, owner.pw_uid, owner.pw_gid)
        data = folder / "data"
        subprocess.run(
            [
                *(programs[-1] / "initdb", "-D", data, "-U", "postgres", f"--pwfile={secret}", "--no-sync"),
                *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"),
            ],
            check=True,
            capture_output=True,
            user=user,
            group=user,
            cwd="/",
        )
        quick = [
            "fsync=off",
            "full_page_writes=off",
            "shared_buffers=16MB",
            f"unix_socket_directories={folder}",
        ]
        options = [word for setting in (*quick, "listen_addresses=127.0.0.1") for word in ("-c", setting)]
        command = [str(programs[-1] / "postgres"), "-D", str(data), "-p", str(port), *options]
        with running(command, port=port, user=user) as process:
            yield Postgres(port, "postgres", password, folder, process)


@dataclass
class MariaDb:
    """A server for everybody who reaches its port, as root without a password."""

    port: int
    process: subprocess.Popen[bytes]

    def words(self) -> list[str]:
        """How a client's program reaches it."""
        return ["--no-defaults", "-h", "127.0.0.1", "-P", str(self.port), "-u", "root"]


@contextmanager
def mariadb() -> Iterator[MariaDb]:
    """MariaDB with a data directory of its own."""
    assert shutil.which("mariadbd"), "MariaDB is not installed: sh tests/install_daemons.sh"
    user, port = "nobody" if os.geteuid() == 0 else None, free_port()
    with tempfile.TemporaryDirectory(prefix="forestall-mariadb-") as name:
        folder = Path(name)
        if user:
            os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
        data = folder / "data"
        install = [
            "mariadb-install-db",
            "--no-defaults",
            f"--datadir={data}",
            "--skip-test-db",
            "--basedir=/usr",
        ]
        made = subprocess.run(install, check=False, capture_output=True, text=True, user=user, cwd="/")
        assert not made.returncode, made.stdout[-2_000:] + made.stderr[-2_000:]
        command = [
            *("mariadbd", "--no-defaults", f"--datadir={data}", f"--socket={folder / 's'}"),
            *("--bind-address=127.0.0.1", f"--port={port}", "--skip-grant-tables", "--skip-name-resolve"),
            *("--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=16M", "--skip-log-bin"),
            *("--performance-schema=OFF", f"--pid-file={folder / 'pid'}"),
        ]
        with running(command, port=port, user=user) as process:
            yield MariaDb(port, process)
            process.terminate()
            process.wait(30)


class Renamed:
    """Between a client and a server: the server's first words name another version, of the same length."""

    def __init__(self, port: int, *, old: bytes, new: bytes) -> None:
        assert len(old) == len(new)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._to, self._old, self._new = port, old, new
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._to))
                for one, other in ((client, server), (server, client)):
                    threading.Thread(target=self._pass, args=(one, other, one is server), daemon=True).start()

    def _pass(self, one: socket.socket, other: socket.socket, mended: bool) -> None:
        with suppress(OSError):
            while data := one.recv(65_536):
                other.sendall(data.replace(self._old, self._new) if mended else data)
            other.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """No more connections."""
        self._listener.close()
