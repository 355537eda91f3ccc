"""One page over HTTP/1.1, for the probes: each hop goes to an address that was judged (RFC 9112, by h11)."""

import base64
import zlib
from dataclasses import dataclass, field, replace
from urllib.parse import SplitResult, quote, urljoin, urlsplit

import h11

from forestall.collect.answers import NoAnswer, NotAsked, Question, cut, printable
from forestall.collect.certificates import Certificate, say_distrust
from forestall.collect.reach import Reach
from forestall.collect.streams import Stream, connected, connected_with_tls, say_failure
from forestall.kernel.words import say_bytes

BODY_MAX_BYTES = 1 << 20
HEADERS_MAX_BYTES = 64 << 10
CHUNK_BYTES = 64 << 10
REDIRECTS_MAX = 10
URL_MAX_CHARS = 2048
REDIRECTS = frozenset({301, 302, 303, 307, 308})
AGENT = "Forestall"
HIDDEN = frozenset({"set-cookie", "authorization", "proxy-authorization", "www-authenticate-info"})
SHOWN_BODY_CHARS = 2000


@dataclass(frozen=True, slots=True)
class Wish:
    """What to ask for. `headers` are sent to the first host alone, and to others never."""

    url: str
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    user: str = ""
    password: str = field(default="", repr=False)
    trust: str = ""
    verify: bool = True
    redirects: int = 5
    body_max_bytes: int = BODY_MAX_BYTES


@dataclass(frozen=True, slots=True)
class Page:
    """What came. `certificate` is that of the first host (None without TLS). `distrust` says why it, or that
    of a later hop, is not trusted; then nothing was sent there and the status is 0. `hops`: the URLs that
    redirected."""

    status: int
    phrase: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    cut_short: bool
    url: str
    place: str
    hops: tuple[str, ...] = ()
    certificate: Certificate | None = None
    certificate_place: str = ""
    distrust: str = ""

    def header(self, name: str) -> str:
        """The first header of that name, or ""."""
        return next((value for key, value in self.headers if key == name), "")

    @property
    def said(self) -> str:
        """The status as people say it: `200 OK`."""
        return f"{self.status} {self.phrase}".strip()

    @property
    def text(self) -> str:
        """The body as text."""
        charset = self.header("content-type").partition("charset=")[2].split(";")[0].strip("\"' ") or "utf-8"
        try:
            return self.body.decode(charset, "replace")
        except LookupError:
            return self.body.decode("utf-8", "replace")

    @property
    def raw(self) -> str:
        """Status line, headers (cookies hidden) and the start of the body: for evidence."""
        lines = [f"{hop} →" for hop in self.hops] + [f"{self.url} at {self.place}"]
        if self.status:
            lines += ["", f"HTTP {self.said}"]
            lines += [f"{key}: {'(hidden)' if key in HIDDEN else value}" for key, value in self.headers]
            lines += ["", printable(self.body, SHOWN_BODY_CHARS)]
        if self.certificate:
            lines += ["", self.certificate.text]
        return cut("\n".join(lines))


def read_url(text: str) -> SplitResult:
    """An http or https URL. Raises NotAsked with what is wrong."""
    try:
        parts = urlsplit(text.strip())
        port = parts.port
    except ValueError as error:
        raise NotAsked(f"{text!r} is not a web address: {error}") from error
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0:
        raise NotAsked(f"{text!r} is not a web address; write it as https://shop.example.com/path")
    if parts.username is not None or parts.password is not None:
        raise NotAsked(
            "a user or password does not belong into the address: use the settings user and password"
        )
    if len(text) > URL_MAX_CHARS or not text.strip().isprintable():
        raise NotAsked(f"the web address is too long, or has characters that cannot be sent: {text[:80]!r}")
    return parts


async def fetch(question: Question, reach: Reach, wish: Wish) -> Page:
    """The page, after redirects. Raises NotAsked, NoAnswer."""
    hops: list[str] = []
    first: Page | None = None
    origin = read_url(wish.url)
    while True:
        page = await _one(question, reach, wish)
        first = first or page
        page = replace(
            page,
            hops=tuple(hops),
            certificate=first.certificate,
            certificate_place=page.certificate_place if page.distrust else first.certificate_place,
        )
        location = page.header("location")
        if page.distrust or not wish.redirects or page.status not in REDIRECTS or not location:
            return page
        hops.append(wish.url)
        if len(hops) > min(wish.redirects, REDIRECTS_MAX):
            raise NoAnswer(f"more than {len(hops) - 1} redirects, the last to {location[:200]}", raw=page.raw)
        try:
            target = read_url(urljoin(wish.url, location))
        except NotAsked as refused:
            raise NoAnswer(
                f"{page.place} redirects to {location[:200]!r}, which is no web address"
            ) from refused
        same = (target.scheme, target.netloc) == (origin.scheme, origin.netloc)
        wish = replace(
            wish,
            url=target.geturl(),
            method="GET" if page.status == 303 and wish.method != "HEAD" else wish.method,
            headers=wish.headers if same else (),
            user=wish.user if same else "",
            password=wish.password if same else "",
        )


