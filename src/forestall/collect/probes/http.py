"""HTTP and HTTPS: does the page answer as it should, with a certificate that is trusted and lasts?"""

from forestall.collect.answers import Answer, NotAsked, Number, Question
from forestall.collect.fetch import REDIRECTS_MAX, Page, Wish, fetch, say_size
from forestall.collect.patterns import compile_pattern, search
from forestall.collect.reach import Reach
from forestall.kernel.plugins import Setting, Spec

HEADERS_MAX = 20

SPEC = Spec(
    name="http",
    title="Web page",
    about="Asks for a page: status, content, redirects, and with https the certificate.",
    source="RFC 9110, RFC 9112",
    settings=(
        Setting("method", "Method", "choice", default="GET", choices=("GET", "HEAD", "OPTIONS")),
        Setting("status", "Expected status", default="200-299", help="For example 200-299,401"),
        Setting("contains", "Text that must be on the page"),
        Setting("lacks", "Text that must not be on the page"),
        Setting("matches", "Pattern that must be on the page", help="A regular expression"),
        Setting("redirects", "Redirects to follow", "whole", default=5, least=0, most=REDIRECTS_MAX),
        Setting("verify", "Check the certificate", "yes_no", default=True),
        Setting("ca", "Further trusted authorities", help="Certificates in PEM form"),
        Setting("headers", "Headers to send", "lines", default=(), help="Name: value, one a line"),
        Setting("user", "User"),
        Setting("password", "Password", "secret"),
    ),
    limits="HTTP/1.1; reads at most 1 MB of the page; a pattern may take 3 s.",
    produces=("probe.up", "probe.took_ms", "http.status", "certificate.days_left"),
)


def read_statuses(text: str) -> list[range]:
    """`200-299,401` as ranges. Raises NotAsked."""
    found = []
    for part in text.split(","):
        low, _, high = part.strip().partition("-")
        if not (low.isdecimal() and len(low) == 3 and (not high or (high.isdecimal() and len(high) == 3))):
            raise NotAsked(f"{part.strip()!r} is not a status; write for example 200-299,401")
        found.append(range(int(low), int(high or low) + 1))
    return found


def read_headers(lines: list[str]) -> tuple[tuple[str, str], ...]:
    """`Name: value` lines. Raises NotAsked."""
    if len(lines) > HEADERS_MAX:
        raise NotAsked(f"at most {HEADERS_MAX} headers can be sent, not {len(lines)}")
    headers = []
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            raise NotAsked(f"{line!r} is not a header; write Name: value")
        if name.strip().lower() in {"host", "connection", "content-length", "transfer-encoding"}:
            raise NotAsked(f"the header {name.strip()} is set by the probe itself")
        headers.append((name.strip(), value.strip()))
    return tuple(headers)


async def probe(question: Question, reach: Reach) -> Answer:
    """Ask for the URL."""
    settings = question.settings
    statuses = read_statuses(settings["status"])
    if settings["matches"]:
        compile_pattern(settings["matches"])
    wish = Wish(
        question.target,
        method=settings["method"],
        headers=read_headers(list(settings["headers"])),
        user=settings["user"] or "",
        password=settings["password"] or "",
        trust=settings["ca"] or "",
        verify=settings["verify"],
        redirects=settings["redirects"],
    )
    page = await fetch(question, reach, wish)
    numbers = []
    if page.status:
        numbers.append(Number("http.status", page.status))
    if page.certificate:
        days = page.certificate.days_left(question.now_ms())
        numbers.append(Number("certificate.days_left", days, page.certificate_place))
    wrong = page.distrust or await _mistake(page, question, statuses)
    if wrong:
        return Answer(False, wrong, page.raw, numbers)
    words = f"{page.url if page.hops else page.place} answers {page.said}, {say_size(page)}"
    if page.certificate:
        words += f"; certificate {page.certificate.say_time(question.now_ms())}"
    return Answer(True, words, page.raw, numbers)


async def _mistake(page: Page, question: Question, statuses: list[range]) -> str:
    """What is not as expected of the page, or ""."""
    settings = question.settings
    if not any(page.status in allowed for allowed in statuses):
        after = f" after {len(page.hops)} redirects" if page.hops else ""
        return f"{page.url} answers {page.said}{after}, expected {settings['status']}"
    if (text := settings["contains"]) and text not in page.text:
        return f"{page.url} answers {page.said}, but the page does not contain {text[:80]!r}"
    if (text := settings["lacks"]) and text in page.text:
        return f"{page.url} answers {page.said}, but the page contains {text[:80]!r}"
    if pattern := settings["matches"]:
        question.doing(f"looking for the pattern {pattern[:80]!r}")
        if not await search(pattern, page.text):
            return f"{page.url} answers {page.said}, but nothing on the page matches {pattern[:80]!r}"
    return ""
