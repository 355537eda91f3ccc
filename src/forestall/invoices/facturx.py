"""The document as UN/CEFACT CII (Factur-X, profile EN 16931) and as UBL 2.1. Pure.

Source: EN 16931-1 (semantic model), EN 16931-3-3 (CII), EN 16931-3-2 (UBL); Factur-X 1.0.
"""

from collections.abc import Callable
from datetime import date
from xml.sax.saxutils import escape

from forestall.agreements.money import written
from forestall.invoices.values import Content, Kind, Party

PROFILE = "urn:cen.eu:en16931:2017"
UNIT = "C62"  # one
TYPE_CODES = {Kind.INVOICE: "380", Kind.CREDIT: "381", Kind.LATE_FEE: "380"}
SEPA = "58"
RSM = "urn:un:unece:uncefact:data:standard:CrossIndustryInvoice:100"
RAM = "urn:un:unece:uncefact:data:standard:ReusableAggregateBusinessInformationEntity:100"
UDT = "urn:un:unece:uncefact:data:standard:UnqualifiedDataType:100"
CAC = "urn:oasis:names:specification:ubl:schema:xsd:CommonAggregateComponents-2"
CBC = "urn:oasis:names:specification:ubl:schema:xsd:CommonBasicComponents-2"


def cii(one: Content) -> bytes:
    """The CII document."""
    money = _money(one)
    lines = "".join(
        f"<ram:IncludedSupplyChainTradeLineItem><ram:AssociatedDocumentLineDocument><ram:LineID>{place}"
        f"</ram:LineID></ram:AssociatedDocumentLineDocument><ram:SpecifiedTradeProduct>"
        f"<ram:Name>{_t(line.name)}</ram:Name>{_opt('ram:Description', line.note)}"
        f"</ram:SpecifiedTradeProduct>"
        f"<ram:SpecifiedLineTradeAgreement><ram:NetPriceProductTradePrice><ram:ChargeAmount>"
        f"{money(line.price_minor)}</ram:ChargeAmount></ram:NetPriceProductTradePrice>"
        f"</ram:SpecifiedLineTradeAgreement><ram:SpecifiedLineTradeDelivery>"
        f'<ram:BilledQuantity unitCode="{UNIT}">{line.quantity}</ram:BilledQuantity>'
        f"</ram:SpecifiedLineTradeDelivery><ram:SpecifiedLineTradeSettlement><ram:ApplicableTradeTax>"
        f"<ram:TypeCode>VAT</ram:TypeCode><ram:CategoryCode>{line.category}</ram:CategoryCode>"
        f"{_rate(line.category, line.percent)}</ram:ApplicableTradeTax>"
        f"<ram:SpecifiedTradeSettlementLineMonetarySummation><ram:LineTotalAmount>{money(line.amount_minor)}"
        f"</ram:LineTotalAmount></ram:SpecifiedTradeSettlementLineMonetarySummation>"
        f"</ram:SpecifiedLineTradeSettlement></ram:IncludedSupplyChainTradeLineItem>"
        for place, line in enumerate(one.lines, start=1)
    )
    taxes = "".join(
        f"<ram:ApplicableTradeTax><ram:CalculatedAmount>{money(tax.tax_minor)}</ram:CalculatedAmount>"
        f"<ram:TypeCode>VAT</ram:TypeCode>{_opt('ram:ExemptionReason', _reason(tax.category, tax.reason))}"
        f"<ram:BasisAmount>{money(tax.base_minor)}</ram:BasisAmount><ram:CategoryCode>{tax.category}"
        f"</ram:CategoryCode>{_rate(tax.category, tax.percent)}</ram:ApplicableTradeTax>"
        for tax in one.taxes
    )
    order = (
        f"<ram:BuyerOrderReferencedDocument><ram:IssuerAssignedID>{_t(one.purchase_order)}"
        f"</ram:IssuerAssignedID></ram:BuyerOrderReferencedDocument>"
        if one.purchase_order
        else ""
    )
    contract = (
        f"<ram:ContractReferencedDocument><ram:IssuerAssignedID>{_t(one.agreement)}</ram:IssuerAssignedID>"
        f"</ram:ContractReferencedDocument>"
    )
    means = (
        f"<ram:SpecifiedTradeSettlementPaymentMeans><ram:TypeCode>{SEPA}</ram:TypeCode>"
        f"<ram:PayeePartyCreditorFinancialAccount><ram:IBANID>{_t(one.iban)}</ram:IBANID>"
        f"</ram:PayeePartyCreditorFinancialAccount></ram:SpecifiedTradeSettlementPaymentMeans>"
        if one.iban
        else ""
    )
    before = (
        f"<ram:InvoiceReferencedDocument><ram:IssuerAssignedID>{_t(one.preceding)}</ram:IssuerAssignedID>"
        f"</ram:InvoiceReferencedDocument>"
        if one.preceding
        else ""
    )
    text = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<rsm:CrossIndustryInvoice xmlns:rsm="{RSM}" '
        f'xmlns:ram="{RAM}" '
        f'xmlns:udt="{UDT}"><rsm:ExchangedDocumentContext><ram:GuidelineSpecifiedDocumentContextParameter>'
        f"<ram:ID>{PROFILE}</ram:ID></ram:GuidelineSpecifiedDocumentContextParameter>"
        f"</rsm:ExchangedDocumentContext><rsm:ExchangedDocument><ram:ID>{_t(one.number)}</ram:ID>"
        f"<ram:TypeCode>{TYPE_CODES[one.kind]}</ram:TypeCode><ram:IssueDateTime>{_date(one.issued_on)}"
        f"</ram:IssueDateTime><ram:IncludedNote><ram:Content>{_t(one.rounding)}</ram:Content>"
        f"</ram:IncludedNote></rsm:ExchangedDocument><rsm:SupplyChainTradeTransaction>{lines}"
        f"<ram:ApplicableHeaderTradeAgreement>{_opt('ram:BuyerReference', one.purchase_order)}"
        f"<ram:SellerTradeParty>{_party(one.seller)}</ram:SellerTradeParty>"
        f"<ram:BuyerTradeParty>{_party(one.buyer)}</ram:BuyerTradeParty>{order}{contract}"
        f"</ram:ApplicableHeaderTradeAgreement><ram:ApplicableHeaderTradeDelivery>"
        f"<ram:ActualDeliverySupplyChainEvent><ram:OccurrenceDateTime>{_date(one.last)}"
        f"</ram:OccurrenceDateTime></ram:ActualDeliverySupplyChainEvent></ram:ApplicableHeaderTradeDelivery>"
        f"<ram:ApplicableHeaderTradeSettlement><ram:PaymentReference>{_t(one.number)}</ram:PaymentReference>"
        f"<ram:InvoiceCurrencyCode>{one.currency}</ram:InvoiceCurrencyCode>{means}{taxes}"
        f"<ram:BillingSpecifiedPeriod><ram:StartDateTime>{_date(one.first)}</ram:StartDateTime>"
        f"<ram:EndDateTime>{_date(one.last)}</ram:EndDateTime></ram:BillingSpecifiedPeriod>"
        f"<ram:SpecifiedTradePaymentTerms><ram:DueDateDateTime>{_date(one.due_on)}</ram:DueDateDateTime>"
        f"</ram:SpecifiedTradePaymentTerms><ram:SpecifiedTradeSettlementHeaderMonetarySummation>"
        f"<ram:LineTotalAmount>{money(one.net_minor)}</ram:LineTotalAmount>"
        f"<ram:TaxBasisTotalAmount>{money(one.net_minor)}</ram:TaxBasisTotalAmount>"
        f'<ram:TaxTotalAmount currencyID="{one.currency}">{money(one.tax_minor)}</ram:TaxTotalAmount>'
        f"<ram:GrandTotalAmount>{money(one.total_minor)}</ram:GrandTotalAmount>"
        f"<ram:DuePayableAmount>{money(one.total_minor)}</ram:DuePayableAmount>"
        f"</ram:SpecifiedTradeSettlementHeaderMonetarySummation>{before}"
        f"</ram:ApplicableHeaderTradeSettlement></rsm:SupplyChainTradeTransaction></rsm:CrossIndustryInvoice>\n"
    )
    return text.encode()


