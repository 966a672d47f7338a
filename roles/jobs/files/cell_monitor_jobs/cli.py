"""The command line."""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from cell_monitor_jobs import record, table, timers


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns 0, or 1 with one sentence about what is wrong."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "record":
            record.record(options.state, options.unit, os.environ)
        elif options.command == "apply":
            print("".join(f"{name}\n" for name in timers.apply(timers.read())), end="")
        else:
            rows = table.rows(options.state)
            print(json.dumps(rows, ensure_ascii=False) if options.json else table.text(rows, time.time()))
    except (OSError, timers.ScheduleError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cell-monitor-job", description="Jobs of Cell Monitor on this host.")
    parser.add_argument("--state", type=Path, default=record.FOLDER, metavar="FOLDER", help="%(default)s")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    status = commands.add_parser("status", help="show the last run of each, its age and its result")
    status.add_argument("--json", action="store_true", help="print JSON")
    commands.add_parser("apply", help=f"make the timers what {timers.SCHEDULE} says; prints what was changed")
    remember = commands.add_parser("record", help="remember how a unit has ended, as its ExecStopPost=")
    remember.add_argument("unit")
    return parser
