"""``migrate`` and ``schema``: the tables of the store."""

import argparse

from event_server.commands import Commands, add_config, add_json, config_of, report
from event_server.store.schema import READABLE_FROM, SCHEMA_VERSION, Schema, is_readable
from event_server.stores import migrate, schema_of

_MIGRATE = """\
Adds to the store's tables what this release needs and an earlier one has not made: all of it, or nothing where the
database refuses. The server does so too when it starts. Servers may be running; of several commands at once, one does
it. Releases that know the schema in "readable from" can still use the store.
"""
_SCHEMA = """\
Prints the version of the store's tables, the version that this release makes, and the earliest one that a release has
to know to use them. Nothing is changed. Exit code 1: this release cannot use the store.
"""


def add_to(commands: Commands) -> None:
    """Adds the commands to the command line."""
    step = commands.add_parser("migrate", help="bring the store's tables up to date", description=_MIGRATE)
    step.set_defaults(run=_migrate)
    show = commands.add_parser("schema", help="tell the version of the store's tables", description=_SCHEMA)
    show.set_defaults(run=_show)
    for parser in (step, show):
        add_config(parser)
        add_json(parser)


def _migrate(options: argparse.Namespace) -> int:
    before, after = migrate(config_of(options))
    text = f"The store has schema {after}" + ("." if before == after else f"; it had {before or 'none'}.")
    report(options, text, {"before": before, "after": after})
    return 0


def _show(options: argparse.Namespace) -> int:
    found = schema_of(config_of(options))
    usable = is_readable(found)
    lines = [
        f"store         {_words(found)}",
        f"this release  {_words(Schema(SCHEMA_VERSION, READABLE_FROM))}",
        f"usable        {'yes' if usable else 'no'}",
    ]
    data = {
        "store": _json(found),
        "release": _json(Schema(SCHEMA_VERSION, READABLE_FROM)),
        "usable": usable,
    }
    report(options, "\n".join(lines), data)
    return 0 if usable else 1


def _words(schema: Schema) -> str:
    return f"{schema.version}, readable from {schema.readable_from}" if schema.version else "none"


def _json(schema: Schema) -> dict[str, int]:
    return {"version": schema.version, "readableFrom": schema.readable_from}
