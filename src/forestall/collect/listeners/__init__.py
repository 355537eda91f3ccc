"""Passive intakes: sockets on which devices push. A listener is one file."""
