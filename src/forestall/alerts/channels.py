"""Channels: the notifiers with their settings. Secrets are sealed in the vault and opened only to send."""

from collections.abc import Mapping
from datetime import datetime
from types import ModuleType
from typing import Any

from django.conf import settings
from django.db import transaction

from forestall.alerts.models import Channel
from forestall.alerts.values import Message
from forestall.estate import vault
from forestall.estate.models import Client
from forestall.estate.tenancy import Scope
from forestall.findings.gate import every, seen
from forestall.journal.actions import append
from forestall.kernel.errors import Trouble
from forestall.kernel.plugins import Spec, load

PACKAGE = "forestall.alerts.notifiers"
CHANNELS_MOST = 500
MAIL_CHANNELS_MOST = 20


def notifiers() -> Mapping[str, ModuleType]:
    """The notifier plug-ins by name."""
    return load(PACKAGE)


def spec_of(notifier: str) -> Spec:
    """What a notifier says of itself. Raises Trouble for an unknown one."""
    module = notifiers().get(notifier)
    if module is None:
        raise Trouble(f"there is no notifier {notifier!r}", f"Choose one of {', '.join(notifiers())}.")
    spec: Spec = module.SPEC
    return spec


def list_channels(scope: Scope) -> list[Channel]:
    """The channels that the scope sees; those for all clients only for who sees every client."""
    return list(seen(Channel, scope).select_related("client").order_by("title", "pk")[:CHANNELS_MOST])


def create_channel(
    scope: Scope,
    *,
    notifier: str,
    title: str,
    given: Mapping[str, object],
    client: str | None = None,
    now: datetime,
) -> Channel:
    """Make a channel, for one client or (None, needs a scope of every client) for all.

    Raises Trouble that says which setting is wrong, Client.DoesNotExist for what the scope does not see.
    """
    if client is None and not scope.everything:
        raise Trouble("a channel for all clients needs somebody who sees all clients", "Choose a client.")
    if client is not None:
        Client.objects.all().of(scope).get(pk=client)
    channel = Channel(client_id=client, notifier=notifier, title=_title(title))
    channel.settings = _sealed(channel, given, kept={})
    with transaction.atomic():
        channel.save(force_insert=True)
        _journal("channel.created", channel, scope, now)
    return channel


def edit_channel(
    scope: Scope,
    channel: str,
    *,
    title: str | None = None,
    given: Mapping[str, object] | None = None,
    enabled: bool | None = None,
    now: datetime,
) -> Channel:
    """Change a channel; a secret that is left out stays. Raises Channel.DoesNotExist, Trouble."""
    with transaction.atomic():
        row = seen(Channel, scope).select_for_update().get(pk=channel)
        if title is not None:
            row.title = _title(title)
        if given is not None:
            row.settings = _sealed(row, given, kept=row.settings)
        if enabled is not None:
            row.enabled = enabled
        row.save()
        _journal("channel.changed", row, scope, now)
    return row


def delete_channel(scope: Scope, channel: str, *, now: datetime) -> None:
    """Remove a channel with its rows of the ledger (the journal keeps what was sent)."""
    with transaction.atomic():
        row = seen(Channel, scope).select_for_update().get(pk=channel)
        _journal("channel.removed", row, scope, now)
        row.delete()


def shown_settings(channel: Channel) -> dict[str, Any]:
    """The settings as a form shows them: a secret is None, never its text."""
    secret = _secrets(channel.notifier)
    return {name: None if name in secret else value for name, value in channel.settings.items()}


def open_settings(channel: Channel) -> dict[str, Any]:
    """The settings with opened secrets and the installation's defaults, for sending only.

    Raises Trouble (a secret does not open), ValueError (a setting is wrong by now).
    """
    secret = _secrets(channel.notifier)
    plain = {
        name: vault.open_sealed(channel.client_id, _record(channel, name), value) if name in secret else value
        for name, value in channel.settings.items()
    }
    read = spec_of(channel.notifier).read(plain)
    defaults = getattr(notifiers()[channel.notifier], "defaults", None)
    given = {name: value for name, value in read.items() if value not in (None, "")}
    # defaults belong together: a channel with its own server takes none of the installation's
    base = defaults(settings.CONFIG) if defaults else {}
    if "host" in given:
        base = {name: value for name, value in base.items() if name == "sender"}
    return {**read, **base, **given}


def mail_settings() -> dict[str, Any] | None:
    """How a mail that is no alert leaves: by the installation's own mail server, else by that of the oldest
    mail channel for all clients. None when there is neither, or its secret does not open."""
    own = notifiers()["smtp"].defaults(settings.CONFIG)
    if own.get("host"):
        return dict(own)
    rows = every(Channel).filter(notifier="smtp", client=None, enabled=True).order_by("pk")
    for channel in rows[:MAIL_CHANNELS_MOST]:
        try:
            opened = open_settings(channel)
        except (Trouble, ValueError):  # its own deliveries say so in the ledger
            continue
        if opened.get("host"):
            return opened
    return None


def send_through(notifier: str, opened: Mapping[str, Any], message: Message) -> None:
    """Send by the notifier of that name. Raises SendFailed."""
    notifiers()[notifier].send(opened, message)


def send_test(scope: Scope, channel: str, *, now: datetime) -> None:
    """Send a message that says it is a test. Raises SendFailed, Trouble, Channel.DoesNotExist."""
    row = seen(Channel, scope).get(pk=channel)
    text = f"This is a test of the channel “{row.title}”, asked for by {scope.actor}. Nothing is wrong.\n"
    key = f"test-{row.pk}-{int(now.timestamp())}"
    send_through(
        row.notifier,
        open_settings(row),
        Message(
            id=key,
            thread=key,
            step="test",
            severity="in_spec",
            client="",
            asset="",
            title="Test",
            reason=text,
            subject="[test] Forestall can reach you here",
            text=text,
            at=now.isoformat(),
        ),
    )


def _sealed(channel: Channel, given: Mapping[str, object], *, kept: Mapping[str, Any]) -> dict[str, Any]:
    """The settings as they are stored. A secret that is not given is kept."""
    secret = _secrets(channel.notifier)
    stored: dict[str, Any] = {name: kept[name] for name in secret if name in kept and not given.get(name)}
    plain = {name: value for name, value in given.items() if value not in (None, "")}
    try:
        read = spec_of(channel.notifier).read({**dict.fromkeys(stored, "kept"), **plain})
    except ValueError as error:
        raise Trouble(str(error), "Correct this setting of the channel.") from error
    for name in plain:
        value = read[name]
        stored[name] = (
            vault.seal(channel.client_id, _record(channel, name), str(value)) if name in secret else value
        )
    return stored


def _secrets(notifier: str) -> set[str]:
    return {setting.name for setting in spec_of(notifier).settings if setting.kind == "secret"}


def _record(channel: Channel, name: str) -> str:
    return f"channel/{channel.pk}/{name}"


def _title(title: str) -> str:
    if not title.strip():
        raise Trouble("a channel needs a title", "Write who or what it reaches.")
    return title.strip()[:160]


def _journal(kind: str, channel: Channel, scope: Scope, now: datetime) -> None:
    append(
        kind,
        client=channel.client_id or "",
        subject=channel.pk,
        actor=scope.actor,
        at=now,
        body={"notifier": channel.notifier, "title": channel.title, "enabled": channel.enabled},
    )
