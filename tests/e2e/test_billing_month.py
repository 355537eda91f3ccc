"""A first-time accountant does a month in a real browser, from the company to the credit note.

Pictures of every step in both themes are written to `screenshots/`. The mail goes to a real SMTP server.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright

from billing_seed import BUYER, SELLER
from e2e.console_server import Installation
from e2e.test_browser_pages import CHROMIUM, FLAGS, LOOKS, PICTURES, window
from notifier_servers import MailServer

pytestmark = pytest.mark.e2e
expect.set_options(timeout=60_000)  # a busy machine draws late
SENDER = "billing@provider.example"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


def picture(page: Page, name: str) -> None:
    """The page in both themes; it is accessible in both."""
    PICTURES.mkdir(exist_ok=True)
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        page.locator("html").evaluate("(html, theme) => { html.dataset.theme = theme }", theme)
        page.screenshot(path=PICTURES / f"month-{name}-{theme}.png", full_page=True)
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()


def fill(page: Page, given: dict[str, str]) -> None:
    for name, text in given.items():
        page.locator(f"main [name={name}]").first.fill(text)


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name).click()
    page.wait_for_load_state("load")


def test_a_first_time_accountant_does_the_month(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory
) -> None:
    first = (datetime.now(UTC).date().replace(day=1) - timedelta(days=1)).replace(day=1)
    with MailServer() as server:
        mail = {
            "FORESTALL_MAIL__HOST": "127.0.0.1", "FORESTALL_MAIL__PORT": str(server.port),
            "FORESTALL_MAIL__SENDER": SENDER,
        }  # fmt: skip
        directory = tmp_path_factory.mktemp("month")
        with Installation(directory, empty=True, store=False, settings=mail) as running:
            running.script("client", "Harbor Credit Union")
            watched = window(browser, running)
            page = watched.open("/billing/")
            _set_up(page)
            _agree(page, first)
            _bill(page, first)
            _send(page, server)
            _take_back(page)
            phone = window(browser, running, "phone")
            for path in ("/billing/", "/billing/prices/", "/billing/open-items/", "/agreements/new"):
                small = phone.open(path)
                wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
                assert small.evaluate(wide) <= 0, path
                small.close()
            # the form that was refused on purpose
            watched.complaints = [one for one in watched.complaints if "status of 400" not in one]
            watched.nothing_strange()
            phone.nothing_strange()
    assert set(LOOKS) >= {"light", "dark"}


def _set_up(page: Page) -> None:
    expect(page.get_by_text("Before the first month")).to_be_visible()
    fill(page, {name: text for name, text in SELLER.items() if name != "id"})
    press(page, "Save")
    page.get_by_role("link", name="Prices and tax rates").first.click()
    page.wait_for_url("**/billing/prices/")
    fill(page, {"key": "care", "price": "95.00", "tax": "standard"})
    page.locator("form[action$=put] [name=name]").fill("Complete care, per user")
    press(page, "Put it into the book")
    fill(page, {"version": "DE 2020", "rates": "standard; S; 19.00"})
    page.locator("form[action$=rates] [name=from_on]").fill("2020-01-01")
    press(page, "Write the rates down")
    expect(page.get_by_text("not signed off: it bills nothing")).to_be_visible()
    press(page, "I checked these rates")
    page.goto(page.url.split("/billing")[0] + "/billing/prices/")
    picture(page, "prices")


def _agree(page: Page, first: date) -> None:
    page.goto(page.url.split("/billing")[0] + "/agreements/new")
    fill(page, {"client": "Harbor Credit Union", "name": "Complete care", "name_0": "Complete care, per user",
                "price_0": "0", "minimum_0": "46", "email": "accounts@client.example"})  # fmt: skip
    fill(page, {name: text for name, text in BUYER.items() if name != "language"})
    page.locator("[name=tax_0]").select_option("standard")
    press(page, "Make the agreement")
    expect(page.get_by_text("a price is above nothing").first).to_be_visible()
    expect(page.get_by_text("an agreement needs its first day").first).to_be_visible()
    picture(page, "agreement-refused")
    fill(page, {"price_0": "95.00", "starts_on": first.isoformat()})
    press(page, "Try it on the last twelve months")
    expect(page.get_by_role("heading", name="What it would have cost")).to_be_visible()
    expect(page.get_by_text("€5,200.30").first).to_be_visible()  # 46 × 95 and 19%
    picture(page, "simulation")
    press(page, "Make the agreement")
    expect(page.get_by_text("AGR-0001 is made")).to_be_visible()
    picture(page, "agreement")


def _bill(page: Page, first: date) -> None:
    page.goto(page.url.split("/agreements")[0] + "/billing/")
    fill(page, {"month": f"{first:%Y-%m}"})
    press(page, "Preview this month")
    expect(page.get_by_text("1 bill, €5,200.30")).to_be_visible()
    picture(page, "preview")
    press(page, "Approve")
    press(page, "Issue")
    expect(page.get_by_role("link", name="INV-")).to_be_visible()


def _send(page: Page, server: MailServer) -> None:
    press(page, "Send 1 by mail")
    expect(page.get_by_text("1 documents were mailed.")).to_be_visible()
    picture(page, "sent")
    (mail,) = server.inbox
    parts = {part.get_content_type(): part.get_content() for part in mail.iter_attachments()}
    assert mail["To"] == "accounts@client.example" and mail["From"] == SENDER and "INV-" in mail["Subject"]
    assert parts["application/pdf"].startswith(b"%PDF") and mail["References"].startswith("<agreement.")


def _take_back(page: Page) -> None:
    page.get_by_role("link", name="INV-").click()
    page.wait_for_url("**/invoices/**")
    picture(page, "invoice")
    home = page.url.split("/invoices")[0]
    page.goto(home + "/billing/open-items/")
    expect(page.get_by_text("€5,200.30").first).to_be_visible()
    picture(page, "open-items")
    page.get_by_role("link", name="INV-").click()
    page.wait_for_url("**/invoices/**")
    fill(page, {"because": "The first month is a gift."})
    press(page, "Write a credit note")
    page.get_by_role("link", name="CN-").click()
    page.wait_for_url("**/invoices/**")
    picture(page, "credit-note")
    page.goto(home + "/billing/open-items/")
    expect(page.get_by_text("Nothing is open.")).to_be_visible()
