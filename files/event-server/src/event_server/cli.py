"""The command line."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from event_server import __version__
from event_server.commands import CommandError, check, importing, prune, schema, stats, students, tokens
from event_server.config import ConfigError, load_config
from event_server.store import SchemaError, StoreUnavailableError


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code: 0, or 1 with one sentence on standard error."""
    parser = argparse.ArgumentParser(
        prog="event-server",
        description="Keeps the events of Cell Monitor clients.",
        epilog="Exit codes: 0 done; 1 not done, for the reason on standard error; 2 the command line is wrong.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    serve = commands.add_parser("serve", help="serve until a signal ends it")
    serve.set_defaults(run=_serve)
    serve.add_argument("--config", type=Path, required=True, metavar="FILE", help="the configuration, TOML")
    serve.add_argument("--unix-socket", type=Path, metavar="PATH", help="listen there instead")
    config = commands.add_parser("check-config", help="check a configuration without using it")
    config.set_defaults(run=_check_config)
    config.add_argument("config", type=Path, metavar="FILE", help="the configuration, TOML")
    for command in (stats, check, students, importing, prune, schema, tokens):
        command.add_to(commands)
    options = parser.parse_args(arguments)
    try:
        return int(options.run(options))
    except (CommandError, ConfigError, SchemaError, StoreUnavailableError) as error:
        print(error, file=sys.stderr)
    except BrokenPipeError:
        # Who reads has seen enough. What is still buffered has to go somewhere when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1


def _serve(options: argparse.Namespace) -> int:
    # Not needed to check a configuration, and slow to load.
    from event_server.server import serve

    return 0 if serve(load_config(options.config), options.unix_socket) else 1


def _check_config(options: argparse.Namespace) -> int:
    load_config(options.config)
    return 0
