"""What the programs on a host share; each brings it along."""
