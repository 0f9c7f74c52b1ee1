"""The brush: painting strokes of classes on a photo."""
