"""Backups of a host, and the way back from them. Needs nothing but Python 3.11, restic and systemd."""
