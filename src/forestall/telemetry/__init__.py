"""Logs and samples: schema, idempotent writing, reading, the search language, the store process."""
