"""``check``: whether everything that the server needs is as it has to be."""

import argparse
import os
from collections.abc import Callable
from typing import Literal

from event_server.auth import Instructors
from event_server.commands import Commands, add_config, add_json, config_of, count, report, secrets_path
from event_server.config import Config, ConfigError
from event_server.secret_files import read_secrets
from event_server.store import SchemaError, StoreUnavailableError
from event_server.stores import open_upkeep
from event_server.tokens import read_tokens

_DESCRIPTION = """\
Checks the configuration, the files of writers and instructors, the room on the disk, and reads the whole database for
damage, which takes some seconds for each gigabyte. Nothing is changed, and the server may be running. Where the
configuration names no files of writers and instructors, they are those beside it, which the service is given.
Exit code 1: something is not as it has to be.
"""


def add_to(commands: Commands) -> None:
    """Adds the command to the command line."""
    parser = commands.add_parser("check", help="check configuration, secrets, disk and store", description=_DESCRIPTION)
    parser.set_defaults(run=_check)
    add_config(parser)
    add_json(parser)


def _check(options: argparse.Namespace) -> int:
    try:
        config = config_of(options)
    except ConfigError as error:
        results = [("config", False, str(error))]
    else:
        checks: dict[str, Callable[[], str]] = {
            "writers": lambda: _secrets(options, config, "writers"),
            "instructors": lambda: _secrets(options, config, "instructors"),
            "disk": lambda: _disk(config),
            "store": lambda: _store(config),
        }
        results = [("config", True, f"{options.config} can be used.")]
        results += [_result(name, check) for name, check in checks.items()]
    is_ok = all(ok for _, ok, _ in results)
    report(
        options,
        "\n".join(f"{'ok    ' if ok else 'failed'}  {name:11}  {detail}" for name, ok, detail in results),
        {"ok": is_ok, "checks": [{"name": name, "ok": ok, "detail": detail} for name, ok, detail in results]},
    )
    return 0 if is_ok else 1


def _result(name: str, check: Callable[[], str]) -> tuple[str, bool, str]:
    try:
        return name, True, check()
    except (_FailedError, ConfigError, SchemaError, StoreUnavailableError) as error:
        return name, False, str(error)


class _FailedError(Exception):
    """Something is not as it has to be."""


def _secrets(options: argparse.Namespace, config: Config, name: Literal["writers", "instructors"]) -> str:
    path = secrets_path(options, config, name)
    names = {*read_tokens(path).values()} if name == "writers" else {*Instructors(read_secrets(path)).hashes}
    return f"{count(len(names), name.removesuffix('s'))} in {path}." if path else "No file, so nobody."


def _disk(config: Config) -> str:
    if config.database_path is None:
        return "The database is not a file here."
    try:
        disk = os.statvfs(config.database_path.parent)
    except OSError as error:
        raise _FailedError(f"{config.database_path.parent} cannot be used: {error.strerror}.") from None
    free, least = disk.f_bavail * disk.f_frsize, config.limits.min_free_bytes
    if free < least:
        raise _FailedError(f"{free} bytes are free; at least {least} have to be.")
    return f"{free} bytes are free."


def _store(config: Config) -> str:
    with open_upkeep(config) as upkeep:
        if damage := upkeep.damage():
            raise _FailedError(damage)
        return f"{upkeep.place} is sound."
