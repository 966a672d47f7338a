"""What the commands of the command line have in common."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from event_server.config import Config, load_config
from event_server.store.upkeep import Deleted

if TYPE_CHECKING:
    Commands: TypeAlias = argparse._SubParsersAction[argparse.ArgumentParser]
else:
    Commands = object

CONFIG_PATH = Path("/etc/event-server/config.toml")


class CommandError(Exception):
    """A command that cannot be done; its text is one sentence for the administrator."""


def add_config(parser: argparse.ArgumentParser) -> None:
    """Adds the option for the configuration."""
    parser.add_argument(
        "--config", type=Path, default=CONFIG_PATH, metavar="FILE", help="the configuration, TOML (%(default)s)"
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    """Adds the option for an answer that programs can read."""
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def config_of(options: argparse.Namespace) -> Config:
    """Reads the configuration that the options name.

    Raises:
        ConfigError: it cannot be used.
    """
    return load_config(options.config)


def report(options: argparse.Namespace, text: str, data: dict[str, Any]) -> None:
    """Prints a result, for people or for programs."""
    print(json.dumps(data, ensure_ascii=False) if options.json else text)


def count(number: int, noun: str) -> str:
    """Returns a number with its noun, in the plural if need be."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def summary(deleted: Deleted) -> dict[str, Any]:
    """Returns the JSON of what has been deleted."""
    return {
        "events": deleted.events,
        "acknowledgements": deleted.acknowledgements,
        "isOverwritten": deleted.is_overwritten,
    }


def secrets_path(options: argparse.Namespace, config: Config, name: Literal["writers", "instructors"]) -> Path | None:
    """Returns the file of a secret: as the server is given it, else the one beside the configuration, else None."""
    beside: Path = options.config.parent / name
    return config.credential(name) or (beside if beside.exists() else None)
