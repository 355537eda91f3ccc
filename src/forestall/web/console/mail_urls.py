"""Addresses of mail."""

from django.urls import path
from django.views.decorators.http import require_POST as post

from forestall.web.console import mail, mail_places

urlpatterns = [
    path("mail/", mail.mail_strangers, name="mail"),
    path("mail/all/", mail.mail_all, name="mail-all"),
    path("mail/outgoing/", mail.mail_outgoing, name="mail-outgoing"),
    path("mail/mailboxes/", mail_places.mailboxes, name="mailboxes"),
    path("mail/mailboxes/add", post(mail_places.mailbox_add), name="mailbox-add"),
    path("mail/mailboxes/<str:mailbox>/", mail_places.mailbox_page, name="mailbox"),
    path("mail/mailboxes/<str:mailbox>/<str:what>", post(mail_places.mailbox_change), name="mailbox-change"),
    path("mail/addresses/add", post(mail_places.address_add), name="mail-address-add"),
    path(
        "mail/addresses/<str:address>/remove",
        post(mail_places.address_remove),
        name="mail-address-remove",
    ),
    path("mail/files/<str:attachment>", mail.mail_file, name="mail-file"),
    path("mail/messages/<str:message>/", mail.mail_message, name="mail-message"),
    path("mail/messages/<str:message>/<str:what>", post(mail.mail_change), name="mail-change"),
]
