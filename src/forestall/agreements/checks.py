"""What is wrong with an agreement as somebody wrote it, each at its field. Pure."""

from collections.abc import Mapping
from datetime import date

from babel import Locale
from stdnum.eu import vat as eu_vat
from stdnum.exceptions import ValidationError

from forestall.agreements.money import AMOUNT_MAX, PERCENT, known_currency
from forestall.agreements.values import (
    ITEMS_MAX,
    PROJECTS_MAX,
    TIERS_MAX,
    Basis,
    Item,
    Terms,
    UpliftKind,
)
from forestall.estate.values import ASSET_KINDS
from forestall.kernel.errors import Trouble

DAYS_MAX = 365
TERM_MONTHS_MAX = 240
COUNT_MAX = 1_000_000
LANGUAGES = {"en": "English", "de": "Deutsch", "fr": "Français"}
EU = frozenset(eu_vat.MEMBER_STATES) | {"el"}


class Wrong(Trouble):
    """Fields with what is wrong with each; nothing was done."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {text}" for name, text in fields.items()))
        self.fields = dict(fields)


def check_terms(terms: Terms) -> dict[str, str]:
    """Field → what is wrong. `items.0.price` is the price of the first item."""
    wrong: dict[str, str] = {}
    try:
        known_currency(terms.currency)
    except Trouble as trouble:
        wrong["currency"] = str(trouble)
    if not terms.items and not terms.projects:
        wrong["items"] = "an agreement bills at least one thing: add a part of the fee"
    if len(terms.items) > ITEMS_MAX:
        wrong["items"] = f"an agreement has at most {ITEMS_MAX} parts"
    if len({item.key for item in terms.items}) != len(terms.items):
        wrong["items"] = "two parts have the same short name: each needs its own"
    if len(terms.projects) > PROJECTS_MAX:
        wrong["projects"] = f"an agreement has at most {PROJECTS_MAX} projects"
    for place, item in enumerate(terms.items):
        wrong |= _check_item(item, f"items.{place}")
    for place, project in enumerate(terms.projects):
        if not project.name.strip() or not 0 < project.amount_minor <= AMOUNT_MAX:
            wrong[f"projects.{place}"] = "a project has a name and a quoted sum above nothing"
    if not 0 <= terms.due_days <= DAYS_MAX:
        wrong["due_days"] = f"an invoice is due within 0 to {DAYS_MAX} days"
    if not 0 <= terms.minimum_minor <= AMOUNT_MAX:
        wrong["minimum"] = "a minimum fee is nothing or more"
    if terms.minimum_minor and not terms.minimum_tax:
        wrong["minimum_tax"] = "say which tax the minimum fee has"
    if not 0 <= terms.setup_fee_minor <= AMOUNT_MAX:
        wrong["setup_fee"] = "a set-up fee is nothing or more"
    if terms.setup_fee_minor and not terms.setup_tax:
        wrong["setup_tax"] = "say which tax the set-up fee has"
    rises = (terms.uplift.percent, terms.uplift.floor)
    if terms.uplift.kind is not UpliftKind.NONE and not all(0 <= one <= PERCENT for one in rises):
        wrong["uplift"] = "an uplift is between 0% and 100%"
    if not 0 <= terms.term_months <= TERM_MONTHS_MAX:
        wrong["term_months"] = f"a term has 0 (none) to {TERM_MONTHS_MAX} months"
    if not 0 <= terms.notice_days <= 2 * DAYS_MAX:
        wrong["notice_days"] = f"notice is given 0 to {2 * DAYS_MAX} days before"
    fee = terms.late_fee
    if min(fee.after_days, fee.fixed_minor, fee.percent) < 0 or fee.percent > PERCENT:
        wrong["late_fee"] = "a late fee is a sum and a share of 0% to 100%, some days after it was due"
    return wrong


def _check_item(item: Item, at: str) -> dict[str, str]:
    wrong: dict[str, str] = {}
    if not item.name.strip():
        wrong[f"{at}.name"] = "a part of the fee needs a name: it stands on the invoice"
    if not 0 < item.price_minor <= AMOUNT_MAX:
        wrong[f"{at}.price"] = "a price is above nothing; leave the part out if it is free"
    if not item.tax:
        wrong[f"{at}.tax"] = "say which tax this part has"
    if unknown := [kind for kind in item.kinds if kind not in ASSET_KINDS]:
        wrong[f"{at}.kinds"] = f"there is no kind of asset {unknown[0]!r}"
    if item.kinds and item.basis is not Basis.DEVICE:
        wrong[f"{at}.kinds"] = "only what is counted per device has kinds"
    if not 0 <= item.included <= COUNT_MAX or not 0 <= item.minimum <= COUNT_MAX:
        wrong[f"{at}.minimum"] = "included and minimum are whole numbers, 0 for none"
    if len(item.tiers) > TIERS_MAX or any(tier.price_minor < 0 for tier in item.tiers):
        wrong[f"{at}.tiers"] = f"at most {TIERS_MAX} tiers, each with a price"
    ends = [tier.up_to for tier in item.tiers]
    if ends and (ends[-1] is not None or None in ends[:-1] or not _rising([e for e in ends if e])):
        wrong[f"{at}.tiers"] = "tiers rise, and the last one is without an end"
    return wrong


def check_buyer(given: Mapping[str, str]) -> dict[str, str]:
    """What is wrong with whom the invoice goes to."""
    wrong = {
        name: "is missing: the invoice's law asks for it"
        for name in ("buyer_name", "buyer_street", "buyer_postcode", "buyer_city")
        if not given.get(name, "").strip()
    }
    country = given.get("buyer_country", "").strip().upper()
    if len(country) != 2 or country not in Locale("en").territories:
        wrong["buyer_country"] = "write the country's two letters, for example DE"
    if problem := vat_problem(given.get("buyer_vat", "")):
        wrong["buyer_vat"] = problem
    if given.get("language", "en") not in LANGUAGES:
        wrong["language"] = f"invoices are written in {', '.join(LANGUAGES.values())}"
    return wrong


def vat_problem(number: str) -> str:
    """Why this is no VAT number ("" when it is one, or none is given). Its check digits are looked at, and
    not whether it was given out."""
    number = number.strip().replace(" ", "").upper()
    if not number:
        return ""
    if number[:2].lower() not in EU:
        known = number[:2].isalpha() and 4 <= len(number) <= 20 and number.isalnum()
        return "" if known else "a VAT number begins with its country's two letters, for example DE136695976"
    try:
        eu_vat.validate(number)
    except ValidationError as error:
        return f"{number} is no VAT number of that country ({error}): see the client's own papers"
    return ""


def check_days(starts_on: date | None, ends_on: date | None) -> dict[str, str]:
    """What is wrong with from when to when an agreement runs."""
    if starts_on is None:
        return {"starts_on": "an agreement needs its first day"}
    if ends_on is not None and ends_on < starts_on:
        return {"ends_on": "the last day is not before the first"}
    return {}


def _rising(numbers: list[int]) -> bool:
    return all(number > 0 for number in numbers) and sorted(set(numbers)) == numbers
