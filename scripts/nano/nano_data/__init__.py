"""Data, model and training of `nano`, the embedded demonstration model; used by train_nano.py only."""