async def _one(question: Question, reach: Reach, wish: Wish) -> Page:
    """One hop."""
    parts = read_url(wish.url)
    host = parts.hostname or ""
    secure = parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    if not secure:
        async with connected(question, reach, host=host, port=port) as stream:
            return await _exchange(question, stream, wish, parts)
    async with connected_with_tls(
        question, reach, host=host, port=port, trust=wish.trust, verify=wish.verify
    ) as stream:
        named = f"{host}:{port}"
        if stream.distrust:
            why = say_distrust(named, stream.certificate, stream.distrust, now_ms=question.now_ms())
            return Page(
                0, "", (), b"", False, wish.url, stream.place,
                certificate=stream.certificate, certificate_place=named, distrust=why,
            )  # fmt: skip
        page = await _exchange(question, stream, wish, parts)
        return replace(page, certificate=stream.certificate, certificate_place=named)


def _request(wish: Wish, parts: SplitResult) -> h11.Request:
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    if parts.query:
        path += "?" + quote(parts.query, safe="/%:@!$&'()*+,;=~-._?")
    given = {name.lower() for name, _ in wish.headers}
    try:
        host = (parts.netloc if parts.netloc.isascii() else parts.netloc.encode("idna").decode()).lower()
        headers = [
            ("Host", host),
            *wish.headers,
            *([] if "user-agent" in given else [("User-Agent", AGENT)]),
            *([] if "accept" in given else [("Accept", "*/*")]),
            ("Accept-Encoding", "identity"),
            ("Connection", "close"),
        ]
        if wish.user or wish.password:
            token = base64.b64encode(f"{wish.user}:{wish.password}".encode()).decode()
            headers.append(("Authorization", f"Basic {token}"))
        return h11.Request(method=wish.method, target=path, headers=headers)
    except (h11.LocalProtocolError, UnicodeError) as error:
        raise NotAsked(f"this cannot be asked over HTTP: {error}") from error


async def _exchange(question: Question, stream: Stream, wish: Wish, parts: SplitResult) -> Page:
    """Send the request and read the answer. Raises NoAnswer when that is not HTTP."""
    talk = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEADERS_MAX_BYTES)
    head = talk.send(_request(wish, parts)) or b""
    question.doing(f"waiting for the answer of {stream.place} to {wish.method} {parts.path or '/'}")
    await stream.send(head + (talk.send(h11.EndOfMessage()) or b""))
    response: h11.Response | None = None
    body = bytearray()
    begin = b""
    cut_short = False
    while True:
        try:
            event = talk.next_event()
            if event is h11.NEED_DATA:
                data = await stream.reader.read(CHUNK_BYTES)
                begin = (begin + data)[:512] if len(begin) < 5 else begin
                if not begin.startswith(b"HTTP/"[: len(begin)]):
                    raise NoAnswer(f"{stream.place} answers, but not in HTTP", raw=printable(begin))
                talk.receive_data(data)
                continue
        except OSError as error:
            raise NoAnswer(say_failure(error, stream.place), raw=printable(begin)) from error
        except h11.RemoteProtocolError as error:
            if not begin:
                raise NoAnswer(f"{stream.place} hung up without an answer") from error
            what = "broke off in the middle of its answer" if response else "answers, but not in HTTP"
            raise NoAnswer(f"{stream.place} {what} ({error})", raw=printable(begin)) from error
        if isinstance(event, h11.Response):
            response = event
            question.doing(f"reading the page from {stream.place}")
        elif isinstance(event, h11.Data):
            body += event.data
            cut_short = len(body) >= wish.body_max_bytes
        if cut_short or isinstance(event, h11.EndOfMessage | h11.ConnectionClosed):
            break
    if response is None:
        raise NoAnswer(f"{stream.place} hung up without an answer", raw=printable(begin))
    headers = tuple((key.decode("latin-1"), value.decode("latin-1")) for key, value in response.headers)
    page = Page(
        response.status_code,
        response.reason.decode("latin-1")[:80],
        headers,
        bytes(body[: wish.body_max_bytes]),
        cut_short,
        wish.url,
        stream.place,
    )
    return replace(page, body=_unpacked(page, wish.body_max_bytes))


def _unpacked(page: Page, most: int) -> bytes:
    """The body as it was meant, when a server packs it although it was asked not to."""
    if page.header("content-encoding").lower() not in {"gzip", "x-gzip", "deflate"}:
        return page.body
    try:
        return zlib.decompressobj(wbits=47).decompress(page.body, most)
    except zlib.error:
        return page.body


def say_size(page: Page) -> str:
    """`1.2 kB`, or `more than 1.0 MB`."""
    return ("more than " if page.cut_short else "") + say_bytes(len(page.body))
