"""Ways to tell a person. A notifier is one file: a SPEC and `def send(settings, message)`."""
