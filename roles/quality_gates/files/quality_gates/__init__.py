"""Measures what the quality gates judge; the role that calls it knows the limits."""
