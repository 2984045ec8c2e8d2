"""EAGLE-3: a one-layer head that drafts from the hidden states of the model it belongs to."""
