"""Many replies of one model at once: they decode together and come and go at any step."""
