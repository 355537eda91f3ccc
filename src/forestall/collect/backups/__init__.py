"""Backups as a collector sees them: runs, repositories, restores, and what a source held."""
