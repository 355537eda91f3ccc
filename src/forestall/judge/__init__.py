"""Spec and observations in, findings with reasons out. Pure: no Django, no clock, no input or output."""
