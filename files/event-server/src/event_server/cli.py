"""The command line."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from event_server import __version__
from event_server.config import ConfigError, load_config


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code: 0, or 1 with one sentence on standard error."""
    parser = argparse.ArgumentParser(prog="event-server", description="Keeps the events of Cell Monitor clients.")
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="serve until a signal ends it")
    serve.add_argument("--config", type=Path, required=True, metavar="FILE", help="the configuration, TOML")
    check = commands.add_parser("check-config", help="check a configuration without using it")
    check.add_argument("config", type=Path, metavar="FILE", help="the configuration, TOML")
    options = parser.parse_args(arguments)
    try:
        config = load_config(options.config)
        if options.command == "serve":
            # Not needed to check a configuration, and slow to load.
            from event_server.server import serve as run

            return 0 if run(config) else 1
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 1
    return 0
