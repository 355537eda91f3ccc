"""A real nginx that a nightly job breaks again and again, on a real installation: the agent captures its
configuration, the server's probe sees it fail, and the problem behind it is found, fixed in vain, fixed well.

Everything happens for real and within a minute: the job is a shell script that rewrites a file and signals
nginx. Only the days between the nights are not waited for: between two of them the rows of what happened
(findings, alerts, tickets, changes, problems) are dated DAYS back, all by the same, so that every distance
inside a night stays what it was. Nobody dates anything back while a finding is open.
"""

import signal
import subprocess
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from contract.daemons import free_port, nginx
from e2e.installation import Installation, installed, poll

pytestmark = pytest.mark.e2e

SITE, CLIENT = "till.example", "Our own network"
DAYS = 3
WITHIN_S = 90.0
FIND = f"""
from datetime import timedelta
from django.utils import timezone
from forestall.estate.models import Asset
from forestall.estate.tenancy import system_scope
from forestall.configs.models import Change
from forestall.findings.models import Finding
from forestall.problems import actions, queries
from forestall.problems.models import Fix, Occurrence, Problem, Suspects
scope, now = system_scope("test"), timezone.now()
site = Asset.objects.get(name={SITE!r})
problem = Problem.objects.filter(asset=site).first()
"""


@dataclass
class Shop:
    """The files of a web server, its nightly job, and the process."""

    home: Path
    port: int
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def conf(self) -> Path:
        return self.home / "site.conf"

    @property
    def crontab(self) -> Path:
        return self.home / "crontab"

    @property
    def banner(self) -> Path:
        return self.home / "banner.txt"

    def write(self, then: str) -> None:
        """The server block as a person writes it."""
        self.conf.write_text(
            f"server {{ listen 127.0.0.1:{self.port}; error_log {self.home}/error.log;"
            f" location / {{\n  {then}\n}} }}\n"
        )

    def good_morning(self) -> None:
        """Somebody puts the file right and reloads."""
        self.write("return 200 'open';")
        assert self.process is not None
        self.process.send_signal(signal.SIGHUP)

    def night(self) -> None:
        """What cron would start: the lines of the crontab, one after the other."""
        assert self.process is not None
        for line in self.crontab.read_text().splitlines():
            if not line.startswith("#"):
                command = line.split(None, 5)[5]
                subprocess.run(["sh", "-c", command, "sh", str(self.process.pid)], check=True, cwd=self.home)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    found = Shop(tmp_path_factory.mktemp("shop"), free_port())
    found.banner.write_text("welcome\n")
    found.crontab.write_text("0 2 * * * sh renew.sh $1\n")
    (found.home / "renew.sh").write_text(  # the port of a backend that was moved away years ago
        f"sed -i 's#return 200 .*;#proxy_pass http://127.0.0.1:{free_port()};#' site.conf && kill -HUP $1\n"
    )
    found.write("return 200 'open';")
    (found.home / "error.log").write_text("")
    with nginx(f"include {found.conf};", port=found.port, reloads=True) as process:
        found.process = process
        yield found


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory, shop: Shop) -> Iterator[Installation]:
    data = tmp_path_factory.mktemp("installation") / "data"
    (data / "agent").mkdir(mode=0o700, parents=True)
    files = ", ".join(f'"{one}"' for one in (shop.conf, shop.crontab, shop.banner))
    (data / "agent" / "agent.toml").write_text(
        f'[look.etc_files]\nmore = [{files}]\n[look.log_files]\nmore = ["{shop.home}/error.log"]\n'
    )
    with installed(data) as started:
        yield started


def ask(up: Installation, body: str) -> Any:
    return up.desk.ask(FIND + textwrap.dedent(body))


def changes(up: Installation, file: Path) -> int:
    """How many changes of a file were seen."""
    return int(ask(up, f"return Change.objects.filter(kind__contains={str(file)!r}).count()"))


def failing(up: Installation) -> list[bool]:
    """Of each finding of the site, whether it is open."""
    rows = "Finding.objects.filter(asset=site, rule='probe-failed').order_by('began_at')"
    return list(ask(up, f"return [one.ended_at is None for one in {rows}]"))


def pass_days(up: Installation, days: int = DAYS) -> None:
    """Date everything that happened so many days back."""
    ask(
        up,
        f"""
        from django.apps import apps
        from django.db import models, transaction
        from django.db.models import F
        mine = [one for name in ("findings", "alerts", "tickets", "problems")
                for one in apps.get_app_config(name).get_models()]
        with transaction.atomic():
            for model in (*mine, Change):
                at = [f.name for f in model._meta.concrete_fields if isinstance(f, models.DateTimeField)]
                for name in at:
                    model.objects.filter(**{{f"{{name}}__isnull": False}}).update(
                        **{{name: F(name) - timedelta(days={days})}})
        """,
    )


def bad_night(up: Installation, shop: Shop, *, mend: bool = True) -> None:
    """The job breaks it, it is found; in the morning it is put right, and that is seen."""
    before, seen = len(failing(up)), changes(up, shop.conf)
    shop.night()
    poll(lambda: failing(up)[before:] == [True], within_s=WITHIN_S, what="the failure is found")
    poll(lambda: changes(up, shop.conf) > seen, within_s=WITHIN_S, what="the job's change is captured")
    if mend:
        shop.good_morning()
        poll(lambda: not any(failing(up)), within_s=WITHIN_S, what="it is over")
        poll(lambda: changes(up, shop.conf) > seen + 1, within_s=WITHIN_S, what="the repair is captured")


