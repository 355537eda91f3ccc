"""Issues the run of a database file, and kills itself at the n-th write (tests/domain/test_invoices)."""

import os
import signal
import sys
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "src")]
os.environ["DJANGO_SETTINGS_MODULE"] = "settings_for_tests"


def main() -> None:
    import django
    from django.conf import settings

    settings.DATABASES["default"]["NAME"] = os.environ["ISSUE_DATABASE"]
    django.setup()
    from django.db import connection

    from billing_seed import NOW
    from estate_factories import EVERYTHING
    from forestall.invoices.models import Run
    from forestall.invoices.runs import issue

    left = int(os.environ["ISSUE_KILL_AT"])

    def count(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        nonlocal left
        if sql.startswith(("INSERT", "UPDATE")):
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(count):
        issue(EVERYTHING, Run.objects.get(), now=NOW)


if __name__ == "__main__":
    main()
