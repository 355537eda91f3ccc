"""Looks at a Windows machine. What is run there stands in `collect/platforms/windows.py`."""
