"""How tests are shared out among processes: those of a file that starts servers stay together, and what
takes longest begins first. (With pytest 9 the groups of pytest-xdist are lost, so scopes are named here.)
"""

import re

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

# Their fixtures start a server, a store or an installation once for the file.
TOGETHER = ("tests/contract/", "tests/e2e/", "tests/gauntlet/", "tests/domain/test_keeping_deletion.py")
# Those that take longest begin first, so that no worker is left with one of them when the others are done.
LONG = (
    "test_browser_pages",
    "test_road",
    "test_device_secrets",
    "test_backup_drill",
    "test_nightly_break",
    "test_full_disk",
    "test_faults",
    "test_backup_story",
    "test_small_network",
    "test_client_deletion",
    "test_billing_month",
    "test_forwarding",
    "test_disk_fails",
    "test_roles_killed",
    "test_mail_road",
    "test_overload",
)
# The pictures of all pages are half of all tests with a browser: two workers share them, by the page's name.
PICTURES = re.compile(r"(tests/e2e/test_browser_pages\.py)::test_page\[(.+)-\w+\]$")


class Sharing(LoadScopeScheduling):
    """What a worker gets at a time."""

    def _split_scope(self, nodeid: str) -> str:
        if picture := PICTURES.match(nodeid):
            return picture[1] if len(picture[2]) % 2 else f"{picture[1]} too"
        return nodeid.partition("::")[0] if nodeid.startswith(TOGETHER) else nodeid


@pytest.hookimpl(optionalhook=True)  # also without pytest-xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Sharing | None:
    return Sharing(config, log) if config.getvalue("dist") == "loadscope" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {name: at for at, name in enumerate(LONG)}
    items.sort(key=lambda item: order.get(item.path.stem, len(order)))
