"""Jupyter kernels as systemd units of their own, which outlive the Jupyter server."""

__version__ = "1.2.0"
