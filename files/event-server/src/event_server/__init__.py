"""Keeps the events of Cell Monitor clients and tells the instructor who is stuck."""

__version__ = "1.2.0"
