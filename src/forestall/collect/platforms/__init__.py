"""How the agent asks Windows and macOS: every command that is run there, and how its output is read."""
