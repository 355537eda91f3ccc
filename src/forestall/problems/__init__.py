"""The causes behind recurring tickets: suspects, root cause, fix on watch, prevention."""
