"""Mistral in MLX: configuration, checkpoint files, weights, KV cache, forward pass."""
