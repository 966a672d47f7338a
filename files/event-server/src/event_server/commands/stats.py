"""``stats``: what the store holds."""

import argparse

from event_server.classroom import iso
from event_server.commands import Commands, add_config, add_json, config_of, report
from event_server.stores import open_upkeep


def add_to(commands: Commands) -> None:
    """Adds the command to the command line."""
    description = "Counts what is stored: events, students, types of events, bytes. It names nobody."
    parser = commands.add_parser("stats", help="count what is stored", description=description)
    parser.set_defaults(run=_stats)
    add_config(parser)
    add_json(parser)


def _stats(options: argparse.Namespace) -> int:
    config = config_of(options)
    with open_upkeep(config) as upkeep:
        found = upkeep.statistics()
        size, free = upkeep.usage()
    first, last = (None if moment is None else iso(moment) for moment in (found.first, found.last))
    kept = f"{config.retention_days} days" if config.retention_days else "for ever"
    lines = [
        ("events", found.events),
        ("students", found.students),
        ("first", first or "-"),
        ("last", last or "-"),
        ("bytes", size),
        ("bytes free", "-" if free is None else free),
        ("kept", kept),
        *((f"  {event_type}", number) for event_type, number in found.by_type.items()),
    ]
    width = max(len(name) for name, _ in lines)
    report(
        options,
        "\n".join(f"{name:{width}}  {value}" for name, value in lines),
        {
            "events": found.events,
            "students": found.students,
            "firstOccurredAt": first,
            "lastOccurredAt": last,
            "sizeBytes": size,
            "freeBytes": free,
            "retentionDays": config.retention_days,
            "eventTypes": found.by_type,
        },
    )
    return 0
