"""Fuzzing of every decoder of the intake: `python tests/fuzz/run.py --minutes 3`."""
