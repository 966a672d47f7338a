"""The daily round: what it does, what it sees, and what it tells."""
