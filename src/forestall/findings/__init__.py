"""The state of findings as rows, and the overrides of specs by client, site and asset."""
