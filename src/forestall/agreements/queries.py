"""Every read of agreements, tenant-scoped; prices, rates and indices are the provider's own."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from forestall.agreements.calendar import Month, count_day, renewal
from forestall.agreements.counting import as_of, things_of, watched_assets
from forestall.agreements.decide import counted_for, decide_bill, there_on
from forestall.agreements.models import Agreement, Credit, PriceIndex, PriceItem, TaxTable, TermsVersion
from forestall.agreements.stored import life_of as life_of
from forestall.agreements.stored import rates_of as rates_of
from forestall.agreements.stored import terms_in as terms_in
from forestall.agreements.values import Basis, Bill, Counted, Credited, Life, NotBilled, Rates, Terms
from forestall.estate.models import Asset, Client
from forestall.estate.tenancy import Scope

PAGE_MAX = 500
ALL_MAX = 100_000
MISMATCHES_MAX = 2_000
NO_RATES = Rates("(none)", ())


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A device that is billed and not watched, or watched and not billed."""

    client: str
    client_name: str
    asset: str
    name: str
    billed: bool
    reason: str


def list_agreements(
    scope: Scope, *, client: str = "", words: str = "", after: str = "", limit: int = PAGE_MAX
) -> list[Agreement]:
    """Agreements by number."""
    rows = Agreement.objects.of(scope).select_related("client")
    if client:
        rows = rows.filter(client=client)
    for word in words.split()[:10]:
        rows = rows.filter(client__name__icontains=word) | rows.filter(number__icontains=word)
    if after:
        rows = rows.filter(number__gt=after)
    return list(rows.order_by("number")[: min(limit, ALL_MAX)])


def running_in(scope: Scope, month: Month) -> list[Agreement]:
    """Agreements that may be billed in a month: those that run in it, or ended in the month before."""
    rows = Agreement.objects.of(scope).filter(starts_on__lte=month.last)
    rows = rows.exclude(ends_on__lt=month.before.first).select_related("client")
    return list(rows.order_by("client__name", "number")[:ALL_MAX])


def find_agreement(scope: Scope, identifier: str) -> Agreement | None:
    """An agreement with its client, or None."""
    return Agreement.objects.of(scope).filter(pk=identifier).select_related("client").first()


def versions_of(scope: Scope, agreement: Agreement) -> list[TermsVersion]:
    """Its versions, the oldest first."""
    return list(TermsVersion.objects.of(scope).filter(agreement=agreement).order_by("from_on")[:PAGE_MAX])


def terms_by_agreement(scope: Scope, agreements: Sequence[Agreement], month: Month) -> dict[str, Terms]:
    """Agreement → the terms that hold in a month: of its first day, or of the agreement's."""
    found: dict[str, Terms] = {}
    starts = {one.pk: max(month.first, one.starts_on) for one in agreements}
    rows = TermsVersion.objects.of(scope).filter(agreement__in=list(starts), from_on__lte=month.last)
    for owner, from_on, terms in (
        rows.order_by("from_on").values_list("agreement", "from_on", "terms").iterator()
    ):
        if from_on <= starts[owner]:
            found[owner] = terms_in(terms)
    return found


def credits_by_agreement(
    scope: Scope, agreements: Sequence[Agreement], month: Month
) -> dict[str, list[Credited]]:
    """Agreement → the credits that wait, and those that the month's figures have already."""
    found: dict[str, list[Credited]] = {}
    rows = Credit.objects.of(scope).filter(agreement__in=list(agreements), billed_in__in=("", str(month)))
    for row in rows.order_by("made_at", "pk"):
        one = Credited(row.pk, row.name, row.note, row.amount_minor, row.tax)
        found.setdefault(row.agreement_id, []).append(one)
    return found


def list_credits(
    scope: Scope, *, agreement: str = "", waiting: bool = False, limit: int = PAGE_MAX
) -> list[Credit]:
    """Credits, the newest first, with their agreement and client."""
    rows = Credit.objects.of(scope).select_related("agreement", "client")
    rows = rows.filter(agreement=agreement) if agreement else rows
    rows = rows.filter(billed_in="") if waiting else rows
    return list(rows.order_by("-made_at", "-pk")[: min(limit, ALL_MAX)])


def find_credit(scope: Scope, identifier: str) -> Credit | None:
    """A credit with its agreement, or None."""
    return Credit.objects.of(scope).filter(pk=identifier).select_related("agreement").first()


