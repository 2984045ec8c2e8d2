"""What came of it: figures with their intervals, tables, plots, and two runs side by side."""
