"""Words of the desk: how a ticket came, what an entry is and who reads it, cost classes of effort."""

INTERNAL, CLIENT, SYSTEM = "internal", "client", "system"

CAME_BY = {
    "alert": "Alert",
    "mail": "Mail",
    "portal": "Portal",
    "agent": "Agent",
    "phone": "Telephone",
    "hand": "By hand",
    "recurring": "Recurring",
}

# Kind of an entry → who reads it, and which way it went.
KINDS: dict[str, tuple[str, str]] = {
    "opened": (SYSTEM, ""),
    "note": (INTERNAL, ""),
    "reply": (CLIENT, "out"),
    "mail_in": (CLIENT, "in"),
    "status": (SYSTEM, ""),
    "assigned": (SYSTEM, ""),
    "occurrence": (SYSTEM, ""),
    "recovered": (SYSTEM, ""),
    "effort": (INTERNAL, ""),
    "checklist": (INTERNAL, ""),
    "merged": (SYSTEM, ""),
    "clock": (SYSTEM, ""),
}

COST_CLASSES = {
    "remote": "Remote",
    "on_site": "On site",
    "travel": "Travel",
    "out_of_hours": "Out of hours",
}

IMPACTS = {1: "the whole client", 2: "several people", 3: "one person"}
URGENCIES = {1: "nobody can work", 2: "work is hindered", 3: "it can wait"}
