"""How fast a model runs here, and how near to what the machine's memory allows."""
