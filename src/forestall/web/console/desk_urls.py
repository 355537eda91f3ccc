"""Addresses of the desk's set-up."""

from django.urls import path

from forestall.web.console import desk_set_up

urlpatterns = [
    path("desk/levels/", desk_set_up.levels, name="desk-levels"),
    path("desk/levels/<str:service_level>/", desk_set_up.level_page, name="desk-level"),
    path("desk/queues/", desk_set_up.queues, name="desk-queues"),
    path("desk/templates/", desk_set_up.templates, name="desk-templates"),
    path("desk/templates/<str:ticket_template>/", desk_set_up.template_page, name="desk-template"),
    path("desk/recurring/", desk_set_up.recurring_list, name="desk-recurring"),
    path("desk/recurring/<str:recurring>/", desk_set_up.recurring_page, name="desk-recurring-one"),
]
