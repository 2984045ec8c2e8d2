"""What checkpoints.py has other tools write: a tiny random model in every layout they know."""
