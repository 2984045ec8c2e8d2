"""What is converted: every layout behind one protocol, read a block of rows at a time."""
