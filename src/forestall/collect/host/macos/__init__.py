"""Looks at a Mac. What is run there stands in `collect/platforms/macos.py`."""
