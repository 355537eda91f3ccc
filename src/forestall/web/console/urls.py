"""The console's addresses."""

from django.urls import path
from django.views.decorators.http import require_POST as post

from forestall.web.console import desk, installation, overview
from forestall.web.live import events

urlpatterns = [
    path("", overview.overview, name="overview"),
    path("events", events, name="events"),
    path("search", overview.search, name="search"),
    path("clients/", overview.client_list, name="clients"),
    path("clients/names", overview.client_names, name="client-names"),
    path("clients/sites", overview.site_names, name="site-names"),
    path("clients/<str:client>/", overview.client_page, name="client"),
    path("clients/<str:client>/add/<str:what>", post(overview.client_add), name="client-add"),
    path("assets/", overview.asset_list, name="assets"),
    path("assets/<str:asset>/", overview.asset_page, name="asset"),
    path("assets/<str:asset>/series", overview.series, name="series"),
    path("assets/<str:asset>/change/<str:what>", post(overview.asset_change), name="asset-change"),
    path("findings/", desk.finding_list, name="findings"),
    path("findings/<str:finding>/", desk.finding_page, name="finding"),
    path("alerts/", desk.alert_list, name="alerts"),
    path("alerts/<str:alert>", desk.alert_page, name="alert"),
    path("alerts/<str:alert>/acknowledge", post(desk.alert_acknowledge), name="alert-acknowledge"),
    path("windows/open", post(desk.window_open), name="window-open"),
    path("windows/<str:window>/close", post(desk.window_close), name="window-close"),
    path("evidence/<str:evidence>/", desk.evidence_page, name="evidence"),
    path("evidence/<str:evidence>/file", desk.evidence_file, name="evidence-file"),
    path("tickets/", desk.ticket_list, name="tickets"),
    path("tickets/new", desk.ticket_new, name="ticket-new"),
    path("tickets/<str:ticket>/", desk.ticket_page, name="ticket"),
    path("tickets/<str:ticket>/<str:what>", post(desk.ticket_change), name="ticket-change"),
    path("logs/", desk.logs, name="logs"),
    path("spec/", installation.spec, name="spec"),
    path("spec/override", post(installation.override), name="override"),
    path("spec/override/<str:override>/remove", post(installation.override_remove), name="override-remove"),
    path("rejected/", installation.rejected, name="rejected"),
    path("rejected/<str:rejected>/", installation.rejected_page, name="rejected-one"),
    path("rejected/<str:rejected>/assign", post(installation.rejected_assign), name="rejected-assign"),
    path("versions/<str:version>/", installation.version_page, name="version"),
    path("changes/<str:change>/", installation.change_page, name="change"),
    path("channels/", installation.channel_list, name="channels"),
    path("channels/add/<str:notifier>", post(installation.channel_add), name="channel-add"),
    path("channels/<str:channel>/<str:what>", post(installation.channel_change), name="channel-change"),
    path("collectors/", installation.collector_list, name="collectors"),
    path("collectors/<str:collector>/revoke", post(installation.collector_revoke), name="collector-revoke"),
    path("people/", installation.people, name="people"),
    path("people/tokens/<str:token>/revoke", post(installation.token_revoke), name="token-revoke"),
    path("health/", installation.health, name="health"),
    path("catalogue/", installation.catalogue, name="catalogue"),
]
