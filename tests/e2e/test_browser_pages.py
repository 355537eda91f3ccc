"""The console in a real browser: every page in both themes and at phone width, with pictures of them.

Nothing leaves the machine, the content security policy is strict and never violated, axe finds nothing,
no page is wider than a phone. Pictures are written to `screenshots/`.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlparse

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

from console_pages import filled, page_addresses
from console_seed import OWNER, PASSWORD
from e2e.console_server import Installation

pytestmark = pytest.mark.e2e
expect.set_options(timeout=60_000)  # a busy machine draws late

PICTURES = Path(__file__).parents[2] / "screenshots"
CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DESK, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}
LOOKS = {
    "light": ("light", DESK),
    "dark": ("dark", DESK),
    "phone": ("light", PHONE),
    "phone-dark": ("dark", PHONE),
}
NEEDED = {"default-src": "'none'", "frame-ancestors": "'none'", "base-uri": "'none'", "script-src": "'self'"}
OUTSIDE = {
    "sign-in": "/accounts/login/",
    "not-found": "/clients/06YE5M0WKHJW0/",
    "second-factor": "/accounts/2fa/",
    "password": "/accounts/password/change/",
    "password-forgotten": "/accounts/password/reset/",
    "closed": "/accounts/signup/",
    "used-link": "/set-up/nonsense/",
}
WITHOUT_A_PERSON = frozenset({"sign-in", "password-forgotten", "closed", "used-link"})
PAGES = page_addresses() | OUTSIDE


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with Installation(tmp_path_factory.mktemp("console")) as running:
        yield running


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation with an owner and nothing else: what each page says then."""
    with Installation(tmp_path_factory.mktemp("fresh"), empty=True, store=False) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


