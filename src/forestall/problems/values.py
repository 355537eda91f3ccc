"""The words of problems."""

STATUSES = ("proposed", "open", "on_watch", "proven", "dismissed")
FIX_STATES = ("on_watch", "proven", "came_back")
HYPOTHESIS_STATES = ("open", "confirmed", "refuted")
