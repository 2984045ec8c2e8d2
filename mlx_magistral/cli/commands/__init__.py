"""One click command a file, each named `command`; imported when it is called."""
