"""A run: a folder, the replies that are made for it, and in which order."""
