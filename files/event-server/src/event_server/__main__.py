"""Runs the command line as ``python -m event_server``."""

import sys

from event_server.cli import main

sys.exit(main())
