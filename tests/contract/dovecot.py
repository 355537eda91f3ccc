"""A real IMAP server: Debian's dovecot with a configuration of its own, on a free port of the loopback.

Started by root it serves mailboxes as `nobody`, else everything runs as who started it.
"""

import grp
import imaplib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from contract.daemons import Certified, accepts, free_port, wait_until

USER, PASSWORD = "support", "open-sesame-77"
SETTINGS = """
base_dir = {root}/run
state_dir = {root}/state
log_path = {root}/log
protocols = imap
listen = 127.0.0.1
ssl = {ssl}
{certificate}
disable_plaintext_auth = no
auth_mechanisms = plain
mail_location = maildir:{root}/mail/%u
mail_uid = {user}
mail_gid = {group}
first_valid_uid = {uid}
first_valid_gid = {gid}
default_internal_user = {internal}
default_internal_group = {internal_group}
default_login_user = {login}
mail_max_userip_connections = 20
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid={user} gid={group} home={root}/mail/%u
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {port}
  }}
  inet_listener imaps {{
    port = {tls_port}
    ssl = yes
  }}
}}
auth_failure_delay = 0
service anvil {{
  chroot =
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service stats {{
  chroot =
}}
"""


class Dovecot:
    """A server with one mailbox (USER, PASSWORD): INBOX, and what is made in it."""

    def __init__(self, root: Path, certified: Certified | None) -> None:
        self.root = root
        self.port, self.tls_port = free_port(), free_port() if certified else 0
        self.process: subprocess.Popen[bytes] | None = None
        me = pwd.getpwuid(os.getuid())
        owner = pwd.getpwnam("nobody") if os.getuid() == 0 else me
        service = ("dovecot", "dovecot", "dovenull") if os.getuid() == 0 else (me.pw_name,) * 3
        group = _group(owner.pw_gid)
        certificate = ""
        self.certificate = certified.certificate if certified else None
        if certified:
            certificate = f"ssl_cert = <{certified.certificate}\nssl_key = <{certified.key}"
        (root / "dovecot.conf").write_text(
            SETTINGS.format(
                root=root, port=self.port, tls_port=self.tls_port, ssl="yes" if certified else "no",
                certificate=certificate, user=owner.pw_name, group=group, uid=owner.pw_uid, gid=owner.pw_gid,
                internal=service[0], internal_group=service[1] if os.getuid() == 0 else group,
                login=service[2], password=PASSWORD,
            )
        )  # fmt: skip
        for name in ("mail", "run", "state"):
            (root / name).mkdir()
            os.chown(root / name, owner.pw_uid if name == "mail" else -1, -1)

    def start(self) -> None:
        """Until it accepts connections."""
        program = shutil.which("dovecot", path="/usr/sbin:/usr/bin") or "dovecot"
        self.process = subprocess.Popen(
            [program, "-F", "-c", str(self.root / "dovecot.conf")],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        wait_until(lambda: accepts(self.port), what="dovecot", process=self.process)

    def kill(self) -> None:
        """At once, with its children: what was being said is cut off in the middle."""
        if self.process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate(timeout=60)
        self.process = None

    @contextmanager
    def box(self, folder: str = "INBOX") -> Iterator[imaplib.IMAP4]:
        """The mailbox as a person has it open in another program."""
        with imaplib.IMAP4("127.0.0.1", self.port, timeout=30) as box:
            box.login(USER, PASSWORD)
            box.select(folder)
            yield box

    def put(self, *messages: bytes, folder: str = "INBOX") -> None:
        """Messages that arrive."""
        with self.box() as box:
            for message in messages:
                said, _ = box.append(folder, None, None, message)
                assert said == "OK", said

    def count(self, folder: str = "INBOX", what: str = "ALL") -> int:
        """How many messages a search finds in a folder; 0 when there is none of the name."""
        with imaplib.IMAP4("127.0.0.1", self.port, timeout=30) as box:
            box.login(USER, PASSWORD)
            if box.select(folder, readonly=True)[0] != "OK":
                return 0
            return len(box.search(None, what)[1][0].split())


def _group(number: int) -> str:
    return grp.getgrgid(number).gr_name


@contextmanager
def dovecot(certified: Certified | None = None) -> Iterator[Dovecot]:
    """A server that accepts connections; ended afterwards, and everything of it removed."""
    root = Path(tempfile.mkdtemp(prefix="forestall-dovecot-"))
    root.chmod(0o755)
    server = Dovecot(root, certified)
    try:
        server.start()
        yield server
    finally:
        server.kill()
        shutil.rmtree(root, ignore_errors=True)
