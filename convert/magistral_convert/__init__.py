"""Checkpoints in, quantized MLX folders out. The runtime never imports this package."""
