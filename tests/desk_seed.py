"""The desk's set-up for the examples of pages and of the tenancy matrix: a client's own service level, a
template, a recurring ticket."""

from datetime import datetime, timedelta

from estate_factories import EVERYTHING
from forestall.tickets.setting_up import (
    LevelTerms,
    RecurringTerms,
    TemplateTerms,
    keep_level,
    keep_recurring,
    keep_template,
)

OFFICE = [[480, 720], [780, 1020]]


def desk_set_up(ids: dict[str, str], now: datetime) -> None:
    """For `ids["client"]`; what an address can name of it is added to `ids`."""
    client = ids["client"]
    terms = LevelTerms(
        name="Their own", timezone="Europe/Berlin", hours=[OFFICE] * 5 + [[], []], country="DE",
        subdivision="BY", targets={"1": [1800, 4 * 3600], "3": [4 * 3600, None]},
    )  # fmt: skip
    level = keep_level(EVERYTHING, terms, client=client, now=now)
    sort = TemplateTerms(
        name="Theirs", title="A new employee", checklist=["account", "mailbox"], tags=["new"]
    )
    template = keep_template(EVERYTHING, sort, client=client, now=now)
    again = RecurringTerms(template=template.pk, every="month", next_at=now + timedelta(days=3))
    recurring = keep_recurring(EVERYTHING, again, client=client, now=now)
    ids |= {"service_level": level.pk, "ticket_template": template.pk, "recurring": recurring.pk}
