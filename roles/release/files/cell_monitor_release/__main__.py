"""Runs the command line as ``python -m cell_monitor_release``."""

import sys

from cell_monitor_release.cli import main

sys.exit(main())
