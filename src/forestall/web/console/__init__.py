"""The console: thin pages over the rooms' queries and actions."""
