"""Looking into a network: what it costs, what it sees, what its parts do, how sure it is."""
