"""Weights files: read and written, fetched, and what they say of themselves."""
