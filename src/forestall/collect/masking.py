"""Secrets are masked before they leave the machine: in configuration text, and what is plain in log lines.

A masked value becomes `‹secret 3f9a1c›`: a keyed hash, so that a changed secret is still a visible change
while nobody without this machine's key can try candidates. Too much is masked rather than too little.
One that every attacker tries first because vendors ship it is `‹secret 3f9a1c default›`: rules can tell it.
"""

import hashlib
import hmac
import re

MARK_HEX = 6
# Communities and passwords that vendors ship or every scanner tries first. Saying that a secret is one of
# them is what makes "no default community" a rule that can be judged (docs/decisions/0013-configurations.md).
_WELL_KNOWN = (
    "public private community snmp snmpd snmptrap cisco cisco123 ilmi cable-docsis rmon rmon_admin manager "
    "monitor security system write read openview tivoli netman hp_admin internal c0nfig admin administrator "
    "admin123 password passw0rd default changeme letmein root toor user guest ubnt vyos vyatta calvin "
    "ncadmin netgear1 adtran arris zyad1234 1234 12345 123456 12345678 superuser netscreen fortinet juniper "
    "juniper123 mikrotik opnsense pfsense synology raspberry arista extreme enable secret test"
)
WELL_KNOWN = frozenset(_WELL_KNOWN.split())
WORDS_OF_NAMES = (
    r"passwor[dt]|passwd|passphrase|passcode|passwort|secret|token|credential|community|psk|pwd|bindpw|rootpw"
    r"|requirepass|masterauth|(?:api|access|private|auth|account|encryption|encrypt|signing|session|shared"
    r"|license|master|deploy|service|webhook|storage)[_-]?key|pre-?shared-?key"
)
_MORE = r"[\w.-]{0,48}"  # bounded, so that a long word costs no more than its length
NAME = rf"{_MORE}(?:{WORDS_OF_NAMES}|(?<![a-z])pass(?![a-z])){_MORE}"
_NAME_ALONE = rf"(?:{_MORE}(?:{WORDS_OF_NAMES}){_MORE}|pass)"  # not proxy_pass, try_first_pass
QUOTED = r"\"(?:[^\"\\\n]|\\.){0,4096}\"|'(?:[^'\\\n]|\\.){0,4096}'"
_EQUALS = r"[\"']?[ \t]*(?:=>|:=|[:=])[ \t]*"
_CLOSES = r"(?=[ \t]*[,;)\]}]*[ \t]*(?:[#;][^\n]*)?$)"
# Each pattern has a group `value`; what stands around it stays. In order: the first wins.
_BLOCKS = (
    # -----BEGIN … PRIVATE KEY-----, to its end or the end of the text
    r"(?s)(?P<before>-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----(?:\r?\n|\\n))(?P<value>.*?)"
    r"(?=(?:\r?\n|\\n)[ \t]*-----END [A-Z0-9 ]*PRIVATE KEY|\Z)",
    # name: | and an indented block (YAML)
    rf"(?im)(?P<before>^(?P<indent>[ \t]*)(?:- )?[\"']?{NAME}[\"']?[ \t]*:[ \t]*[|>][+-]?\d*[ \t]*\n)"
    r"(?P<value>(?:(?P=indent)[ \t]+\S[^\n]*(?:\n|\Z)|[ \t]*\n)+)",
    # name: and a list of scalars (YAML); name: [ … ]
    rf"(?im)(?P<before>^[ \t]*{NAME}[ \t]*:[ \t]*\n)(?P<value>(?:[ \t]*-[ \t]+[^\n:]+(?:\n|\Z))+)",
    rf"(?i)(?P<before>(?<![\w.-])[\"']?{NAME}{_EQUALS}\[)(?P<value>[^\]]{{1,10000}})(?=\])",
    # <name>value</name>
    rf"(?i)(?P<before><{NAME}(?:[ \t][^<>\n]*)?>)(?P<value>[^<]+)(?=</)",
)
_LINES = (
    # Authorization: anything
    rf"(?im)(?P<before>\b(?:proxy-)?authorization{_EQUALS}[\"']?"
    r"(?:(?:basic|bearer|token|digest|negotiate)[ ]+)?)"
    r"(?P<value>[^\s\"',;]+)",
    # name = value on a line of its own, name: value; to the end of the line
    rf"(?im)(?P<before>^[ \t]*(?:[#;!]+[ \t]*)?(?:export[ ]+|set[ ]+|env[ ]+|- )?[\"'$]*{NAME}{_EQUALS})"
    rf"(?P<value>(?:{QUOTED}){_CLOSES}|[^\s\"'{{\[|>&*][^\n]*?(?=[ \t]+[#;]|[ \t]*,?[ \t]*$)|[\"'][^\n]+)",
)
_ANYWHERE = (
    # scheme://user:value@host, scheme://token@host
    r"(?i)(?P<before>[a-z][a-z0-9+.-]{0,20}://[^\s/:@\"']{0,100}:)(?P<value>[^\s/\"'<>]{1,300})(?=@)",
    r"(?i)(?P<before>[a-z][a-z0-9+.-]{0,20}://)(?P<value>[a-z0-9_-]{20,300})(?=@)",
    # Bearer value, Basic value
    r"(?i)(?P<before>\b(?:bearer|basic)[ ]+)(?=[^\s\"']*[0-9=+/])(?P<value>[a-z0-9._~+/=-]{8,})",
    # … name=value … inside a line, "name": "value"
    rf"(?im)(?P<before>(?:^|[\s{{,;(\"'?&=:|<]){NAME}[\"']?[ \t]?(?:=>|[:=])[ \t]?)"
    rf"(?P<value>{QUOTED}|[^\s\"',;&)}}\[{{][^\s\"';&]*)",
    # /name:value and --name:value, as programs on Windows are told
    rf"(?im)(?P<before>(?:^|[\s\"'])(?:/|--?){NAME}[:=])(?P<value>{QUOTED}|[^\s\"',;&)]+)",
    # define("name", "value")
    rf"(?i)(?P<before>[\"']{NAME}[\"'][ \t]*,[ \t]*)(?P<value>{QUOTED})",
    # curl -u user:value, mysql -pvalue
    r"(?m)(?P<before>(?:^|\s)(?:-u|--user|--proxy-user)[ =]?[\"']?[^\s:\"']+:)(?P<value>[^\s\"']+)",
    r"(?m)(?P<before>\b(?:mysql\w*|mariadb[\w-]*|sshpass)\b[^\n|;&]{0,500}?[ \t]-p[ \t]?)"
    r"(?P<value>[^\s-]\S*)",
    # known by their shape: AWS, GitHub, GitLab, Slack, Google, Stripe, SendGrid, JWT, Telegram
    r"(?P<before>)(?P<value>\b(?:AKIA|ASIA)[A-Z0-9]{16}\b)",
    r"(?P<before>)(?P<value>\b(?:gh[pousr]|github_pat|xox[abeprs]|xapp|glpat|npm|sk_live|rk_live|dop_v1)"
    r"[_-][A-Za-z0-9_-]{16,})",
    r"(?P<before>)(?P<value>\bAIza[A-Za-z0-9_-]{35})",
    r"(?P<before>)(?P<value>\bSG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,})",
    r"(?P<before>)(?P<value>\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*)",
    r"(?P<before>\bbot)(?P<value>\d{8,10}:[A-Za-z0-9_-]{35}\b)",
    r"(?P<before>hooks\.slack\.com/services/)(?P<value>[A-Za-z0-9/]{20,})",
    # hashes: crypt(5) $6$salt$hash, LDAP {SSHA}…, MySQL *…
    r"(?P<before>)(?P<value>\$(?:1|2[abxy]?|5|6|7|y|gy|sha1|apr1|argon2\w*|pbkdf2[\w-]*)\$[^\s:\"',]{8,})",
    r"(?P<before>\{(?:S?SHA\d*|S?MD5|CRYPT|PBKDF2[\w-]*)\})(?P<value>[A-Za-z0-9+/=$.]{8,})",
    r"(?P<before>)(?P<value>\*[0-9A-F]{40}\b)",
)
KINDS = (
    r"(?:(?:\d{1,2}|sha\d*|md5|sha-\d+|aes|des|3des|encrypted|hashed|plain|cleartext|ascii|hex|ro|rw|0x|enc"
    r"|read|write|readonly|readwrite|hash|cipher|ciphertext|plaintext|simple|local|remote|auth-pass|manager|operator)"
    r"[ \t]+){0,4}"
)
_SPACED = (
    # name value, as routers and daemons write it; in prose after a # only when the name comes first
    rf"(?im)(?P<before>^(?![ \t]*(?:#|;|//|!)+[ \t]+(?!{_NAME_ALONE}[ \t]))"
    rf"(?:[^\n]*?[ \t])??[#;!]*{_NAME_ALONE}[ \t]+{KINDS})"
    rf"(?P<value>{QUOTED}|[^\s\"',;={{}}|:\[][^\s\"',;]*)",
    # ipsec.secrets: who : PSK "value"
    r"(?im)(?P<before>^[^\n:]*:[ \t]*(?:PSK|RSA|EAP|XAUTH|ECDSA|NTLM|PIN)[ \t]+)"
    rf"(?P<value>{QUOTED}|0s\S+|0x\S+)",
)
_CONFIGURATION = tuple(map(re.compile, (*_BLOCKS, *_LINES, *_ANYWHERE, *_SPACED)))
_LOG_NAMED = rf"(?i)(?P<before>(?:^|[\s{{,;(\"'?&])[\"']?{NAME}[\"']?=)(?P<value>{QUOTED}|[^\s\"',;&)]+)"
# With pieces in small letters: a line that has none of them is not looked through for the pattern.
_LOG_PIECES = (
    ("private key",), ("authorization",), ("://",), ("://",), ("bearer", "basic"), ("=",),
    ('",', "',", '" ', "' ", '"\t', "'\t"), ("-u", "--user", "--proxy-user"), ("mysql", "mariadb", "sshpass"),
    ("akia", "asia"), ("gh", "xox", "xapp", "glpat", "npm", "k_live", "dop_v1"), ("aiza",), ("sg.",),
    ("eyj",), ("bot",), ("slack.com",), ("$",), ("{",), ("*",),
)  # fmt: skip
_LOG = tuple(
    zip(
        _LOG_PIECES,
        map(re.compile, (*_BLOCKS[:1], _LINES[0], *_ANYWHERE[:3], _LOG_NAMED, *_ANYWHERE[5:])),
        strict=True,
    )
)
_LOG_JSON = re.compile(  # "name": "value", also inside a text of JSON
    rf"(?i)(?P<before>[\"']{NAME}\\?[\"'][ ]?:[ ]?(?:\\[\"'])?)(?P<value>{QUOTED}|[^\s\"',;}}\[{{\\]+)"
)
_LOG_HINT = re.compile(
    r"://|[Bb]earer|[Bb]asic |BEARER|uthorization|UTHORIZATION|PRIVATE KEY|AKIA|ASIA|AIza|SG\.|eyJ|gh[pousr]_"
    r"|github_pat|xox|xapp|glpat|npm_|k_live|dop_v1|bot\d|slack\.com|\$\w+\$|\{[SCPM]\w+\}|\*[0-9A-F]{40}| -u"
    r"|--user|--proxy-user| -p|[\w.-]=\S"
)
_HARMLESS_WORDS = (
    "yes no true false on off none null nil prompt prohibit-password without-password ask required "
    "requisite sufficient optional include substack files compat systemd sss ldap nis winbind db dns "
    "md5 0 1 enabled disabled default auto empty set unset locked unknown ignore"
)
_HARMLESS = frozenset(_HARMLESS_WORDS.split())
_REFERENCE = re.compile(
    r"\$\{[^}\s]*\}|\$[A-Z_][A-Z0-9_]*|\$\([^)]*\)|\{\{[^}]*\}\}|%[({]\w+[)}]s?|<[\w -]+>|\*+|\.{3}|x{3,}"
    r"|/(?:etc|var|usr|run|home|opt|root|srv|tmp|dev|proc|sys|lib|bin|sbin|mnt|data|snap|boot)(?:/[\w./@%+-]*)?"
    r"|pam_\w+\.so.*"
)
_MARKED = re.compile(r"‹secret [0-9a-f]+(?: default)?›")


