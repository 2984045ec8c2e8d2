"""The command line: one click command a file, loaded when it is called."""
