"""What guards, bounds and remembers: everything between a stranger's request and an answer."""
