"""Secrets in log lines as devices and programs send them: a command that was typed, a configuration line.

`mask_line` (collect.masking) leaves prose alone, so it knows `password=x` and not `snmp-server community x`.
Devices log both. What follows a sign that a command is quoted is masked like a configuration; elsewhere only
what is written as commands are. Used where lines are received (intake.covering), which asks for the few lines
of a batch that hold one of WORDS and match SUSPECT.
"""

import re

from forestall.collect.masking import KINDS, NAME, QUOTED, WORDS_OF_NAMES, Masker

LINE_MAX_CHARS = 64_000  # what is longer is masked in pieces: patterns look at bounded stretches
_VALUE = rf"(?P<value>{QUOTED}|[^\s\"',;={{}}|:\[\]()]{{1,400}})"
# What people write of passwords; as the value of one it would be a poor secret.
_PROSE = (
    "for is was has have had not from of to in on by at with and or the a an as via this that it its if when "
    "expired expires expiring expiry changed change changes failed failure fails incorrect invalid wrong "
    "mismatch mismatched missing required requires reset set updated update accepted rejected denied "
    "authentication auth check policy length aging aged age attempt attempts error errors successfully "
    "success will must can cannot could does did been removed deleted added created unchanged verification "
    "value string name names manager store service mode type size file database session request response "
    "index entry entries list table exchange agreement using used found unknown rotation rotated generated"
)
_NO_PROSE = rf"(?!(?:{'|'.join(_PROSE.split())})\b)"
_TYPED = re.compile(
    r"(?i)logged command:|executed (?:the )?[\"']|\bcommands? (?:is )?[\"']|command is |\bcmd(?:line)?[=:]"
    r"|\bcommand[=:]|,CONFIG,|_READ_LINE:|configure terminal ;|SHELL_CMD|AUDIT_"
)
# What stands before a secret in a command; where none of the pieces is in the line it is not looked for.
_HEADS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("snmp",), rf"snmp(?:-server|-agent)? +community(?: +(?:index|add|set))*(?: +{KINDS})?"),
    (
        ("snmp-server host",),
        r"snmp-server +host +\S+(?: +vrf +\S+)?(?: +(?:informs|traps|trap))?"
        r"(?: +version +(?:1|2c|3)(?: +(?:no)?auth| +priv)?)?(?: +community)? +",
    ),
    (
        ("auth ", "authentication-mode"),
        rf"snmp(?:-server|-agent)\b[^\n]{{0,300}}? +(?:auth|authentication-mode) +\S+ +{KINDS}",
    ),
    (
        ("priv ", "privacy-mode"),
        r"snmp(?:-server|-agent)\b[^\n]{0,300}? +(?:priv|privacy-mode) +\S+ +(?:128 +|192 +|256 +)?"
        rf"{KINDS}",
    ),
    (
        ("user",),
        rf"\b(?:username|user|user-name|local-user|super-user) +\S+ +(?:(?:privilege|level|role|group|class"
        rf"|algorithm-type) +\S+ +)*(?:password|secret) +{KINDS}",
    ),
    (
        ("enable",),
        rf"\benable +(?:algorithm-type +\S+ +)?(?:secret|password) +(?:level +\d+ +)?{KINDS}",
    ),
    (
        ("-server",),
        rf"\b(?:radius|tacacs|ldap)-server\b[^\n]{{0,200}}? (?:key|secret|rootdn-password) +{KINDS}",
    ),
    (("neighbo",), rf"\bneighbou?r +\S+ +password +{KINDS}"),
    (("isakmp",), rf"\bisakmp +key +{KINDS}"),
    (
        ("standby", "vrrp", "glbp"),
        rf"\b(?:standby|vrrp|glbp) +\d+ +authentication +(?:md5 +)?(?:key-string +|text +)?{KINDS}",
    ),
    (("digest-key",), rf"\bmessage-digest-key +\d+ +md5 +{KINDS}"),
    (("authentication-key",), rf"\bntp +authentication-key +\d+ +\S+ +{KINDS}"),
    (("ppp",), rf"\bppp +(?:chap|pap)\b[^\n]{{0,100}}? password +{KINDS}"),
    (
        ("key", "psk", "pass", "secret", "string"),
        rf"\b(?:key-string|key-hash|pre-?shared-(?:key|secret)|preshared-key|psk|psksecret|wpa-psk"
        rf"|wpa-passphrase|passphrase|authentication-key|auth-key|shared-secret|shared-key"
        rf"|encrypted-password|plaintext-password|plain-text-password(?:-value)?|authentication-password"
        rf"|auth-password|privacy-password|priv-password|bind-password|admin-password|community-string"
        rf"|trap-community|auth-pass|server-key) +{KINDS}",
    ),
    (("snmp community",), r"\bsnmp community\b[^\n]{0,200}? name="),
    # [path … name] "before" -> "after" (Junos)
    (("->",), rf"\[[^\]\n]{{0,300}}\b{NAME}\] +"),
    (("->",), rf"\[[^\]\n]{{0,300}}\b{NAME}\] +\S[^\n]{{0,300}}? -> +"),
)
_DEVICE = tuple(
    (pieces, re.compile(rf"(?i)(?P<before>{head}){_NO_PROSE}{_VALUE}")) for pieces, head in _HEADS
)
_BRACKETS = re.compile(  # attribute[value], attribute[old->new] (FortiOS)
    rf"(?i)(?P<before>\b(?:{NAME}|psksecret)\[)(?P<value>[^\]\n]{{1,2000}})(?=\])"
)
_TYPED_KEY = re.compile(
    rf"(?i)(?P<before>(?:^|;)[\s!]*(?:server-)?key +{KINDS}){_VALUE}"
)  # after a sign alone

