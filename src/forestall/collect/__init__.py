"""The eyes and ears: probes ask, listeners receive, the agent looks at its machine. Knows no Django."""
