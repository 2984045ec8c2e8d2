"""Where programs that a model wrote run: no network, no files, no processes that outlive them."""
