"""The client portal: what a client contact sees and does, and nothing else."""
