"""The agent's small page on its machine (127.0.0.1 alone): say what is wrong, see what is known already.

It answers only under its own address, and takes a report only with the word that it put into its own form: a
page of somebody else that the browser has open can neither read it nor send by it.
"""

import base64
import hashlib
import html
import secrets
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from forestall.collect.agent.reporting import NAME_MAX_CHARS, TEXT_MAX_CHARS, Report, Reports, Unsent
from forestall.kernel.errors import Trouble

HERE = "127.0.0.1"
BODY_MAX_BYTES = 64 << 10
ANSWER_S = 30.0
STYLE = (
    ":root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:34rem;margin:2rem auto;"
    "padding:0 1rem}label{display:block;margin:.8rem 0}textarea,input,select,button{font:inherit;width:100%;"
    "box-sizing:border-box;padding:.5rem}.said{border-left:4px solid;padding:.3rem .8rem;margin:1rem 0}"
)
_STYLE_SHA256 = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_STYLE_SHA256}'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class ReportPage(ThreadingHTTPServer):
    """Serves until `shutdown`. Raises OSError when the port is taken; `port` 0 takes a free one."""

    daemon_threads = True

    def __init__(self, directory: Path, port: int) -> None:
        self.reports = Reports(directory)
        self.word = secrets.token_urlsafe(24)
        super().__init__((HERE, port), _Asked)

    @property
    def address(self) -> str:
        """What to open in a browser."""
        return f"http://{HERE}:{self.server_address[1]}/"

    def start(self) -> None:
        """Serve in a thread of its own."""
        threading.Thread(target=self.serve_forever, name="report-page", daemon=True).start()


class _Asked(BaseHTTPRequestHandler):
    server: ReportPage
    timeout = ANSWER_S

    def do_GET(self) -> None:
        if not self._ours() or self.path != "/":
            return self._answer(404, "<p>There is nothing here.</p>")
        return self._answer(200, self._form({}))

    def do_POST(self) -> None:
        length = self.headers.get("content-length", "")
        if not length.isdecimal() or int(length) > BODY_MAX_BYTES:
            return self._answer(413, "<p>This is too long. Shorten it.</p>")
        text = self.rfile.read(int(length)).decode("utf-8", "replace")
        given = {name: values[0] for name, values in parse_qs(text, max_num_fields=20).items()}
        if not self._ours() or not secrets.compare_digest(given.get("word", ""), self.server.word):
            return self._answer(403, "<p>Open this page again, and send from there.</p>")
        report = Report(
            text=given.get("text", "").strip(), how_bad=given.get("how_bad", ""),
            name=given.get("name", "").strip(), email=given.get("email", "").strip(),
        )  # fmt: skip
        try:
            self.server.reports.keep(report)
            number = self.server.reports.send().get(report.id)
        except Unsent as unsent:
            return self._answer(202, f'<p class="said" role="status">{html.escape(str(unsent))}</p>')
        except Trouble as trouble:
            return self._answer(422, self._form(given, str(trouble)))
        said = f"Thank you. We have it: it is ticket #{number}."
        return self._answer(
            200, f'<p class="said" role="status">{said}</p><p><a href="/">Report more</a></p>'
        )

    def _ours(self) -> bool:
        """Whether it was asked under our own address, by our own page or by nobody's."""
        own = f"{HERE}:{self.server.server_address[1]}"
        return self.headers.get("host") == own and self.headers.get("origin", f"http://{own}") in (
            f"http://{own}",
            "null",
        )

    def _form(self, given: dict[str, str], wrong: str = "") -> str:
        known = self.server.reports.known()
        said = "".join(f"<li>{html.escape(one)}</li>" for one in (known.known if known else []))
        parts = [f'<p class="said" role="alert">{html.escape(wrong)}</p>' if wrong else ""]
        if said:
            parts.append(f'<section class="said"><b>We know of this already:</b><ul>{said}</ul></section>')
        if known is None:
            parts.append("<p>The server does not answer just now. A report is kept here and sent later.</p>")
        options = "".join(
            f'<option value="{html.escape(key)}">{html.escape(words)}</option>'
            for key, words in (known.how_bad if known else {}).items()
        )
        bad = f'<label>How bad is it?<select name="how_bad">{options}</select></label>' if options else ""
        parts.append(
            f'<form method="post" action="/"><input type="hidden" name="word" value="{self.server.word}">'
            f'<label>In your own words<textarea name="text" rows="5" required maxlength="{TEXT_MAX_CHARS}" '
            f"autofocus>{html.escape(given.get('text', ''))}</textarea></label>{bad}"
            f'<label>Your name<input name="name" maxlength="{NAME_MAX_CHARS}" autocomplete="name" '
            f'value="{html.escape(given.get("name", ""))}"></label>'
            '<label>Your address, for the answer<input name="email" type="email" autocomplete="email" '
            f'maxlength="{NAME_MAX_CHARS}" value="{html.escape(given.get("email", ""))}">'
            "</label><button>Send</button></form><p>It costs you nothing. This machine is named with it"
            f"{': ' + html.escape(known.machine) if known else ''}.</p>"
        )
        return "".join(parts)

    def _answer(self, status: int, body: str) -> None:
        page = (
            '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>What is wrong?</title>'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<style>{STYLE}</style></head><body><main><h1>What is wrong?</h1>{body}</main></body></html>"
        ).encode()
        self.send_response(status)
        for name, value in (HEADERS | {"Content-Length": str(len(page))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: what people write is no log."""
