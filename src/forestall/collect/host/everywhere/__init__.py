"""Looks that work on Linux, Windows and macOS alike."""
