from django.apps import AppConfig


class JournalConfig(AppConfig):
    name = "forestall.journal"
    label = "journal"
    default_auto_field = "django.db.models.BigAutoField"