def ubl(one: Content) -> bytes:
    """The same as UBL: Invoice, or CreditNote."""
    money, credit = _money(one), one.kind is Kind.CREDIT
    root = "CreditNote" if credit else "Invoice"
    cur = f'currencyID="{one.currency}"'
    lines = "".join(
        f"<cac:{root}Line><cbc:ID>{place}</cbc:ID>"
        f'<cbc:{"Credited" if credit else "Invoiced"}Quantity unitCode="{UNIT}">{line.quantity}'
        f"</cbc:{'Credited' if credit else 'Invoiced'}Quantity>"
        f"<cbc:LineExtensionAmount {cur}>{money(line.amount_minor)}</cbc:LineExtensionAmount><cac:Item>"
        f"{_opt('cbc:Description', line.note)}<cbc:Name>{_t(line.name)}</cbc:Name><cac:ClassifiedTaxCategory>"
        f"{_ubl_category(line.category, line.percent, '')}</cac:ClassifiedTaxCategory></cac:Item>"
        f"<cac:Price><cbc:PriceAmount {cur}>{money(line.price_minor)}</cbc:PriceAmount></cac:Price>"
        f"</cac:{root}Line>"
        for place, line in enumerate(one.lines, start=1)
    )
    taxes = "".join(
        f"<cac:TaxSubtotal><cbc:TaxableAmount {cur}>{money(tax.base_minor)}</cbc:TaxableAmount>"
        f"<cbc:TaxAmount {cur}>{money(tax.tax_minor)}</cbc:TaxAmount><cac:TaxCategory>"
        f"{_ubl_category(tax.category, tax.percent, _reason(tax.category, tax.reason))}</cac:TaxCategory>"
        f"</cac:TaxSubtotal>"
        for tax in one.taxes
    )
    due = "" if credit else f"<cbc:DueDate>{one.due_on}</cbc:DueDate>"
    before = (
        f"<cac:BillingReference><cac:InvoiceDocumentReference><cbc:ID>{_t(one.preceding)}</cbc:ID>"
        f"</cac:InvoiceDocumentReference></cac:BillingReference>"
        if one.preceding
        else ""
    )
    order = (
        f"<cac:OrderReference><cbc:ID>{_t(one.purchase_order)}</cbc:ID></cac:OrderReference>"
        if one.purchase_order
        else ""
    )
    means = (
        f"<cac:PaymentMeans><cbc:PaymentMeansCode>{SEPA}</cbc:PaymentMeansCode>"
        f"<cbc:PaymentID>{_t(one.number)}</cbc:PaymentID><cac:PayeeFinancialAccount><cbc:ID>{_t(one.iban)}"
        f"</cbc:ID></cac:PayeeFinancialAccount></cac:PaymentMeans>"
        if one.iban
        else ""
    )
    text = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<{root} '
        f'xmlns="urn:oasis:names:specification:ubl:schema:xsd:{root}-2"'
        f' xmlns:cac="{CAC}" xmlns:cbc="{CBC}"><cbc:CustomizationID>{PROFILE}</cbc:CustomizationID>'
        f"<cbc:ID>{_t(one.number)}</cbc:ID><cbc:IssueDate>{one.issued_on}</cbc:IssueDate>{due}"
        f"<cbc:{root}TypeCode>{TYPE_CODES[one.kind]}</cbc:{root}TypeCode><cbc:Note>{_t(one.rounding)}</cbc:Note>"
        f"<cbc:DocumentCurrencyCode>{one.currency}</cbc:DocumentCurrencyCode>"
        f"{_opt('cbc:BuyerReference', one.purchase_order)}<cac:InvoicePeriod><cbc:StartDate>{one.first}"
        f"</cbc:StartDate><cbc:EndDate>{one.last}</cbc:EndDate></cac:InvoicePeriod>{order}{before}"
        f"<cac:ContractDocumentReference><cbc:ID>{_t(one.agreement)}</cbc:ID></cac:ContractDocumentReference>"
        f"<cac:AccountingSupplierParty>{_ubl_party(one.seller)}</cac:AccountingSupplierParty>"
        f"<cac:AccountingCustomerParty>{_ubl_party(one.buyer)}</cac:AccountingCustomerParty>{means}"
        f"<cac:TaxTotal><cbc:TaxAmount {cur}>{money(one.tax_minor)}</cbc:TaxAmount>{taxes}</cac:TaxTotal>"
        f"<cac:LegalMonetaryTotal><cbc:LineExtensionAmount {cur}>{money(one.net_minor)}"
        f"</cbc:LineExtensionAmount>"
        f"<cbc:TaxExclusiveAmount {cur}>{money(one.net_minor)}</cbc:TaxExclusiveAmount>"
        f"<cbc:TaxInclusiveAmount {cur}>{money(one.total_minor)}</cbc:TaxInclusiveAmount>"
        f"<cbc:PayableAmount {cur}>{money(one.total_minor)}</cbc:PayableAmount></cac:LegalMonetaryTotal>"
        f"{lines}</{root}>\n"
    )
    return text.encode()


