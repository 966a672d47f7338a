"""Incidents on a host: what is seen, what is done, and how that is taken back."""
