"""Mail from the shell: our addresses, the mailboxes that are fetched, whose a stranger's message is."""

from typing import Annotated

import typer

from forestall.kernel.errors import Trouble
from forestall.processes.admin_common import Data, Json, ask_secret, client_called, shell_scope, show
from forestall.processes.setup import installation

mail_group = typer.Typer(no_args_is_help=True, help="Mail of clients: it becomes tickets.")
SHOWN_MOST = 100


@mail_group.command("address")
def mail_address(
    address: Annotated[str, typer.Argument(help="Like support@your-domain.")],
    client: Annotated[str, typer.Option(help="For one client alone; else for all.")] = "",
    plan: Annotated[str, typer.Option(help="Of a backup plan, for what its product mails of its runs.")] = "",
    data: Data = None,
) -> None:
    """From now on mail to this address is taken in at the SMTP door; mail to any other is refused.

    Example: forestall mail address support@provider.example
    """
    found = installation(data)
    from django.utils import timezone

    from forestall.mail.actions import add_address

    owner = client_called(client).pk if client else ""
    row = add_address(shell_scope(), address=address, client=owner, plan=plan, now=timezone.now())
    port = found.config.ports.smtp + found.config.port_offset
    print(f"Mail to {row.address} is taken in on port {port} of {found.config.smtp_host}.")


@mail_group.command("mailbox")
def mail_mailbox(
    address: str,
    host: Annotated[str, typer.Option(help="Its IMAP server.")],
    user: Annotated[str, typer.Option(help="As whom it is read.")],
    client: Annotated[str, typer.Option(help="For one client alone; else for all.")] = "",
    port: int = 993,
    security: Annotated[str, typer.Option(help="tls, starttls or none.")] = "tls",
    done: Annotated[str, typer.Option(help="Folder to which a message is moved; else it is marked.")] = "",
    data: Data = None,
) -> None:
    """Fetch a mailbox every minute. Its password is asked for, or read from standard input.

    Example: forestall mail mailbox support@provider.example --host imap.provider.example --user support
    """
    installation(data)
    from django.utils import timezone

    from forestall.mail.actions import add_mailbox

    row = add_mailbox(
        shell_scope(), address=address, host=host, user=user, password=ask_secret("Password"), port=port,
        client=client_called(client).pk if client else "", security=security, done_folder=done,
        now=timezone.now(),
    )  # fmt: skip
    print(f"{row.address} is fetched from {row.host}.")


@mail_group.command("list")
def mail_list(data: Data = None, as_json: Json = False) -> None:
    """Our addresses and mailboxes, and what is wrong with fetching them.

    Example: forestall mail list
    """
    installation(data)
    from forestall.mail.queries import list_addresses, list_mailboxes

    rows = [
        {"address": one.address, "client": one.client.name if one.client else "all", "by": "SMTP",
         "trouble": ""}
        for one in list_addresses(shell_scope())
    ] + [
        {"address": one.address, "client": one.client.name if one.client else "all", "by": f"IMAP {one.host}",
         "trouble": one.trouble}
        for one in list_mailboxes(shell_scope())
    ]  # fmt: skip
    show(rows, as_json=as_json, empty="No address yet: forestall mail address support@your-domain")


@mail_group.command("strangers")
def mail_strangers(data: Data = None, as_json: Json = False) -> None:
    """Messages of senders whom nobody knows: they wait until somebody says whose they are.

    Example: forestall mail strangers
    """
    installation(data)
    from forestall.mail.queries import list_messages
    from forestall.mail.values import State

    page = list_messages(shell_scope(), states=(State.STRANGER,), most=SHOWN_MOST)
    rows = [
        {"message": one.pk, "from": one.sender, "subject": one.subject[:60], "why": one.reason}
        for one in page.items
    ]
    show(rows, as_json=as_json, empty="No stranger waits.")


@mail_group.command("assign")
def mail_assign(
    message: str,
    client: Annotated[str, typer.Option(help="Whose it is.")],
    data: Data = None,
) -> None:
    """A stranger's message is this client's: it becomes a ticket, and its sender a contact.

    Example: forestall mail assign 05JQ8WZK3N7RT --client "Alder Dental"
    """
    found = installation(data)
    from django.utils import timezone

    from forestall.mail.actions import assign_stranger
    from forestall.mail.models import Message
    from forestall.processes.mailing import taking_of

    owner = client_called(client).pk
    try:
        row = assign_stranger(
            shell_scope(), message, client=owner, desk=taking_of(found).desk, now=timezone.now()
        )
    except Message.DoesNotExist:
        raise _unknown(message) from None
    print(f"{row.subject}: {row.reason}.")


@mail_group.command("drop")
def mail_drop(message: str, data: Data = None) -> None:
    """A stranger's message is nobody's business: it stays, and nothing comes of it.

    Example: forestall mail drop 05JQ8WZK3N7RT
    """
    installation(data)
    from django.utils import timezone

    from forestall.mail.actions import drop_stranger
    from forestall.mail.models import Message

    try:
        print(drop_stranger(shell_scope(), message, now=timezone.now()).reason)
    except Message.DoesNotExist:
        raise _unknown(message) from None


def _unknown(message: str) -> Trouble:
    return Trouble(f"there is no message {message!r}", "See forestall mail strangers.")
