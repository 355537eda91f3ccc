"""Channels: their secrets are sealed, their settings checked, their visibility held by the gate."""

import pytest

from estate_factories import EVERYTHING, START, make_client, scope_for
from forestall.alerts.channels import (
    create_channel,
    delete_channel,
    edit_channel,
    list_channels,
    open_settings,
    shown_settings,
)
from forestall.alerts.models import Channel
from forestall.journal.models import Entry
from forestall.kernel.errors import Trouble

pytestmark = pytest.mark.django_db

SECRET = "a-seeded-secret-7f3a"
HOOK = {"url": "https://hook.example/x", "secret": SECRET}


def make(**fields) -> Channel:
    plain = {"notifier": "webhook", "title": "Hook", "given": HOOK, "now": START}
    return create_channel(EVERYTHING, **plain | fields)


def test_a_secret_is_sealed_and_opens_only_to_send():
    channel = make(client=make_client().pk)
    stored = Channel.objects.get().settings
    assert SECRET not in str(stored)
    assert shown_settings(channel)["secret"] is None
    assert open_settings(channel)["secret"] == SECRET
    assert not any(SECRET.encode() in bytes(entry.body) for entry in Entry.objects.all())


def test_a_secret_that_is_left_out_stays_when_the_rest_is_edited():
    channel = make()
    edited = edit_channel(EVERYTHING, channel.pk, given={"url": "https://other.example/"}, now=START)
    assert open_settings(edited)["secret"] == SECRET
    assert open_settings(edited)["url"] == "https://other.example/"


def test_a_sealed_secret_does_not_open_in_another_channel():
    one, other = make(), make()
    Channel.objects.filter(pk=other.pk).update(settings=one.settings)
    other.refresh_from_db()
    with pytest.raises(Trouble):
        open_settings(other)


@pytest.mark.parametrize(
    "fields",
    [
        {"notifier": "pigeon"},
        {"given": {"url": "https://x.example"}},
        {"given": HOOK | {"colour": "red"}},
        {"title": " "},
    ],
)
def test_wrong_settings_are_answered_with_what_to_do(fields):
    with pytest.raises(Trouble):
        make(**fields)
    assert not Channel.objects.exists()


def test_a_channel_for_all_clients_needs_somebody_who_sees_all():
    client = make_client()
    with pytest.raises(Trouble):
        create_channel(scope_for(client), notifier="webhook", title="x", given=HOOK, now=START)
    everybody, theirs = make(), make(client=make_client().pk)
    ours = make(client=client.pk)
    assert list_channels(scope_for(client)) == [ours]
    for channel in (everybody, theirs):
        with pytest.raises(Channel.DoesNotExist):
            delete_channel(scope_for(client), channel.pk, now=START)


def test_a_mail_channel_takes_the_installations_server_only_when_it_has_none():
    own = create_channel(
        EVERYTHING,
        notifier="smtp",
        title="Mail",
        given={"to": "a@b.example\nc@d.example", "host": "mx.example"},
        now=START,
    )
    opened = open_settings(own)
    assert opened["to"] == ["a@b.example", "c@d.example"]
    assert opened["host"] == "mx.example"
    assert opened["sender"] == "forestall@localhost"
