"""Speed beside other implementations."""
