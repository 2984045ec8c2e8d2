"""Guessed ids that go through the model with the latest one: look-up, drafts, and the gate."""
