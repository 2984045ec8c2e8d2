"""Conversations that go on: kept as files, and the program that holds one on a terminal."""
