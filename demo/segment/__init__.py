"""The Segment tab: a photo in, label map and overlays out."""
