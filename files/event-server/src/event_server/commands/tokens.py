"""``token``: who may write events."""

import argparse
import hashlib
import os
import re
import secrets
import tempfile
from pathlib import Path

from event_server.commands import CommandError, Commands, add_config, add_json, config_of, report, secrets_path
from event_server.secret_files import read_lines

_DESCRIPTION = """\
Makes, lists and revokes the tokens that Jupyter hosts write events with, in the file of writers: the one that the
configuration names, else `writers` beside it. On a host that Ansible deploys, that file is Ansible's: the next deploy
writes it anew from event_server_writers, so what is to last belongs there. A server that runs takes the file up within
a second.
"""
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_AFTERWARDS = "Servers that read {path} take it up within a second. The next deploy by Ansible writes that file anew."


def add_to(commands: Commands) -> None:
    """Adds the command to the command line."""
    parser = commands.add_parser("token", help="make, list and revoke writers' tokens", description=_DESCRIPTION)
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    create = actions.add_parser(
        "create", help="make a token", description="Makes a token and prints it, once: the file holds its SHA-256 only."
    )
    create.set_defaults(run=_create)
    create.add_argument("name", metavar="NAME", help="the writer's name, stored with its events")
    revoke = actions.add_parser("revoke", help="revoke a token", description="Takes a writer's token out of the file.")
    revoke.set_defaults(run=_revoke)
    revoke.add_argument("name", metavar="NAME", help="the writer's name")
    show = actions.add_parser("list", help="list the names of writers", description="Lists the names of writers.")
    show.set_defaults(run=_list)
    for action in (create, revoke, show):
        add_config(action)
        add_json(action)


def _create(options: argparse.Namespace) -> int:
    if not _NAME.fullmatch(options.name):
        raise CommandError(f"{options.name} is no name; it has to be of letters, digits, dots, dashes and underscores.")
    path = _path(options)
    if options.name in _names(path):
        raise CommandError(f"{options.name} has a token in {path}; revoke it first.")
    token = secrets.token_urlsafe(32)
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    _write(path, [*lines, f"{options.name}:{hashlib.sha256(token.encode()).hexdigest()}"])
    text = f"{token}\n{_AFTERWARDS.format(path=path)}"
    report(options, text, {"name": options.name, "token": token, "file": str(path)})
    return 0


def _revoke(options: argparse.Namespace) -> int:
    path = _path(options)
    if options.name not in _names(path):
        raise CommandError(f"{options.name} has no token in {path}.")
    lines = path.read_text(encoding="utf-8").splitlines()
    _write(path, [line for line in lines if line.startswith("#") or line.partition(":")[0].strip() != options.name])
    text = f"The token of {options.name} is revoked. {_AFTERWARDS.format(path=path)}"
    report(options, text, {"name": options.name, "file": str(path)})
    return 0


def _list(options: argparse.Namespace) -> int:
    path = _path(options)
    names = sorted(_names(path))
    text = "\n".join(names) or f"There are no writers in {path}."
    report(options, text, {"writers": names, "file": str(path)})
    return 0


def _path(options: argparse.Namespace) -> Path:
    return secrets_path(options, config_of(options), "writers") or Path(options.config).parent / "writers"


def _names(path: Path) -> set[str]:
    return {name for name, _ in read_lines(path)} if path.exists() else set()


def _write(path: Path, lines: list[str]) -> None:
    """Replaces the file whole; who may read it stays as it was, its owner alone if it is new."""
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write("".join(f"{line}\n" for line in lines))
                if path.exists():
                    before = path.stat()
                    os.fchmod(file.fileno(), before.st_mode & 0o777)
                    os.fchown(file.fileno(), before.st_uid, before.st_gid)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise CommandError(f"{path} cannot be written: {error.strerror}.") from None
