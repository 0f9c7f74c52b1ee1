"""Weights files: read and write them, their metadata, and downloads."""
