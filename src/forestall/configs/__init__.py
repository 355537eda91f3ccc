"""Configurations: content-addressed snapshots, versions, differences, changes."""
