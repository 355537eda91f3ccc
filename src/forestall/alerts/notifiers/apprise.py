"""Tell through any of the services that Apprise speaks: Slack, Teams, Telegram, ntfy, Pushover, …"""

from collections.abc import Mapping
from typing import Any

import apprise

from forestall.alerts.values import Message, SendFailed
from forestall.kernel.plugins import Setting, Spec

# what shows on this machine's own desk
REFUSED = frozenset({"dbus", "glib", "gnome", "kde", "macosx", "qt", "syslog", "windows"})

SPEC = Spec(
    name="apprise",
    title="Chat, push or SMS (Apprise)",
    about="Sends through a service that Apprise knows; its address says which, and holds the credentials.",
    source="https://github.com/caronc/apprise/wiki",
    settings=(
        Setting(
            "url",
            "Apprise address",
            kind="secret",
            required=True,
            help="write it as Apprise's wiki shows for your service, for example ntfys://host/topic",
        ),
    ),
    limits="Apprise gives up after its own timeouts (4 s to connect, 4 s to read). No desktop services.",
)


def send(settings: Mapping[str, Any], message: Message) -> None:
    """Send through Apprise. Raises SendFailed; permanent when the address is not one that it knows."""
    url = str(settings["url"]).strip()
    scheme = url.partition("://")[0].lower()
    if scheme in REFUSED:
        raise SendFailed(f"{scheme}:// shows messages on this machine alone; use another", permanent=True)
    service = apprise.Apprise()
    if not service.add(url):
        raise SendFailed("Apprise does not know this address: check it with its wiki", permanent=True)
    kinds = {"recovered": apprise.NotifyType.SUCCESS, "digest": apprise.NotifyType.INFO}
    kind = kinds.get(message.step, apprise.NotifyType.FAILURE)
    sent = service.notify(
        body=message.text, title=message.subject, notify_type=kind, body_format=apprise.NotifyFormat.TEXT
    )
    if not sent:
        raise SendFailed(f"the service behind {scheme}:// did not take the message")
