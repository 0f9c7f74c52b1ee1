"""DeepLab's fully connected conditional random field: every pixel of a photo votes on the class of every other."""
