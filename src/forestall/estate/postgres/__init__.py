"""PostgreSQL with walls between clients: a database engine for Django (its name is in web.settings)."""
