"""``prune``: deletes what has been kept for as long as it may be."""

import argparse
import time

from event_server.classroom import iso
from event_server.commands import Commands, add_config, add_json, config_of, count, report, summary
from event_server.stores import open_upkeep

_DAY = 24 * 3600 * 1000
_DESCRIPTION = """\
Deletes the events that the server received longer ago than `retention_days` of the configuration, and the notes on
instructors' actions of that age, for ever; 0 days delete nothing. The server may be running: it waits for some
milliseconds at a time. The file keeps its size, and new events take the room. The daily round does this.
"""


def add_to(commands: Commands) -> None:
    """Adds the command to the command line."""
    parser = commands.add_parser("prune", help="delete events that are too old", description=_DESCRIPTION)
    parser.set_defaults(run=_prune)
    add_config(parser)
    parser.add_argument("--dry-run", action="store_true", help="count the events that would be deleted")
    add_json(parser)


def _prune(options: argparse.Namespace) -> int:
    config = config_of(options)
    if not config.retention_days:
        report(options, "retention_days is 0: events are kept for ever.", {"retentionDays": 0, "events": 0})
        return 0
    before = time.time_ns() // 1_000_000 - config.retention_days * _DAY
    data = {"retentionDays": config.retention_days, "before": iso(before)}
    with open_upkeep(config) as upkeep:
        if options.dry_run:
            events = upkeep.count_before(before)
            text = f"{count(events, 'event')} received before {iso(before)} would be deleted."
            report(options, text, data | {"events": events})
            return 0
        deleted = upkeep.prune(before)
    text = f"{count(deleted.events, 'event')} received before {iso(before)} deleted."
    report(options, text, data | summary(deleted))
    return 0
