"""A thousand seeded secrets in many syntaxes: none leaves in plain text, and what is no secret stays."""

import random
import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forestall.collect.masking import Masker

MASKER = Masker(b"key of this machine")
PLAIN = string.ascii_letters + string.digits
ODD = PLAIN + "!$%^&*()_+-=@:/.?~"

UNQUOTED = (
    "password = {}",
    "password={}",
    "  db_password: {}",
    "export DB_PASSWORD={}",
    "Environment=API_TOKEN={}",
    "mail.smtp.pass = {}",
    "auth_token => {},",
    "- secret: {}",
    "rocommunity {} default",
    "snmp-server community {} RO",
    "username admin password 7 {}",
    "enable secret 5 {}",
    "neighbor 10.0.0.1 password {}",
    "requirepass {}",
    "wpa-psk {}",
    "wpa_passphrase={}",
    "PrivateKey = {}",
    "PresharedKey = {}",
    "aws_secret_access_key = {}",
    "#password = {}",
    "machine example.org login me password {}",
    "Authorization: Bearer {}",
    "  X-Api-Key: {}",
    "0 3 * * * backup --password {} --all",
    "0 3 * * * backup --token={} --all",
    "0 3 * * * mysqldump -uroot -p{} all",
    "0 3 * * * curl -u admin:{} https://example.org/",
    "bindpw {}",
    "Server=db;Password={};User=sa",
    "<password>{}</password>",
    "passwords:\n  - {}\n  - other",
    "secret: |\n  {}\nnext: line",
    "-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----",
    "-----BEGIN OPENSSH PRIVATE KEY-----\n{}",
    "url: https://example.org/hook?token={}&x=1",
    "postgresql://app:{}@db.example.org:5432/app",
    "root:$6$saltsalt${}:19000:0:99999:7:::",
    "AccountKey={}",
)
QUOTED = (
    'password = "{}"',
    "password: '{}'",
    '{{"user": "me", "password": "{}", "port": 1}}',
    '{{"apiKey":"{}"}}',
    "'client_secret' => '{}',",
    "define('DB_PASSWORD', '{}');",
    'secret "{}";',
    '"passwords": [\n  "{}"\n]',
    '10.0.0.1 : PSK "{}"',
    '<add name="x" password="{}"/>',
    'password = "{}',
)


def secrets_of(seed: int, alphabet: str, count: int) -> list[str]:
    dice = random.Random(seed)
    return ["S" + "".join(dice.choices(alphabet, k=dice.randrange(11, 40))) + "7" for _ in range(count)]


@pytest.mark.parametrize("template", UNQUOTED)
def test_plain_secrets_are_masked(template: str) -> None:
    for secret in secrets_of(1, PLAIN, 16):
        text = f"first = line\n{template.format(secret)}\nlast = line\n"
        masked = MASKER.mask(text)
        assert secret not in masked, masked
        assert "‹secret " in masked
        assert masked.startswith("first = line\n")
        assert masked.endswith("last = line\n") or "BEGIN" in template
        assert MASKER.mask(masked) == masked


@pytest.mark.parametrize("template", QUOTED)
def test_quoted_secrets_with_odd_characters_are_masked(template: str) -> None:
    for secret in secrets_of(2, ODD, 16):
        masked = MASKER.mask(template.format(secret))
        for at in range(len(secret) - 7):
            assert secret[at : at + 8] not in masked, (secret, masked)


@pytest.mark.parametrize("template", ["password = {}", "  DB_PASSWORD: {}", "token={}"])
def test_a_value_of_odd_characters_and_blanks_is_masked_to_the_end_of_its_line(template: str) -> None:
    for secret in (
        "correct horse battery staple",
        "a,b;c#dddd",
        "/+base64/slash==",
        "$dollar$first",
        'q"uo"te12',
    ):
        masked = MASKER.mask(f"{template.format(secret)}\nuser = me\n")
        for part in re.findall(r"\w{4,}", secret):
            assert part not in masked, masked
        assert masked.endswith("user = me\n")


def test_a_thousand_secrets_in_one_file() -> None:
    dice = random.Random(3)
    secrets = secrets_of(3, PLAIN, 1000)
    text = "\n".join(dice.choice(UNQUOTED[:29]).format(secret) for secret in secrets)
    masked = MASKER.mask(text)
    assert [secret for secret in secrets if secret in masked] == []
    assert masked.count("‹secret ") >= 1000


@pytest.mark.parametrize(
    "text",
    [
        "PasswordAuthentication no",
        "PermitEmptyPasswords no",
        "PermitRootLogin prohibit-password",
        "passwd:         files systemd",
        "ssl_certificate_key /etc/ssl/private/site.key;",
        "proxy_pass http://127.0.0.1:8000;",
        "server_tokens off;",
        "password\trequisite\t\t\tpam_pwquality.so retry=3",
        "password\t[success=1 default=ignore]\tpam_unix.so obscure use_authtok try_first_pass yescrypt",
        "@include common-password\nsession optional pam_umask.so",
        "# To disable tunneled clear text passwords, change to no here!",
        "password: ${DB_PASSWORD}",
        "AuthorizedKeysFile .ssh/authorized_keys",
        "UsePAM yes",
        "secrets:\n  db:\n    file: /run/secrets/db",
        "nameserver 10.0.0.1",
        "deb http://deb.debian.org/debian bookworm main",
        "user:x:1000:1000::/home/user:/bin/bash",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert MASKER.mask(text) == text


def test_a_changed_secret_is_a_visible_change_and_another_machine_marks_it_otherwise() -> None:
    one, two = MASKER.mask("password = one1"), MASKER.mask("password = two2")
    assert one != two
    assert MASKER.mask('password = "one1"').replace('"', "") == one
    assert Masker(b"another").mask("password = one1") != one


@given(st.text(max_size=300))
def test_any_text_is_masked_once(text: str) -> None:
    masked = MASKER.mask(text)
    assert MASKER.mask(masked) == masked


@given(st.text(alphabet="ab =:\"'-_\n\t#/@passwordtoken[]{}<>|", max_size=200))
def test_masking_again_changes_nothing(text: str) -> None:
    masked = MASKER.mask(text)
    assert MASKER.mask(masked) == masked


@pytest.mark.parametrize(
    ("line", "secret"),
    [
        ("GET /login?token=abcdef123456 HTTP/1.1", "abcdef123456"),
        ("connecting to amqp://guest:hunter2222@mq:5672/", "hunter2222"),
        ("sending Authorization: Basic YWRtaW46aHVudGVyMjI=", "YWRtaW46aHVudGVyMjI="),
        ("COMMAND=/usr/bin/mysql -uroot -phunter2222 app", "hunter2222"),
        ("started with DB_PASSWORD=hunter2222", "hunter2222"),
        ("key AKIAABCDEFGHIJKLMNOP used", "AKIAABCDEFGHIJKLMNOP"),
    ],
)
def test_log_lines_lose_their_secrets(line: str, secret: str) -> None:
    masked = MASKER.mask_line(line)
    assert secret not in masked
    assert "‹secret " in masked


@pytest.mark.parametrize(
    "line",
    [
        "Failed password for root from 10.0.0.9 port 4711 ssh2",
        "pam_unix(sshd:auth): authentication failure; logname= uid=0 euid=0 tty=ssh ruser= rhost=10.0.0.9",
        "Accepted publickey for ana from 10.0.0.7 port 2 ssh2: ED25519 SHA256:abc",
        "token expired, basic authentication used, see https://example.org/a:b",
        "password changed for ana",
    ],
)
def test_log_lines_of_prose_stay(line: str) -> None:
    assert MASKER.mask_line(line) == line
