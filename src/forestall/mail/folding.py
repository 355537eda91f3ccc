"""A message without what it quotes and without its signature. Pure, and linear in the text.

The words by which mail programs begin a quotation are theirs, in the languages of their users. Packages for
this match with expressions that take minutes on a hundred kilobytes of hostile text; these look at lines.
"""

import re

LINES_MAX = 20_000
LINE_LOOKED_AT = 400
BLOCK_LINES = 8  # in which the headers of a quoted message stand together

_WROTE = re.compile(
    r"^(?:>\s?)?(?:on|am|le|el|il|op|em|w dniu|den|dnia|den)\b.{4,300}"
    r"(?:wrote|schrieb|écrit|escribió|ha scritto|schreef|escreveu|napisał\(a\)|napisał|skrev)[^:]{0,80}:\s*$",
    re.I,
)
_WROTE_END = re.compile(
    r"(?:wrote|schrieb|écrit|escribió|ha scritto|schreef|escreveu|napisał|skrev)[^:]{0,80}:\s*$", re.I
)
_WROTE_BEGIN = re.compile(r"^(?:on|am|le|el|il|op|em|w dniu|den|dnia)\b.{4,}", re.I)
_ORIGINAL = re.compile(
    r"^[-_ ]{2,}\s*(?:original message|ursprüngliche nachricht|original-nachricht|message d'origine|"
    r"message original|messaggio originale|mensaje original|oorspronkelijk bericht|mensagem original|"
    r"oprindelig meddelelse|ursprungligt meddelande|forwarded message|weitergeleitete nachricht)\s*[-_ ]{2,}",
    re.I,
)
_HEADER = re.compile(
    r"^\*?(from|sent|to|subject|date|cc|von|gesendet|datum|an|betreff|de|envoyé|date|à|objet|enviado|para|"
    r"asunto|da|inviato|a|oggetto|van|verzonden|aan|onderwerp|assunto|från|skickat|till|ämne|fra|sendt|til|"
    r"emne)\s?\*?\s?:\*?\s?\S",
    re.I,
)
_RULE = re.compile(r"^[_\-=*]{10,}\s*$")
_SIGNATURE = re.compile(
    r"^(?:--|—|__+)\s*$|^(?:sent from my|von meinem .{2,40} gesendet|gesendet mit|envoyé de mon|"
    r"enviado desde mi|inviato da|verzonden vanaf|get outlook for|outlook für)\b.{0,80}$",
    re.I,
)


def fold(text: str) -> str:
    """What its writer says in it: above the quotation, without quoted lines and signature. All of the text
    when nothing else would be left (somebody answered between the lines, or forwarded)."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")[:LINES_MAX]
    end = next((at for at in range(len(lines)) if _begins_quotation(lines, at)), len(lines))
    above = [line for line in lines[:end] if not line.startswith(">")]
    cut = next((at for at, line in enumerate(above) if at and _SIGNATURE.match(_cut(line))), len(above))
    said = _trimmed(above[:cut])
    if said:
        return said
    between = _trimmed([line for line in lines if not line.startswith(">")])
    return between or _trimmed(lines)


def _begins_quotation(lines: list[str], at: int) -> bool:
    line = _cut(lines[at]).strip()
    if not line:
        return False
    if _ORIGINAL.match(line) or _WROTE.match(line):
        return True
    following = _cut(lines[at + 1]).strip() if at + 1 < len(lines) else ""
    if _WROTE_BEGIN.match(line) and _WROTE_END.search(following) and len(line) + len(following) < 400:
        return True
    if _RULE.match(line):
        return _headers_from(lines, at + 1) >= 3
    return bool(_HEADER.match(line)) and _headers_from(lines, at) >= 3


def _headers_from(lines: list[str], at: int) -> int:
    """How many lines of a quoted message's head follow, blank ones skipped before the first."""
    while at < len(lines) and not lines[at].strip() and at < LINES_MAX:
        at += 1
        if at < len(lines) and not lines[at].strip():
            return 0
    return len(
        {
            match[1].lower()
            for line in lines[at : at + BLOCK_LINES]
            if (match := _HEADER.match(_cut(line).strip()))
        }
    )


def _cut(line: str) -> str:
    return line[:LINE_LOOKED_AT]


def _trimmed(lines: list[str]) -> str:
    return "\n".join(line.rstrip() for line in lines).strip("\n").strip()
