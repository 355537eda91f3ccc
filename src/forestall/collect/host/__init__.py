"""What the agent sees of its own machine. A look is one file: a SPEC and `def look(view)`."""
