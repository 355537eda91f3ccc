"""The eyes and ears: probes ask, listeners receive, the host is looked at. No Django: this is also the agent."""
