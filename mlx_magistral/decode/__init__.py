"""From logits to ids: sampling, prefill and the decode loop."""