class Masker:
    """Masks with a key of the machine's own (any bytes)."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def mask(self, text: str) -> str:
        """Configuration text with every secret replaced by its mark."""
        for pattern in _CONFIGURATION:
            text = pattern.sub(self._replace, text)
        return text

    def mask_line(self, text: str) -> str:
        """A log line without secrets that are plain to see; prose is left as it is."""
        if '":' in text or "':" in text or '" :' in text:
            text = _LOG_JSON.sub(self._replace, text)
        if not _LOG_HINT.search(text):
            return text
        small = text.lower()
        for pieces, pattern in _LOG:
            if any(piece in small for piece in pieces):
                text = pattern.sub(self._replace, text)
        return text

    def replace(self, pattern: re.Pattern[str], text: str) -> str:
        """What the group `value` of a pattern finds is masked."""
        return pattern.sub(self._replace, text)

    def _replace(self, found: re.Match[str]) -> str:
        value = found["value"]
        end = "\n" if value.endswith("\n") else ""
        quote = value[0] if value[:1] in {'"', "'"} and len(value) > 1 and value[-1] == value[0] else ""
        bare = value.strip("\"'") if quote else value.strip()
        word = bare.lower().rstrip(",;").partition(" ")[0].strip()
        if not bare or word in _HARMLESS or "‹secret" in value or _REFERENCE.fullmatch(bare.rstrip(",;")):
            return found[0]
        start, stop = found.start("value") - found.start(), found.end("value") - found.start()
        return found[0][:start] + quote + self.mark(bare) + quote + end + found[0][stop:]

    def mark(self, secret: str) -> str:
        """The mark that stands for a secret."""
        if _MARKED.fullmatch(secret):
            return secret
        digest = hmac.new(self._key, secret.encode(errors="replace"), hashlib.sha256).hexdigest()
        default = " default" if secret.lower() in WELL_KNOWN else ""
        return f"‹secret {digest[:MARK_HEX]}{default}›"
