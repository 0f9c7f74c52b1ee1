"""Files as pictures: which format, whole or not, which page, and which values are black and white."""
