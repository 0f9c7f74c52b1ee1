"""Many photos: streamed on one machine, or by a Ray cluster."""
