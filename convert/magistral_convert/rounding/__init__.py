"""Weights to codes: plain, weighted search, feedback and descent."""
