"""Whether this machine computes what it should: the checks of ``selftest``, and of tests."""