class Watched:
    """A browser window that notes what must not happen."""

    def __init__(self, context: BrowserContext, home: str) -> None:
        self.context, self.home = context, home
        self.strangers: list[str] = []
        self.complaints: list[str] = []
        self.streams: list[str] = []
        context.on("request", lambda request: self._note(request.url))
        context.on("console", self._listen)
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))

    def open(self, path: str) -> Page:
        """A new tab on a page, drawn to the end."""
        page = self.context.new_page()
        answer = page.goto(self.home + path, wait_until="load")
        assert answer is not None and answer.status < 500, f"{path}: {answer and answer.status}"
        policy = answer.headers["content-security-policy"]
        assert "unsafe" not in policy, policy
        parts = dict(part.strip().split(" ", 1) for part in policy.split(";") if " " in part.strip())
        assert {name: parts.get(name) for name in NEEDED} == NEEDED
        expect(page.locator("[data-chart]:empty")).to_have_count(0)
        page.evaluate("document.fonts.ready")
        return page

    def nothing_strange(self) -> None:
        """No request went elsewhere; no script failed; no policy was violated."""
        assert not self.strangers, f"left the machine: {self.strangers}"
        assert not self.complaints, self.complaints

    def _note(self, url: str) -> None:
        if urlparse(url).netloc != urlparse(self.home).netloc and not url.startswith(("data:", "blob:")):
            self.strangers.append(url)
        if urlparse(url).path == "/events":
            self.streams.append(url)

    def _listen(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not any(f"status of {code}" in message.text for code in (404, 410)):
            self.complaints.append(message.text)


def window(
    browser: Browser, running: Installation, look: str = "light", *, signed_in: bool = True
) -> Watched:
    scheme, size = LOOKS[look]
    context = browser.new_context(
        viewport=size, color_scheme=scheme, has_touch=size is PHONE, is_mobile=size is PHONE,
        reduced_motion="reduce",
    )  # fmt: skip
    context.set_default_timeout(60_000)
    if signed_in:
        context.add_cookies([{"name": "sessionid", "value": running.seeded["session"], "url": running.url}])
    return Watched(context, running.url)


@pytest.fixture(scope="module")
def windows(browser: Browser, seeded: Installation) -> Iterator[Callable[[str, bool], Watched]]:
    """A window of each kind, opened once: a new one for each of hundreds of pages takes a minute in all."""
    opened: dict[tuple[str, bool], Watched] = {}

    def of(look: str, signed_in: bool) -> Watched:
        if (look, signed_in) not in opened:
            opened[look, signed_in] = window(browser, seeded, look, signed_in=signed_in)
        return opened[look, signed_in]

    yield of
    for watched in opened.values():
        watched.context.close()


@pytest.mark.parametrize("look", ["light", "dark", "phone"])
@pytest.mark.parametrize("name", PAGES)
def test_page(windows: Callable[[str, bool], Watched], seeded: Installation, name: str, look: str) -> None:
    """A picture of each page; it fits, is accessible, and asks nobody else for anything."""
    watched = windows(look, name not in WITHOUT_A_PERSON)
    watched.strangers.clear()
    watched.complaints.clear()
    page = watched.open(filled(PAGES[name], seeded.seeded["ids"]))
    try:
        expect(page.locator("h1")).to_have_count(1)
        assert page.locator("[style]:not([data-chart] *)").count() == 0
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        PICTURES.mkdir(exist_ok=True)
        page.screenshot(path=PICTURES / f"{name}-{look}.png", full_page=True)
        found = Axe().run(page)
    finally:
        page.close()
    assert wide <= 0, f"{name} is {wide} px wider than the window"
    assert found.violations_count == 0, found.generate_report()
    watched.nothing_strange()


ANSWERS = {
    "configurations-found": "/configurations/?q=transport&client=Fairway+Motors",
    "configurations-missing": "/configurations/?q=10.9.9.9&absent=1",
    "configurations-mistake": "/configurations/?q=%28&mode=re",
    "client-settings-found": "/clients/<client>/settings/?q=ntp+server",
    "compare-one-column": "/versions/<version>/compare?view=one",
    "asset-configurations-running": "/assets/<asset>/configurations/?kind=running",
}


@pytest.mark.parametrize("look", ["light", "phone-dark"])
@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_about_configurations(browser: Browser, seeded: Installation, name: str, look: str) -> None:
    """What only a question in the address shows."""
    watched = window(browser, seeded, look)
    page = watched.open(filled(ANSWERS[name], seeded.seeded["ids"]))
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    page.screenshot(path=PICTURES / f"{name}-{look}.png", full_page=True)
    found = Axe().run(page)
    watched.context.close()
    assert wide <= 0, f"{name} is {wide} px wider than the window"
    assert found.violations_count == 0, found.generate_report()
    watched.nothing_strange()


def test_versions_are_chosen_and_compared_by_keyboard(browser: Browser, seeded: Installation) -> None:
    watched = window(browser, seeded)
    page = watched.open(f"/assets/{seeded.seeded['ids']['asset']}/configurations/?kind=running")
    page.get_by_label("Compare with version 2").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/compare\?with="))
    expect(page.locator("td.del")).to_have_text(" transport input telnet ssh")
    watched.nothing_strange()
    watched.context.close()


def test_a_chart_shows_its_mean_on_top_of_its_band(browser: Browser, seeded: Installation) -> None:
    """Six hours of samples in a window of seven days: few points, wide band. Pixels of the line's colour."""
    watched = window(browser, seeded)
    page = watched.open(f"/assets/{seeded.seeded['ids']['asset']}/?hours=168")
    inked = page.locator("[data-chart] canvas").first.evaluate(
        """(canvas) => {
            const probe = new OffscreenCanvas(1, 1).getContext("2d");
            probe.fillStyle = getComputedStyle(document.documentElement).getPropertyValue("--brand").trim();
            probe.fillRect(0, 0, 1, 1);
            const wanted = probe.getImageData(0, 0, 1, 1).data;
            const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            let found = 0;
            for (let at = 0; at < data.length; at += 4)
                found += [0, 1, 2].every((part) => Math.abs(data[at + part] - wanted[part]) < 40)
                    && data[at + 3] > 200;
            return found / canvas.width;
        }"""
    )
    watched.context.close()
    assert inked > 0.3, "the mean line is not seen"


def test_clients_and_their_sites_are_suggested_while_one_types(
    browser: Browser, seeded: Installation
) -> None:
    watched = window(browser, seeded)
    page = watched.open("/collectors/")
    page.get_by_label("Client").press_sequentially("juni")
    expect(page.locator("#names-enrol option")).to_have_count(1)
    expect(page.locator("#names-enrol option")).to_have_attribute("value", "Juniper Hotels")
    page.get_by_label("Client").fill("Juniper Hotels")
    page.get_by_label("Client").blur()
    expect(page.get_by_label("Site").locator("option")).to_have_count(2)
    watched.nothing_strange()
    watched.context.close()


@pytest.mark.parametrize("name", [name for name, path in page_addresses().items() if "<" not in path])
def test_empty_page_says_what_to_do(browser: Browser, fresh: Installation, name: str) -> None:
    """With nothing in it yet and a store that does not answer, a page still opens and says something."""
    watched = window(browser, fresh)
    page = watched.open(PAGES[name])
    PICTURES.mkdir(exist_ok=True)
    page.screenshot(path=PICTURES / f"{name}-empty.png", full_page=True)
    said = page.locator("main").inner_text()
    found = Axe().run(page)
    watched.context.close()
    assert len(said.split()) > 3, f"{name} says nothing"
    assert found.violations_count == 0, found.generate_report()
    watched.nothing_strange()


def test_signing_in_and_out(browser: Browser, seeded: Installation) -> None:
    watched = window(browser, seeded, signed_in=False)
    page = watched.open("/clients/")
    assert urlparse(page.url).path == "/accounts/login/"
    page.locator("input[type=email], input[name=login]").fill(OWNER)
    page.locator("input[type=password]").fill(PASSWORD)
    page.locator("main button[type=submit], form button").first.click()
    page.wait_for_url(re.compile(r"/clients/$"))
    expect(page.get_by_role("link", name="Fairway Motors").first).to_be_visible()
    watched.nothing_strange()
    watched.context.close()


def test_keyboard(browser: Browser, seeded: Installation) -> None:
    watched = window(browser, seeded)
    page = watched.open("/")
    page.keyboard.press("/")
    expect(page.locator("input[type=search]").first).to_be_focused()
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.locator("dialog[open]")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("dialog[open]")).to_have_count(0)
    page.keyboard.press("g")
    page.keyboard.press("f")
    page.wait_for_url(re.compile(r"/findings/$"))
    page.keyboard.press("j")
    first = page.evaluate("document.activeElement.getAttribute('href')")
    page.keyboard.press("j")
    second = page.evaluate("document.activeElement.getAttribute('href')")
    assert first and second and first != second, "j does not go from row to row"
    page.keyboard.press("k")
    assert page.evaluate("document.activeElement.getAttribute('href')") == first
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: urlparse(url).path == first)
    watched.nothing_strange()
    watched.context.close()


