"""The intake as people see it: what was refused, who is not known, what was set aside by mistakes of ours."""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render

from forestall.estate import queries
from forestall.estate.access import Refused
from forestall.estate.models import Client
from forestall.estate.values import ASSET_KINDS
from forestall.intake import aside, poison, strangers
from forestall.intake import queries as intake
from forestall.intake.models import Stranger
from forestall.kernel.clock import from_ms
from forestall.kernel.errors import Trouble
from forestall.web.access.gate import needs
from forestall.web.console.common import Asked, attempt, client_given, seen_or_404

RAW_SHOWN_BYTES = 4096
ASSETS_SHOWN = 500
SHOWN = 200


def counted(request: Asked) -> dict[str, Any]:
    """What the tabs say."""
    everything = request.scope.everything
    return {
        "nav": "rejected",
        "stranger_count": intake.count_strangers(request.scope),
        "aside_count": len(poison.list_set_aside(settings.DATA.queue / "poison")) if everything else 0,
        "sees_aside": everything,
    }


@needs("installation:read")
def rejected(request: Asked) -> HttpResponse:
    """What was refused at the doors."""
    rows = intake.list_rejected(request.scope, door=request.GET.get("door", ""))
    return render(request, "console/rejected.html", counted(request) | {"tab": "rejected", "rows": rows})


@needs("installation:read")
def rejected_page(request: Asked, rejected: str) -> HttpResponse:
    """One refusal with its bytes."""
    row = seen_or_404(lambda: intake.find_rejected(request.scope, rejected))
    raw = bytes(row.raw)[:RAW_SHOWN_BYTES]
    lines = [
        (
            f"{at:06x}",
            raw[at : at + 16].hex(" "),
            "".join(chr(b) if 32 <= b < 127 else "·" for b in raw[at : at + 16]),
        )
        for at in range(0, len(raw), 16)
    ]
    return render(request, "console/rejected_one.html", {"nav": "rejected", "row": row, "lines": lines})


@needs("installation:read")
def stranger_list(request: Asked) -> HttpResponse:
    """Who sends although nobody knows whose it is."""
    rows = intake.list_strangers(request.scope, limit=SHOWN)
    return render(request, "console/strangers.html", counted(request) | {"tab": "strangers", "rows": rows})


@needs("installation:read")
def stranger_page(request: Asked, stranger: str) -> HttpResponse:
    """One of them, with what to do: it is this asset, it is a new one, it is nobody's business."""
    row = seen_or_404(lambda: intake.find_stranger(request.scope, stranger))
    owner = row.client or _chosen(request)
    assets = queries.list_assets(request.scope, client=owner.pk, limit=ASSETS_SHOWN) if owner else []
    context = {
        "nav": "rejected",
        "row": row,
        "owner": owner,
        "assets": assets,
        "kinds": ASSET_KINDS,
        "clients": queries.list_clients(request.scope, limit=20),
        "settled": row.state in (Stranger.RELEASED, Stranger.FEEDING, Stranger.DONE),
    }
    return render(request, "console/stranger.html", context)


def _chosen(request: Asked) -> Client | None:
    """The client that was named, None while it is not complete."""
    try:
        name = client_given(request.scope, request.GET)
    except Trouble:
        return None
    return queries.find_client(request.scope, name) if name else None


@needs("estate:write")
def stranger_change(request: Asked, stranger: str, what: str) -> HttpResponse:
    """What somebody says of a stranger."""
    row = seen_or_404(lambda: intake.find_stranger(request.scope, stranger))
    given = request.POST
    said: dict[str, tuple[Callable[[], Any], str]] = {
        "assign": (
            lambda: strangers.assign_stranger(
                request.scope,
                row,
                seen_or_404(lambda: queries.find_asset(request.scope, given.get("asset", ""))),
            ),
            f"What {row.sender} sent is taken in now.",
        ),
        "make": (
            lambda: strangers.make_asset_of(
                request.scope,
                row,
                client=row.client_id or client_given(request.scope, given),
                name=given.get("name", ""),
                kind=given.get("kind", ""),
            ),
            f"{row.sender} is an asset now; what it sent is taken in.",
        ),
        "ignore": (
            lambda: strangers.ignore_stranger(request.scope, row),
            f"What {row.sender} sends is counted and dropped from now on.",
        ),
        "heed": (
            lambda: strangers.heed_stranger(request.scope, row),
            f"What {row.sender} sends is kept again.",
        ),
    }
    if what not in said:
        raise Http404
    action, done = said[what]
    if attempt(request, action, done) and what != "heed":
        return redirect("strangers")
    return redirect("stranger", stranger=row.pk)


@needs("installation:read")
def set_aside(request: Asked) -> HttpResponse:
    """Frames that could not be processed by a mistake of ours; they are of any client."""
    if not request.scope.everything:
        raise Refused("this is seen by people who see every client; ask one of them")
    directory = settings.DATA.queue / "poison"
    if request.method == "POST" and "installation:write" in request.rights:
        name, what = request.POST.get("name", ""), request.POST.get("what", "")
        if what == "replay":
            done = "It is replayed within a few seconds."
            attempt(request, lambda: aside.replay(request.scope, directory, name), done)
        elif what == "throw-away":
            attempt(request, lambda: aside.throw_away(request.scope, directory, name), "Thrown away.")
        return redirect("set-aside")
    rows = [(one, from_ms(one.about.at_ms)) for one in poison.list_set_aside(directory)[:SHOWN]]
    return render(request, "console/set_aside.html", counted(request) | {"tab": "aside", "rows": rows})
