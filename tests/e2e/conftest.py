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


PARTS = 2  # of the pictures of all pages, which are half of all tests here


@pytest.hookimpl(tryfirst=True)  # before the groups are read
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {name: at for at, name in enumerate(LONG)}
    items.sort(key=lambda item: order.get(item.path.stem, len(order)))
    part = -1
    for item in items:
        group = item.path.stem
        if item.name.startswith("test_page["):
            part += 1
            group = f"{group}_{part // 3 % PARTS}"  # the three looks of a page stay together
        item.add_marker(pytest.mark.xdist_group(group))
