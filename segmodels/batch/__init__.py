"""Segment many photos: streamed on one machine, or on a Ray cluster."""
