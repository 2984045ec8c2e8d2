"""Adapters: LoRA and DoRA in mlx-lm's and PEFT's form, read, placed in a model and computed."""
