"""The networks: their building blocks, and one paper a file."""
