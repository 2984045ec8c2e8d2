"""Many replies for one purpose: batches of requests from a file, and what a model still knows."""
