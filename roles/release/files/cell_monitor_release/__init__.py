"""Releases on a host: what runs, what ran, and the way back. Needs nothing but Python 3.11 and systemd."""