def test_theme_is_kept(browser: Browser, seeded: Installation) -> None:
    watched = window(browser, seeded)
    page = watched.open("/")
    assert page.locator("html").get_attribute("data-theme") == "light"
    page.locator("[data-theme-toggle]").first.click()
    assert page.locator("html").get_attribute("data-theme") == "dark"
    page.reload()
    assert page.locator("html").get_attribute("data-theme") == "dark"
    watched.nothing_strange()
    watched.context.close()


def test_menu_of_a_phone(browser: Browser, seeded: Installation) -> None:
    watched = window(browser, seeded, "phone")
    page = watched.open("/")
    link = page.get_by_role("navigation").get_by_role("link", name="Clients")
    expect(link).not_to_be_in_viewport()
    page.locator("[data-drawer-toggle]").first.click()
    expect(link).to_be_in_viewport()
    link.click()
    page.wait_for_url(re.compile(r"/clients/$"))
    watched.nothing_strange()
    watched.context.close()


def test_pages_are_live_and_share_one_stream(browser: Browser, seeded: Installation) -> None:
    """Two tabs, one stream; what goes wrong while somebody looks appears in both."""
    watched = window(browser, seeded)
    tabs = [watched.open("/"), watched.open("/")]
    expect(tabs[0].locator("#live-state")).to_have_attribute("data-state", "on")
    seeded.script("disturb")
    for tab in tabs:
        expect(tab.get_by_text("502 since now").first).to_be_visible(timeout=20_000)
    assert len(watched.streams) == 1, watched.streams
    tabs[0].close()
    expect(tabs[1].locator("#live-state")).to_have_attribute("data-state", "on")
    watched.nothing_strange()
    watched.context.close()


