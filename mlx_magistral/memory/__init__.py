"""What a run needs against what the machine has, and prefixes that are never computed twice."""
