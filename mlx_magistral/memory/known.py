"""The published model's shape, for plans that are made before any file is here."""

from mlx_magistral.model.config import ModelConfig

# params.json of Magistral Small 2507.
MAGISTRAL_SMALL = ModelConfig(
    dim=5120,
    n_layers=40,
    head_dim=128,
    hidden_dim=32768,
    n_heads=32,
    n_kv_heads=8,
    vocab_size=131072,
    rope_theta=1e9,
    norm_eps=1e-5,
    max_position_embeddings=131072,
    tie_word_embeddings=False,
)
