"""From a model's name to a folder on this disk: the hub, its cache, and what is in them."""