def credited_about(scope: Scope, abouts: Sequence[str]) -> set[str]:
    """Which of these a credit was given for."""
    found: set[str] = set()
    for start in range(0, len(abouts), PAGE_MAX):
        rows = Credit.objects.of(scope).filter(about__in=abouts[start : start + PAGE_MAX])
        found |= set(rows.values_list("about", flat=True))
    return found


def rates_on(scope: Scope, day: date) -> Rates:
    """The tax rates that hold on a day; a table without a rate when there is none."""
    row = TaxTable.objects.filter(from_on__lte=day).order_by("-from_on").first()
    return rates_of(row) if row else NO_RATES


def list_tax_tables(scope: Scope) -> list[TaxTable]:
    """The versions, the newest first."""
    return list(TaxTable.objects.order_by("-from_on")[:PAGE_MAX])


def find_tax_table(scope: Scope, identifier: str) -> TaxTable | None:
    """One version, or None: for those who see every client."""
    return None if not scope.everything else TaxTable.objects.filter(pk=identifier).first()


def price_book(scope: Scope) -> list[PriceItem]:
    """What the provider offers."""
    return list(PriceItem.objects.order_by("name")[:PAGE_MAX])


def indices(scope: Scope) -> dict[int, int]:
    """Year → hundredths of a percent."""
    return dict(PriceIndex.objects.values_list("year", "percent"))


def renewals(scope: Scope, agreement: Agreement, today: date) -> str:
    """When it ends or goes on, in words."""
    if agreement.ends_on:
        return f"ends on {agreement.ends_on}"
    terms = terms_by_agreement(scope, [agreement], Month(today.year, today.month)).get(agreement.pk)
    found = terms and renewal(
        agreement.starts_on, months=terms.term_months, notice_days=terms.notice_days, today=today
    )
    if not terms or not found:
        return "runs until somebody ends it"
    onwards = "then goes on" if terms.renews else "then ends"
    return f"this term runs to {found.ends_on}, {onwards}; notice by {found.notice_by}"


def simulate(
    scope: Scope, client: Client, terms: Terms, life: Life, months: Sequence[Month]
) -> list[tuple[Month, Bill | NotBilled]]:
    """What these terms would have cost in each of the months, by what was there then."""
    things, cpi = things_of(scope, [client])[client.pk], indices(scope)
    found: list[tuple[Month, Bill | NotBilled]] = []
    for month in months:
        day = count_day(month, in_advance=terms.in_advance, starts_on=life.starts_on, ends_on=life.ends_on)
        counts = as_of(things, day=day, window=month.before.first)
        rates = rates_on(scope, month.first)
        found.append((month, decide_bill(terms, life, month, counts=counts, rates=rates, cpi=cpi)))
    return found


def billed_and_watched(scope: Scope, month: Month, *, day: date | None = None) -> list[Mismatch]:
    """Devices that are billed and not watched, and those that are watched and not billed. A client whose
    agreement counts no devices pays for them with its seats, sites or flat parts."""
    agreements = running_in(scope, month)
    terms = terms_by_agreement(scope, agreements, month)
    clients = {one.pk: one for one in Client.objects.of(scope).filter(archived_at=None)[:ALL_MAX]}
    watched, found = watched_assets(scope, clients), []
    counting: dict[str, list[Terms]] = {}
    for agreement in agreements:
        if agreement.pk in terms:
            counting.setdefault(agreement.client_id, []).append(terms[agreement.pk])
    things = things_of(scope, list(clients.values()))
    for key, client in clients.items():
        there: list[Counted] = [
            one for one in things[key] if one.basis is Basis.DEVICE and there_on(one, day or month.last)
        ]
        items = [item for one in counting.get(key, []) for item in one.items if item.basis is Basis.DEVICE]
        billed = {one.id for item in items for one in counted_for(item, there)}
        for one in there:
            if one.id in billed and one.id not in watched:
                reason = "it is billed, and nothing watches it: add a probe or an agent, or archive it"
            elif one.id in watched and one.id not in billed and (items or key not in counting):
                reason = "it is watched, and no part of an agreement counts it"
                if key not in counting:
                    reason = "it is watched, and the client has no agreement in this month"
            else:
                continue
            found.append(Mismatch(key, client.name, one.id, one.name, one.id in billed, reason))
            if len(found) >= MISMATCHES_MAX:
                return found
    return found


def find_assets_named(scope: Scope, identifiers: Sequence[str]) -> dict[str, str]:
    """Asset → name."""
    return dict(Asset.objects.of(scope).filter(pk__in=identifiers[:PAGE_MAX]).values_list("pk", "name"))
