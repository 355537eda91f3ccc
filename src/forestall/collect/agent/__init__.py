"""The agent: looks at its machine, asks what it was told to ask, spools on disk, sends over HTTPS."""
