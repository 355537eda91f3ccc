from django.apps import AppConfig


class BackupsConfig(AppConfig):
    name = "forestall.backups"
    label = "backups"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Collectors fetch the plans that they watch with the rest of their work."""
        from forestall.backups.orders import orders_for
        from forestall.estate.enrolment import FURTHER_WORK

        FURTHER_WORK["backups"] = orders_for