# For the look at a whole batch. Small letters; a line without any holds no secret known here.
WORDS = (
    "passw", "passphr", "passcode", "pass=", "pass:", 'pass"', "pass_", "pass-", "secret", "token",
    "credential", "communit", "psk", "pwd", "bindpw", "rootpw", "requirepass", "masterauth", "key",
    "authoriz", "bearer", "basic ", "://", "akia", "asia", "aiza", "eyj", "ghp_", "gho_", "ghu_",
    "ghs_", "ghr_", "xox", "xapp", "glpat", "npm_", "k_live", "dop_v1", "slack.com", ":aa", "$1$",
    "$2$", "$2a", "$2b", "$2x", "$2y", "$5$", "$6$", "$7$", "$y$", "$gy", "$sha1", "$apr1", "$argon2",
    "$pbkdf2", "{ssha", "{sha", "{md5", "{smd5", "{crypt", "{pbkdf", "mysql", "mariadb", "curl",
    "--user", "--proxy-user", "snmp-", "usm-", "standby", "vrrp", "glbp", "authentication-mode",
    "github_pat",
)  # fmt: skip
# RE2, without regard to case: which of the lines with a word are worth reading one by one.
SUSPECT = "|".join(
    (
        rf"(?:{WORDS_OF_NAMES}|\bpass|_pass)[\w.-]*\\?[\"']?\s?(?:=>|:=|[:=])\s?[^\s]",
        rf"(?:{WORDS_OF_NAMES}|\bpass|_pass)[\w.-]*[\"']?[,\[]",
        r"(?:/|--?)[\w.-]*pass[\w.-]*[:=]",
        r"(?:bearer|basic) +\S{8}",
        r"authorization",
        r"://[^\s/:@\"']*:[^\s/\"'<>]+@|://[a-z0-9_-]{20,}@",
        r"private key",
        r"\b(?:akia|asia)[a-z0-9]{16}|aiza[\w-]{35}|\bsg\.[\w-]{16}|\beyj[\w-]{8,}\.",
        r"\b(?:gh[pousr]|github_pat|xox[abeprs]|xapp|glpat|npm|sk_live|rk_live|dop_v1)[_-][\w-]{16}",
        r"bot\d{8,10}:|hooks\.slack\.com",
        r"\$(?:1|2[abxy]?|5|6|7|y|gy|sha1|apr1|argon2\w*|pbkdf2[\w-]*)\$\S{8}|\{\w+\}[a-z0-9+/=$.]{8}",
        r"\b(?:mysql\w*|mariadb[\w-]*|sshpass)\b.* -p|(?:\s-u|--user|--proxy-user)[ =]",
        r"logged command|executed|command|cmd|,config,|_read_line|configure terminal|shell_cmd|audit_|->",
        r"snmp|usm-user|(?:username|user|user-name|local-user|super-user) +\S+ .*(?:password|secret)",
        r"enable +(?:\S+ +\S+ +)?(?:secret|password)|(?:radius|tacacs|ldap)-server",
        r"(?:key-string|key-hash|pre-?shared-key|psk|psksecret|passphrase|[\w]+-key|isakmp key|shared-secret"
        r"|-password|neighbou?r \S+ password|ppp (?:chap|pap)|plain-text-password\S*|auth-pass"
        r"|community-string) +\S|-digest-key|standby|vrrp|glbp",
    )
)


def mask_said(masker: Masker, text: str) -> str:
    """A log line with every secret replaced by its mark; prose is left as it is."""
    if len(text) > LINE_MAX_CHARS:
        starts = range(0, len(text), LINE_MAX_CHARS)
        return "".join(mask_said(masker, text[at : at + LINE_MAX_CHARS]) for at in starts)
    typed = _TYPED.search(text)
    if typed is not None:
        text = text[: typed.end()] + masker.replace(_TYPED_KEY, masker.mask(text[typed.end() :]))
    text = masker.mask_line(text)
    small = text.lower()
    for pieces, pattern in _DEVICE:
        if any(piece in small for piece in pieces):
            text = masker.replace(pattern, text)
    return masker.replace(_BRACKETS, text) if "[" in text else text
