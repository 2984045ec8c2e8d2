"""What is right: from a reply's answer to a verdict."""
