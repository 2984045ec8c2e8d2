"""Training an EAGLE-3 head for a model, from what the model itself says."""
