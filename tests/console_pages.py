"""Which pages the console has: read from its addresses, so that a new page is tested without being listed."""

import re

from django.urls import URLPattern

PLACE = re.compile(r"<(?:\w+:)?(\w+)>")
# Not pages: a stream without an end, points of a chart, a file, suggestions for a field. What only takes POST
# is told by its answer.
BILLING_PARTS = ("invoice-paper", "books-export", "economics-csv", "owner-month-pdf")
BACKUP_PARTS = (
    "backup-series",
    "backup-progress",
    "backup-proof-file",
    "backup-proof-pdf",
    "portal-proof-pdf",
)
NOT_PAGES = frozenset(
    {
        "events",
        "series",
        "evidence-file",
        "logs-export",
        "client-names",
        "site-names",
        "mail-file",
        *BACKUP_PARTS,
        *BILLING_PARTS,
    }
)
KINDS = frozenset({"what", "notifier"})  # parts of an address that are no identifiers; these take POST


def page_addresses() -> dict[str, str]:
    """Name → address with places (`/assets/<asset>/`) of everything that a browser may open."""
    from forestall.web.console.urls import urlpatterns

    found = {}
    for pattern in urlpatterns:
        assert isinstance(pattern, URLPattern)
        places = set(PLACE.findall(str(pattern.pattern)))
        if pattern.name and pattern.name not in NOT_PAGES and not places & KINDS and not takes_post(pattern):
            found[pattern.name] = "/" + PLACE.sub(r"<\1>", str(pattern.pattern))
    return found


def takes_post(pattern: URLPattern) -> bool:
    """Whether the view refuses GET (django.views.decorators.http.require_POST)."""
    from django.http import HttpResponseNotAllowed
    from django.test import RequestFactory

    # require_POST answers before the view is reached; anything that asks for a person does not
    closure = getattr(pattern.callback, "__closure__", None) or ()
    if not any(isinstance(cell.cell_contents, list) and cell.cell_contents == ["POST"] for cell in closure):
        return False
    return isinstance(pattern.callback(RequestFactory().get("/")), HttpResponseNotAllowed)


def filled(address: str, ids: dict[str, str]) -> str:
    """The address with identifiers in its places; a place that the seed does not know is named."""

    def put(match: re.Match[str]) -> str:
        assert match[1] in ids, f"{address}: console_seed has nothing called {match[1]!r}; add it there"
        return ids[match[1]]

    return re.sub(r"<(\w+)>", put, address)
