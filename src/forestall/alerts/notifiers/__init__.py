"""Notifiers: one file each, with a SPEC and `send(settings, message)`. See docs/howto/add-a-notifier.md."""
