"""What is drawn on a terminal: lines that change in place, Markdown, a growing answer."""
