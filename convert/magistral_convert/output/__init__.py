"""The folder that is written: planned, streamed, journalled, described, verified."""
