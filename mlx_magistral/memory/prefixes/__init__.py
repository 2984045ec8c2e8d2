"""The KV state of prompts seen before, in memory and on disk, exact to the bit."""
