"""Backup plans, their runs, what lies in their repositories, and the proofs that a restore works."""
