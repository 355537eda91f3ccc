"""What became of a fault on a running installation: findings, evidence, alert, ticket, and what a real mail
server and a real receiver of webhooks were told."""

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass, field
from typing import Any

from e2e.installation import Installation
from notifier_servers import SECRET, HookServer, MailServer


@dataclass
class Post:
    """A mail server and a webhook receiver that an installation tells of everything."""

    mail: MailServer
    hook: HookServer

    def mails(self, alert: str) -> list[tuple[float, Any]]:
        """The mails about an alert, each with when it came (monotonic seconds)."""
        came = zip(self.mail.arrived_s, self.mail.inbox, strict=False)
        return [(at_s, mail) for at_s, mail in came if mail["X-Forestall-Alert"] == alert]

    def posts(self, alert: str) -> list[dict[str, Any]]:
        """The webhooks about an alert, decoded. Raises AssertionError when one is not signed as it should."""
        found = []
        for headers, body in list(self.hook.requests):
            said = json.loads(body)
            if said["data"]["thread"] == alert:
                assert headers["webhook-signature"] == signature(headers, body)
                found.append(said)
        return found


def signature(headers: dict[str, str], body: bytes) -> str:
    """What a receiver that shares the secret computes. Source: Standard Webhooks."""
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def make_channels(up: Installation, mail: MailServer, hook: HookServer) -> None:
    """Tell both servers of everything."""
    up.desk.ask(
        f"""
        from forestall.alerts.channels import create_channel
        from forestall.estate.tenancy import system_scope
        from forestall.kernel.clock import SystemClock
        for notifier, given in (
            ("smtp", {{"to": "desk@provider.example", "host": "127.0.0.1", "port": {mail.port},
                       "security": "none", "sender": "forestall@provider.example"}}),
            ("webhook", {{"url": {hook.url!r}, "secret": {SECRET!r}, "allow_private": True}}),
        ):
            create_channel(system_scope("test"), notifier=notifier, title=notifier, given=given,
                           now=SystemClock().now())
        """
    )


@dataclass
class Became:
    """What became of a fault. `first_sent`: the place in the journal of the first message; `sealed`: those
    of the evidence that the first message names; `steps`: what was sent, by both channels."""

    findings: list[list[Any]] = field(default_factory=list)  # rule, item, ended, reason, recovery
    alerts: list[list[Any]] = field(default_factory=list)  # identifier, state, occurrence, title
    tickets: list[str] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    sealed: list[int] = field(default_factory=list)
    without_evidence: int = 0
    first_sent: int = 0


def what_became(up: Installation, assets: list[str], rules: list[str]) -> Became:
    """Of the alerts that have findings of these rules on the assets with these names."""
    said = up.desk.ask(
        f"""
        import json
        from django.db import transaction
        from forestall.alerts.models import Alert, Delivery, Evidence
        from forestall.findings.models import Finding
        from forestall.journal.models import Entry
        from forestall.tickets.models import Ticket
        with transaction.atomic():  # one moment: nothing is sent between two of the questions
            findings = Finding.objects.filter(asset__name__in={assets!r}, rule__in={rules!r}, tells=True)
            alerts = list(Alert.objects.filter(findings__in=findings).distinct().exclude(state="folded"))
            keys = [alert.pk for alert in alerts]
            sent = [seq for seq, body in Entry.objects.filter(kind="delivery.sent").values_list("seq", "body")
                    if json.loads(bytes(body))["body"]["alert"] in keys]
            deliveries = Delivery.objects.filter(alert__in=alerts, state="sent").order_by("made_at", "pk")
            opening = deliveries.filter(step="opened").first()
            named = opening.message["evidence"] if opening else []
            sealed = Evidence.objects.filter(finding__in=findings)
            return {{
                "findings": [[f.rule, f.item, f.ended_at is not None, f.reason, f.recovery]
                             for f in findings.order_by("opened_at", "pk")],
                "alerts": [[alert.pk, alert.state, alert.occurrence, alert.title] for alert in alerts],
                "tickets": list(Ticket.objects.filter(links__alert__in=alerts).distinct()
                                .values_list("status", flat=True)),
                "steps": sorted(deliveries.values_list("step", flat=True)),
                "sealed": list(Evidence.objects.filter(pk__in=named).values_list("journal_seq", flat=True)),
                "without_evidence": findings.exclude(pk__in=sealed.values("finding")).count(),
                "first_sent": min(sent, default=0),
            }}
        """
    )
    return Became(**said)
