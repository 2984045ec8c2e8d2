"""What may bend a reply while it is drawn: one rule a file, joined by Steering."""
