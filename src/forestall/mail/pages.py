"""HTML of a message made safe to show: a short list of tags, no style, no picture, no form, no script. Pure.

nh3 (ammonia) decides what is safe; what it leaves is then written anew: pictures become words, links show
where they lead. What would take it long is not shown as HTML at all: there is the text.
"""

import html
import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import nh3

HTML_MAX_CHARS = 512 << 10
TAGS_MAX = 20_000
DEPTH_MAX = 200
TEXT_MAX_CHARS = 1 << 20


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


TAGS = _words("""
    p br div span b strong i em u s sub sup a ul ol li blockquote pre code table thead tbody tfoot tr th
    td hr h1 h2 h3 h4 h5 h6 img dl dt dd caption
""")
GONE = _words("""
    script style title head iframe object embed applet noscript template svg math form select textarea
    button audio video canvas
""")
ATTRIBUTES = {
    "a": {"href"},
    "img": {"src", "alt"},
    "td": {"colspan", "rowspan"},
    "th": {"colspan", "rowspan"},
}
SCHEMES = {"http", "https", "mailto", "cid", "data"}
_ALONE = frozenset({"br", "hr", "img", "p", "li", "td", "th", "tr", "dt", "dd", "input", "meta", "link"})
_BREAKS = _words("""
    p br div li tr table blockquote pre hr h1 h2 h3 h4 h5 h6 ul ol dt dd caption
""")
_NAME = re.compile(r"/?([a-zA-Z][a-zA-Z0-9]{0,20})")
_END_OF_TAG = re.compile(
    r"[^\"'>]{0,2000}"
    r"(?:\"[^\"]{0,8000}\"[^\"'>]{0,2000}|'[^']{0,8000}'[^\"'>]{0,2000}){0,40}>"
)
_ATTRIBUTE = re.compile(r'([a-z]{1,10})="([^"]{0,8000})"')


def make_safe(page: str) -> tuple[str, str]:
    """Safe HTML, and why there is none ("" when there is)."""
    why = _too_much(page)
    if why:
        return "", why
    clean = nh3.clean(
        page,
        tags=set(TAGS),
        clean_content_tags=set(GONE),
        attributes={tag: set(names) for tag, names in ATTRIBUTES.items()},
        url_schemes=set(SCHEMES),
        link_rel=None,
        strip_comments=True,
    )
    return _written_anew(clean), ""


def flat(page: str) -> str:
    """The words of HTML, a line for each block. Linear, of anything."""
    out: list[str] = []
    for kind, value in _tokens(page[: 4 * TEXT_MAX_CHARS]):
        if kind == "text":
            out.append(re.sub(r"\s+", " ", html.unescape(value)))
        elif (match := _NAME.match(value)) and match[1].lower() in _BREAKS:
            out.append("\n")
        elif match and match[1].lower() in ("td", "th"):
            out.append(" ")
    lines = (re.sub(r"[ \xa0]{2,}", " ", line).strip() for line in "".join(out).split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()[:TEXT_MAX_CHARS]


def _too_much(page: str) -> str:
    if len(page) > HTML_MAX_CHARS:
        return f"its HTML has {len(page)} characters, of which {HTML_MAX_CHARS} are the most that is shown"
    if page.count("<") > TAGS_MAX or page.count("&") > TAGS_MAX:
        return f"its HTML has more than {TAGS_MAX} tags or signs"
    depth = 0
    for kind, value in _tokens(page):
        match = _NAME.match(value) if kind == "tag" else None
        if match is None or match[1].lower() in _ALONE or value.endswith("/"):
            continue
        depth = max(0, depth - 1) if value.startswith("/") else depth + 1
        if depth > DEPTH_MAX:
            return f"its HTML is nested more than {DEPTH_MAX} deep"
    return ""


def _tokens(page: str) -> Iterator[tuple[str, str]]:
    """("text", …) and ("tag", what stands in the brackets); scripts, styles and comments are left out."""
    at, lower = 0, page.lower()
    while at < len(page):
        start = page.find("<", at)
        if start < 0:
            yield "text", page[at:]
            return
        if start > at:
            yield "text", page[at:start]
        if page.startswith("<!--", start):
            end = page.find("-->", start + 4)
            if end < 0:
                return
            at = end + 3
            continue
        end = _tag_end(page, start + 1)
        if end < 0:
            yield "text", page[start:]
            return
        inside = page[start + 1 : end]
        yield "tag", inside
        at = end + 1
        match = _NAME.match(inside)
        if match and not inside.startswith("/") and match[1].lower() in ("script", "style", "title"):
            close = lower.find(f"</{match[1].lower()}", at)
            if close < 0:
                return
            at = close


def _tag_end(page: str, at: int) -> int:
    """The bracket that ends a tag; one inside quotes does not, unless the quotes never end."""
    plain = page.find(">", at)
    if plain < 0:
        return -1
    match = _END_OF_TAG.match(page, at)
    return match.end() - 1 if match else plain


def _written_anew(clean: str) -> str:
    """Only what is written here leaves: every tag by its name, every text and attribute escaped."""
    out: list[str] = []
    link: list[str] = []  # where the open links lead
    for kind, value in _tokens(clean):
        if kind == "text":
            out.append(html.escape(html.unescape(value), quote=False))
            continue
        match = _NAME.match(value)
        tag = match[1].lower() if match else ""
        if tag not in TAGS:
            continue
        closing = value.startswith("/")
        given = {name: html.unescape(text) for name, text in _ATTRIBUTE.findall(value)}
        if tag == "img":
            out.append(_picture(given))
        elif tag == "a":
            out.append(_link_end(link) if closing else _link(given, link))
        elif tag[0] == "h" and tag != "hr":
            out.append("</b></p>" if closing else "<p><b>")
        else:
            spans = "".join(
                f' {name}="{int(given[name])}"'
                for name in ("colspan", "rowspan")
                if tag in ("td", "th") and given.get(name, "").isdecimal() and int(given[name]) <= 100
            )
            out.append(f"</{tag}>" if closing else f"<{tag}{spans}>")
    return "".join(out)


def _link(given: dict[str, str], link: list[str]) -> str:
    target = given.get("href", "")
    if urlsplit_or_none(target) not in ("http", "https", "mailto"):
        link.append("")
        return "<span>"
    link.append(target)
    return f'<a href="{html.escape(target)}" rel="noopener noreferrer nofollow" class="underline">'


def _link_end(link: list[str]) -> str:
    if not link:
        return ""
    target = link.pop()
    return f" [{html.escape(where(target))}]</a>" if target else "</span>"


def _picture(given: dict[str, str]) -> str:
    source, said = given.get("src", ""), given.get("alt", "").strip()[:200]
    scheme = urlsplit_or_none(source)
    words = f"picture {said}" if said else "picture"
    if scheme in ("http", "https"):
        words += f" at {where(source)}, not loaded"
    return f'<span class="text-mute">[{html.escape(words)}]</span>'


def where(target: str) -> str:
    """The host that a link leads to, or the address of a mail."""
    try:
        parts = urlsplit(target)
        return (parts.hostname or parts.path or "nowhere")[:200]
    except ValueError:
        return "nowhere that can be read"


def urlsplit_or_none(target: str) -> str:
    """The scheme of an address, "" when it has none."""
    try:
        return urlsplit(target.strip()).scheme.lower()
    except ValueError:
        return ""
