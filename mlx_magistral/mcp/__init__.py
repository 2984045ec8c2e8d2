"""Tools of MCP servers: which there are, how they are run, and what comes back."""
