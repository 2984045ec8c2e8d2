"""What the model's inputs look like, and what that says about bits."""
