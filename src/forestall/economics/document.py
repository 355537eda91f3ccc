"""The owner's month as a PDF by typst. One page of figures gives the same bytes."""

import json
from dataclasses import asdict
from importlib.resources import files

import typst

from forestall.economics.owner import OwnersMonth

TEMPLATE = "month.typ"


def month_pdf(page: OwnersMonth, *, provider: str) -> bytes:
    """The document of `owners_month`."""
    said = asdict(page) | {
        "provider": provider,
        "reckoned_at": f"{page.reckoned_at:%Y-%m-%d %H:%M} UTC" if page.reckoned_at else "never",
    }
    made: bytes = typst.compile(
        files("forestall.economics").joinpath(TEMPLATE).read_bytes(),
        format="pdf",
        ignore_system_fonts=True,
        sys_inputs={"data": json.dumps(said)},
        timestamp=int(page.reckoned_at.timestamp()) if page.reckoned_at else 0,
    )
    return made
