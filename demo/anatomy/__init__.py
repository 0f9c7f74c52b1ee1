"""The Anatomy tab: a network taken apart, layer by layer."""
