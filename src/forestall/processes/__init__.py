"""The mains: wiring, supervision, the command line."""
