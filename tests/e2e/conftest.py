"""The order of the files that start an installation or a browser."""

import pytest

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
PICTURES, PARTS = "test_browser_pages", 2  # half of all tests here; two workers share them


@pytest.hookimpl(tryfirst=True)  # before the groups are read
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {name: at for at, name in enumerate(LONG)}
    items.sort(key=lambda item: order.get(item.path.stem, len(order)))
    pages = 0
    for item in items:
        group = item.path.stem
        if group == PICTURES:
            part = 0
            if item.name.startswith("test_page["):
                part, pages = pages // 3 % PARTS, pages + 1  # the three looks of a page stay together
            group = f"{group}_{part}"
        item.add_marker(pytest.mark.xdist_group(group))
