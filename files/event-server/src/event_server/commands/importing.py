"""``import``: takes events from a file."""

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import BinaryIO, NamedTuple

import msgspec

from event_server.commands import CommandError, Commands, add_config, add_json, config_of, count, report
from event_server.events import NotABatchError, StoredEvent, epoch_ms, read_batch
from event_server.stores import make_store, open_upkeep

_DESCRIPTION = """\
Stores events from a file of JSON lines: what `event-server export` has written, or events as clients send them, which
then count as received now. Events that are stored already are left out, so the same file can be imported again. The
server may be running. Exit code 1: a line could not be stored; the others are.
"""
_EVENTS_PER_TRANSACTION = 250
_MAX_SHOWN = 20


def add_to(commands: Commands) -> None:
    """Adds the command to the command line."""
    parser = commands.add_parser("import", help="store events from JSON lines", description=_DESCRIPTION)
    parser.set_defaults(run=_import)
    add_config(parser)
    parser.add_argument("file", metavar="FILE", help="the file, - for standard input")
    add_json(parser)


class _Exported(msgspec.Struct, rename="camel"):
    """A line of an export."""

    received_at: datetime
    event: msgspec.Raw
    writer: str | None = None


class _Problem(NamedTuple):
    line: int
    reason: str


_exported_decoder = msgspec.json.Decoder(_Exported)


def _import(options: argparse.Namespace) -> int:
    config = config_of(options)
    # What makes the store is the server, as its own user.
    open_upkeep(config).close()
    store = make_store(config)
    stored = duplicates = 0
    problems: list[_Problem] = []
    try:
        with _input(options.file) as lines:
            for events in _groups(lines, config.limits.max_event_bytes, problems):
                (result,) = store.append([events])
                stored += result.stored
                duplicates += result.duplicates
                # The server's writer gets its turn.
                time.sleep(0.005)
    finally:
        store.close()
    for problem in problems[:_MAX_SHOWN]:
        print(f"Line {problem.line}: {problem.reason}.", file=sys.stderr)
    if len(problems) > _MAX_SHOWN:
        print(f"And {count(len(problems) - _MAX_SHOWN, 'line')} more.", file=sys.stderr)
    text = f"{count(stored, 'event')} stored, {duplicates} stored before, {len(problems)} refused."
    lines_refused = [problem._asdict() for problem in problems]
    report(
        options,
        text,
        {"stored": stored, "duplicates": duplicates, "invalid": len(problems), "invalidLines": lines_refused},
    )
    return 1 if problems else 0


@contextmanager
def _input(name: str) -> Iterator[BinaryIO]:
    if name == "-":
        yield sys.stdin.buffer
        return
    try:
        file = open(name, "rb")  # noqa: PTH123, SIM115
    except OSError as error:
        raise CommandError(f"{name} cannot be read: {error.strerror}.") from None
    with file:
        yield file


def _groups(lines: BinaryIO, max_event_bytes: int, problems: list[_Problem]) -> Iterator[list[StoredEvent]]:
    """Yields the events, a transaction's worth at a time, and adds the lines that hold none to the problems."""
    group: list[StoredEvent] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        event = _read(line, max_event_bytes)
        if isinstance(event, str):
            problems.append(_Problem(number, event))
            continue
        group.append(event)
        if len(group) == _EVENTS_PER_TRANSACTION:
            yield group
            group = []
    if group:
        yield group


def _read(line: bytes, max_event_bytes: int) -> StoredEvent | str:
    """Returns the event of a line, or why there is none."""
    received_at, writer, body = time.time_ns() // 1_000_000, None, line.strip()
    try:
        exported = _exported_decoder.decode(line)
        received_at = min(received_at, epoch_ms(exported.received_at))
        writer, body = exported.writer, bytes(exported.event)
    except (msgspec.DecodeError, RecursionError):
        # An event by itself, or nothing that can be read; the next step tells.
        pass
    try:
        batch = read_batch(b"[%b]" % body, received_at=received_at, writer=writer, max_event_bytes=max_event_bytes)
    except (NotABatchError, ValueError):
        return "it is not JSON"
    if batch.failed:
        return batch.failed[0].reason
    return batch.valid[0] if len(batch.valid) == 1 else "it is not one event"
