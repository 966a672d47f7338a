"""``export`` and ``erase``: what a student may ask a school for."""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import chain
from pathlib import Path
from typing import TextIO

from event_server.classroom import iso
from event_server.commands import CommandError, Commands, add_config, add_json, config_of, count, report, summary
from event_server.store.upkeep import KeptEvent
from event_server.stores import open_upkeep

_EXPORT = """\
Prints every event of a student, one JSON object in a line, in the order in which they came:
{"receivedAt": when, "writer": the name of the token it came with or null, "event": the event as it came}.
`event-server import` reads such lines. Exit code 1: nothing is stored of the student.
"""
_ERASE = """\
Deletes every event of a student, and the notes that an instructor has seen to the student's requests and errors, for
ever. The server may be running, and its overview forgets the student within a minute. What the student's browser or a
Jupyter host still has to send is stored when it comes: erase when the student is logged out. Copies that were made of
the database are yours to delete. Exit code 1: nothing is stored of the student, or the answer was no.
"""


def add_to(commands: Commands) -> None:
    """Adds the commands to the command line."""
    export = commands.add_parser("export", help="print a student's events", description=_EXPORT)
    export.set_defaults(run=_export)
    add_config(export)
    export.add_argument("--email", required=True, metavar="ADDRESS", help="the student, as the dashboard writes it")
    export.add_argument("--output", type=Path, metavar="FILE", help="write a new file, for its owner only, instead")
    erase = commands.add_parser("erase", help="delete a student's events", description=_ERASE)
    erase.set_defaults(run=_erase)
    add_config(erase)
    erase.add_argument("--email", required=True, metavar="ADDRESS", help="the student, as the dashboard writes it")
    erase.add_argument("--yes", action="store_true", help="do not ask")
    add_json(erase)


def _export(options: argparse.Namespace) -> int:
    with (
        open_upkeep(config_of(options)) as upkeep,
        closing(upkeep.events(options.email)) as events,
    ):
        first = next(events, None)
        if first is None:
            raise _nothing(options.email)
        with _output(options.output) as output:
            number = sum(1 for event in chain([first], events) if output.write(_line(event)))
    if options.output:
        print(f"{count(number, 'event')} of {options.email} written to {options.output}.", file=sys.stderr)
    return 0


def _erase(options: argparse.Namespace) -> int:
    with open_upkeep(config_of(options)) as upkeep:
        found = upkeep.count(options.email)
        if not found:
            raise _nothing(options.email)
        if not options.yes:
            _confirm(f"Erase {count(found, 'event')} of {options.email} for ever? [y/N] ")
        deleted, left_over = upkeep.erase(options.email), upkeep.left_over
    text = f"{count(deleted.events, 'event')} of {options.email} erased."
    if not deleted.is_overwritten:
        text += f" {left_over}"
    report(options, text, {"emailAddress": options.email, **summary(deleted)})
    return 0


def _nothing(email: str) -> CommandError:
    return CommandError(f"Nothing is stored of {email}.")


def _confirm(question: str) -> None:
    if not sys.stdin.isatty():
        raise CommandError("Nothing is erased: nobody can be asked here, and --yes is not given.")
    print(question, end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise CommandError("Nothing is erased.")


@contextmanager
def _output(path: Path | None) -> Iterator[TextIO]:
    if path is None:
        yield sys.stdout
        sys.stdout.flush()
        return
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise CommandError(f"{path} cannot be made: {error.strerror}.") from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        yield file


def _line(event: KeptEvent) -> str:
    # Between the parts of an event, white space is all that a line's end can be.
    body = event.body.replace("\r", " ").replace("\n", " ")
    writer = json.dumps(event.writer, ensure_ascii=False)
    return f'{{"receivedAt": "{iso(event.received_at)}", "writer": {writer}, "event": {body}}}\n'
