"""The command line: for the playbooks, and for who is logged in on the host."""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from cell_monitor_release.errors import ReleaseError

from cell_monitor_incident import (
    certificate,
    connectivity,
    crash_loop,
    disk_full,
    intrusion,
    memory_leak,
    slow_class,
    status,
)
from cell_monitor_incident.incident import FOLDER, SEVERITIES, Incident, IncidentError, Json, records

_Handler = Callable[[Incident, Json], None]
_HANDLERS: dict[str, tuple[_Handler, _Handler]] = {
    "memory_leak": (memory_leak.begin, memory_leak.end),
    "server_connectivity": (connectivity.begin, connectivity.end),
    "disk_full": (disk_full.begin, disk_full.end),
    "service_crash_loop": (crash_loop.begin, crash_loop.end),
    "certificate_expired": (certificate.begin, certificate.end),
    "slow_class": (slow_class.begin, slow_class.end),
    "suspected_intrusion": (intrusion.begin, intrusion.end),
}
# As the role has them, for who is logged in on the host; a playbook brings those of the inventory.
OPTIONS: Json = {
    "memory_bytes": 500_000_000,
    "disk_ratio": 0.9,
    "spool_age_seconds": 300,
    "backup_age_hours": 26,
    "certificate_days": 21,
    "watch_seconds": 10,
    "drain_seconds": 300,
    "https_port": 443,
    "rollback": True,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns 0, or 1 with one sentence about what is wrong."""
    options = _parser().parse_args(arguments)
    try:
        told: Json = options.command(options)
    except (IncidentError, ReleaseError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(told, ensure_ascii=False) if options.json else text(told))
    return 0


def _handle(options: argparse.Namespace) -> Json:
    """Begins or ends an incident."""
    incident = Incident(options.kind, options.who, check=options.check, folder=options.folder)
    begin, end = _HANDLERS[options.kind]
    settings = _settings(options)
    if options.verb == "begin":
        begin(incident, settings)
        return incident.told(changed=incident.save())
    if not incident.was_open:
        incident.see(f"no incident of the kind {options.kind} is open.")
        return incident.told(changed=False)
    end(incident, settings)
    return incident.told(changed=incident.save(over=not options.keep_open))


def _settings(options: argparse.Namespace) -> Json:
    return OPTIONS | (json.load(sys.stdin) if options.settings else {})


def _note(options: argparse.Namespace) -> Json:
    """Adds to the record what a playbook has done."""
    incident = Incident(options.kind, options.who, folder=options.folder)
    steps = incident.record.setdefault("steps", [])
    if options.step not in steps:
        steps.append(options.step)
        incident.do(options.sentence)
    return incident.told(changed=incident.save(over=options.close))


def _list(options: argparse.Namespace) -> Json:
    return {"incidents": records(options.folder)}


def _status(options: argparse.Namespace) -> Json:
    return status.look(_settings(options), options.folder, options.name)


def text(told: Json) -> str:
    """The same for people."""
    if "findings" in told:
        return status.text(told)
    if "incidents" in told:
        lines = [f"{one['id']:<42}{one['state']:<6}{one['who']}" for one in told["incidents"]]
        return "\n".join(lines) or "There was no incident."
    lines = [f"seen: {sentence}" for sentence in told["seen"]]
    lines += [f"done: {sentence}" for sentence in told["done"]]
    lines += [f"left to do: {sentence}" for sentence in told["left"]]
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cell-monitor-incident", description="Incidents on this host.")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="of the records (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    settings: Json = {"action": "store_true", "help": "read settings, as JSON, from standard input"}
    for verb, help_ in (("begin", "look, do what helps, and write it down"), ("end", "take back what was done")):
        handle = commands.add_parser(verb, help=help_, description=help_)
        handle.add_argument("kind", choices=SEVERITIES)
        handle.add_argument("--who", default="", help="for the record")
        handle.add_argument("--check", action="store_true", help="change nothing, and say what would be done")
        handle.add_argument("--settings", **settings)
        if verb == "end":
            handle.add_argument("--keep-open", action="store_true", help="leave the record for a note to close")
        handle.set_defaults(command=_handle, verb=verb)
    note = commands.add_parser("note", help="add to the record what was done elsewhere")
    note.add_argument("kind", choices=SEVERITIES)
    note.add_argument("step")
    note.add_argument("sentence")
    note.add_argument("--who", default="", help="for the record")
    note.add_argument("--close", action="store_true", help="close the record")
    note.set_defaults(command=_note)
    whole = commands.add_parser("status", help="say what is wrong, since when, what changed last, and what helps")
    whole.add_argument("--name", default="", help="of this host in the inventory")
    whole.add_argument("--settings", **settings)
    whole.set_defaults(command=_status)
    commands.add_parser("list", help="list the incidents").set_defaults(command=_list)
    return parser
