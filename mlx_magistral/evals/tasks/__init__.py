"""What is asked: problems, where they come from, and how each is put to the model."""
