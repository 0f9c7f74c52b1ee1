"""New classes from a few strokes of a brush: a score layer of one's own on a backbone that stays as it is."""