def _party(who: Party) -> str:
    legal = (
        f"<ram:SpecifiedLegalOrganization><ram:ID>{_t(who.registration)}</ram:ID></ram:SpecifiedLegalOrganization>"
        if who.registration
        else ""
    )
    tax = (
        f'<ram:SpecifiedTaxRegistration><ram:ID schemeID="VA">{_t(who.vat)}</ram:ID>'
        "</ram:SpecifiedTaxRegistration>"
        if who.vat
        else ""
    )
    return (
        f"<ram:Name>{_t(who.name)}</ram:Name>{legal}<ram:PostalTradeAddress><ram:PostcodeCode>{_t(who.postcode)}"
        f"</ram:PostcodeCode><ram:LineOne>{_t(who.street)}</ram:LineOne><ram:CityName>{_t(who.city)}</ram:CityName>"
        f"<ram:CountryID>{_t(who.country)}</ram:CountryID></ram:PostalTradeAddress>{tax}"
    )


def _ubl_party(who: Party) -> str:
    tax = (
        f"<cac:PartyTaxScheme><cbc:CompanyID>{_t(who.vat)}</cbc:CompanyID><cac:TaxScheme><cbc:ID>VAT</cbc:ID>"
        f"</cac:TaxScheme></cac:PartyTaxScheme>"
        if who.vat
        else ""
    )
    return (
        f"<cac:Party><cac:PostalAddress><cbc:StreetName>{_t(who.street)}</cbc:StreetName><cbc:CityName>"
        f"{_t(who.city)}</cbc:CityName><cbc:PostalZone>{_t(who.postcode)}</cbc:PostalZone><cac:Country>"
        f"<cbc:IdentificationCode>{_t(who.country)}</cbc:IdentificationCode></cac:Country></cac:PostalAddress>"
        f"{tax}<cac:PartyLegalEntity><cbc:RegistrationName>{_t(who.name)}</cbc:RegistrationName>"
        f"{_opt('cbc:CompanyID', who.registration)}</cac:PartyLegalEntity></cac:Party>"
    )


def _ubl_category(category: str, percent: int, reason: str) -> str:
    rate = "" if category == "O" else f"<cbc:Percent>{percent / 100:.2f}</cbc:Percent>"
    return (
        f"<cbc:ID>{category}</cbc:ID>{rate}{_opt('cbc:TaxExemptionReason', reason)}"
        f"<cac:TaxScheme><cbc:ID>VAT</cbc:ID></cac:TaxScheme>"
    )


def _rate(category: str, percent: int) -> str:
    if category == "O":
        return ""
    return f"<ram:RateApplicablePercent>{percent / 100:.2f}</ram:RateApplicablePercent>"


def _reason(category: str, reason: str) -> str:
    return reason if category in ("E", "AE", "O", "G", "K") else ""


def _money(one: Content) -> Callable[[int], str]:
    return lambda amount: written(amount, one.currency)


def _date(day: date) -> str:
    return f'<udt:DateTimeString format="102">{day:%Y%m%d}</udt:DateTimeString>'


def _opt(tag: str, text: str) -> str:
    return f"<{tag}>{_t(text)}</{tag}>" if text.strip() else ""


def _t(text: str) -> str:
    return escape("".join(c for c in text if c.isprintable()).strip())