def test_the_change_behind_a_service_that_fails_again_and_again(up: Installation, shop: Shop) -> None:
    begin(up, shop)
    bad_night(up, shop)
    assert ask(up, "return problem is None")
    pass_days(up)
    shop.banner.write_text("welcome back\n")  # somebody changes something else on the same evening
    poll(lambda: changes(up, shop.banner) == 1, within_s=WITHIN_S, what="another change is captured")
    bad_night(up, shop)

    status, why, times = poll(
        lambda: ask(up, "return problem and [problem.status, problem.why, problem.occurrences.count()]"),
        within_s=WITHIN_S,
        what="a problem is proposed at the second time",
    )
    assert (status, times) == ("proposed", 2)
    assert "the same trouble came 2 times within 3 days" in why
    ranked = poll(lambda: first_is(up, shop.conf), within_s=WITHIN_S, what="the change is ranked first")
    print("suspects:", [(one["title"], one["share"]) for one in ranked])
    said = " ".join(ranked[0]["evidence"])
    assert "came before 2 of the 2 times" in said and "which this asset hangs on" in said

    shifts = poll(
        lambda: ask(
            up,
            """
            found = Suspects.objects.filter(problem=problem).order_by("-onset_at").first().found
            return [one["text"] for one in found.get("shifts", ()) if "upstream" in one["text"]]
            """,
        ),
        within_s=WITHIN_S,
        what="the log line that is new is found",
    )
    print("new log templates:", shifts)

    fixed = name_fix(up, shop.conf)  # the file was put right, not the job that breaks it
    assert "it came 2 times" in fixed
    pass_days(up)
    bad_night(up, shop, mend=False)
    poll(
        lambda: (
            ask(up, "return [problem.status, problem.reopened, problem.fixes.get().state]")
            == ["open", 1, "came_back"]
        ),
        within_s=WITHIN_S,
        what="it came back, and that counts against the fix",
    )
    assert ask(up, "return [one[0].came_back for one in queries.came_back_rates(scope).values()]") == [1] * 4

    shop.crontab.write_text("# 0 2 * * * sh renew.sh $1\n")
    shop.good_morning()
    poll(lambda: not any(failing(up)), within_s=WITHIN_S, what="it is over")
    poll(lambda: changes(up, shop.crontab) == 1, within_s=WITHIN_S, what="the job is off, and that is seen")
    name_fix(up, shop.crontab)
    shop.night()  # it does nothing any more
    assert ask(up, "return problem.status") == "on_watch"
    pass_days(up, 30)
    proven = poll(
        lambda: ask(up, "return problem.status == 'proven' and problem.fixes.get(state='proven').what"),
        within_s=WITHIN_S,
        what="the fix is proven",
    )
    assert "crontab" in proven
    assert failing(up) == [False, False, False]
    said = ask(up, "return [one.kind for one in queries.page_of(scope, problem, now=now).timeline]")
    assert [said.count(one) for one in ("onset", "fix", "back", "proven")] == [3, 2, 1, 1]


def begin(up: Installation, shop: Shop) -> None:
    """The site hangs on this machine, a probe asks it, its files were captured once."""
    up.cli("asset", "add", SITE, "--client", CLIENT, "--kind", "website")
    ask(
        up,
        """
        from forestall.estate.first_use import own_machine
        site.parent = own_machine()
        site.save()
        """,
    )
    up.cli("probes", "add", SITE, "http", f"http://127.0.0.1:{shop.port}/", "--client", CLIENT,
           "--every", "5", "--collector", "own")  # fmt: skip
    poll(
        lambda: ask(
            up,
            f"""
            from forestall.configs.models import Version
            return Version.objects.filter(kind__contains={str(shop.home)!r}).count() == 3
            """,
        ),
        within_s=WITHIN_S,
        what="the files are captured",
    )


def first_is(up: Installation, file: Path) -> list[dict[str, Any]]:
    """The suspects of the last onset among the shop's own files, when the first is a change of this one; else
    nothing. What else moves on this machine is left out: other tests open ports, mount and load it before
    every night, and nobody could tell those from a cause."""
    found: list[dict[str, Any]] = ask(
        up,
        f"""
        ranked = Suspects.objects.filter(problem=problem).order_by("-onset_at").first().ranked
        ours = set(Change.objects.filter(kind__contains={str(file.parent)!r}).values_list("pk", flat=True))
        ranked = [one for one in ranked if one["id"] in ours]
        first = Change.objects.filter(pk=ranked[0]["id"]).first() if ranked else None
        return ranked if first and {str(file)!r} in first.kind and first.summary else []
        """,
    )
    return found


def name_fix(up: Installation, file: Path) -> str:
    """The last change of a file is named as the fix; why the watch is as long as it is."""
    return str(
        ask(
            up,
            f"""
            seen = [one for one in queries.page_of(scope, problem, now=now).changes
                    if {str(file)!r} in one.kind]
            return actions.fix_problem(scope, problem.pk, change=seen[0].pk, now=now).because
            """,
        )
    )