def test_a_contact_reports_from_a_phone(browser: Browser, seeded: Installation) -> None:
    """By a link, with one field to fill and one tap; no machine to choose, nothing wider than the phone."""
    watched = window(browser, seeded, "phone", signed_in=False)
    secret = seeded.script("portal").strip()
    page = watched.open(f"/portal/sign-in/{secret}/")
    page.get_by_role("button", name="Open the portal").tap()
    page.wait_for_url(re.compile(r"/portal/$"))
    pictured(page, "portal-report")
    page.get_by_label("In your own words").fill("The card reader at the till says no connection.")
    page.get_by_role("button", name="Send", exact=True).tap()
    page.wait_for_url(re.compile(r"/portal/tickets/[0-9A-Z]{13}/$"))
    expect(page.get_by_role("status")).to_contain_text("We have it: it is ticket #")
    expect(page.get_by_label("Conversation")).to_contain_text("The card reader at the till")
    pictured(page, "portal-ticket")
    for name in ("Tickets", "Backups"):
        page.get_by_role("link", name=name, exact=True).tap()
        page.wait_for_url(re.compile(rf"/portal/{name.lower()}/$"))
        pictured(page, f"portal-{name.lower()}")
    watched.nothing_strange()
    watched.context.close()


def pictured(page: Page, name: str) -> None:
    """Axe finds nothing, it is no wider than the window, and a picture is written."""
    found = Axe().run(page)
    assert not found.response["violations"], found.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{name} is too wide"
    page.screenshot(path=PICTURES / f"{name}-phone.png", full_page=True)


def test_a_technician_works_with_the_keyboard_alone(browser: Browser, seeded: Installation) -> None:
    """Somebody rings: a ticket is entered, worked on, answered and resolved, and found again."""
    watched = window(browser, seeded)
    page = watched.open("/tickets/")
    keys = page.keyboard
    keys.press("n")
    page.wait_for_url(re.compile(r"/tickets/new$"))
    page.locator("form [name=client]").focus()
    keys.type(page.evaluate("document.querySelector('#names-ticket option')?.value") or "")
    keys.press("Tab")
    keys.type("Nobody can print on the first floor")
    keys.press("Control+Enter")
    page.wait_for_url(re.compile(r"/tickets/[0-9A-Z]{13}/$"))
    ticket = page.url
    for key, text in (("i", "Rang back: the tray is empty."), ("r", "Please fill the tray, and tell us.")):
        keys.press(key)
        keys.type(text)
        with page.expect_navigation():
            keys.press("Control+Enter")
        expect(page.locator("#timeline")).to_contain_text(text)
    with page.expect_navigation():
        keys.press("t")
    expect(page.locator("button[data-key=t]")).to_contain_text("Stop")
    with page.expect_navigation():
        keys.press("t")
    keys.press("e")
    keys.type("resolved")
    with page.expect_navigation():
        keys.press("Control+Enter")
    expect(page.locator("main .pill").first).to_contain_text("Resolved")
    keys.press("g")
    keys.press("t")
    page.wait_for_url(re.compile(r"/tickets/$"))
    keys.press("j")
    keys.press("x")
    expect(page.locator("input[name=ticket]:checked")).to_have_count(1)
    keys.press("f")
    keys.type("tray")
    with page.expect_navigation():
        keys.press("Enter")
    keys.press("j")
    keys.press("o")
    page.wait_for_url(ticket)
    watched.nothing_strange()
    watched.context.close()
