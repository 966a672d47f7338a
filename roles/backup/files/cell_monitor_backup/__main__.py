"""Runs the command line as ``python -m cell_monitor_backup``."""

import sys

from cell_monitor_backup.cli import main

sys.exit(main())
