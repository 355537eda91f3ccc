"""The whole way to a person through real servers: one fault is one mail and one signed webhook,
and one of each when it is over."""

import json

import pytest

from estate_factories import EVERYTHING, START, make_asset
from forestall.alerts.channels import create_channel, send_test
from forestall.alerts.deliver import deliver_due
from forestall.alerts.models import Delivery
from forestall.journal.models import Entry
from forestall.judge.values import State
from notifier_servers import SECRET, HookServer, MailServer
from road_factories import Road, transition

pytestmark = pytest.mark.django_db


def test_one_fault_is_one_mail_and_one_webhook_and_its_end_one_of_each():
    road, asset = Road(), make_asset(name="web-01")
    with MailServer() as mail, HookServer() as hook:
        given = {"host": "127.0.0.1", "port": mail.port, "sender": "f@provider.example"}
        given["to"] = "oncall@provider.example"
        create_channel(EVERYTHING, notifier="smtp", title="Mail", given=given, now=START)
        settings = {"url": hook.url, "secret": SECRET, "allow_private": True}
        create_channel(EVERYTHING, notifier="webhook", title="Hook", given=settings, now=START)
        road.feed(transition(asset))
        road.wait(10)
        assert deliver_due(now=road.now).sent == 2
        road.wait(60)
        road.feed(transition(asset, State.IN_SPEC, at=road.now, began=START))
        assert deliver_due(now=road.now).sent == 2
        assert deliver_due(now=road.now).sent == 0
    opened, recovered = mail.inbox
    assert "[breaking] web-01" in opened["Subject"]
    assert "Do first: Look whether it has power." in opened.get_content()
    assert "[recovered]" in recovered["Subject"]
    assert opened["References"] == recovered["References"]
    assert [json.loads(body)["type"] for _, body in hook.requests] == ["alert.opened", "alert.recovered"]
    kinds = list(Entry.objects.order_by("seq").values_list("kind", flat=True))
    assert kinds.index("evidence.sealed") < kinds.index("delivery.sent")


def test_a_mail_server_that_comes_back_gets_what_waited():
    road, asset = Road(), make_asset()
    with MailServer() as mail:
        port = mail.port
    given = {"host": "127.0.0.1", "port": port, "to": "oncall@provider.example"}
    create_channel(EVERYTHING, notifier="smtp", title="Mail", given=given, now=START)
    road.feed(transition(asset))
    road.wait(10)
    assert deliver_due(now=road.now).failed == 1
    assert "cannot be used" in Delivery.objects.get().error
    with MailServer(port=port) as mail:
        road.wait(60)
        assert deliver_due(now=road.now).sent == 1
    assert len(mail.inbox) == 1


def test_a_channel_can_be_tried_out():
    with HookServer() as hook:
        settings = {"url": hook.url, "secret": SECRET, "allow_private": True}
        channel = create_channel(EVERYTHING, notifier="webhook", title="Hook", given=settings, now=START)
        send_test(EVERYTHING, channel.pk, now=START)
    assert json.loads(hook.requests[0][1])["type"] == "alert.test"
