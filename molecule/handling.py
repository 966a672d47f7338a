"""Incidents as an administrator handles them, and what the host says of them."""

from __future__ import annotations

import json
import re
from typing import Any

from conftest import Server, ansible_playbook, event
from deploys import succeeded
from testinfra.host import Host

COMMAND = "/usr/local/sbin/cell-monitor-incident"
RECORDS = "/var/lib/cell-monitor/incidents"


def playbook(name: str, *options: str, limit: str = "debian12") -> str:
    """Run the playbook of an incident; returns what it said."""
    return succeeded(ansible_playbook(f"playbooks/incidents/{name}.yml", "--limit", limit, *options))


def dry_run(host: Host, name: str, *options: str) -> str:
    """Run it so that it changes nothing; returns what it said."""
    before = host.check_output(f"{COMMAND} --json list")
    said = playbook(name, "--check", *options)
    assert "(nothing was changed)" in said
    assert host.check_output(f"{COMMAND} --json list") == before
    return said


def take_back(name: str, *options: str, limit: str = "debian12") -> str:
    """Run its inverse."""
    return playbook(name, "-e", "incident_state=absent", *options, limit=limit)


def changed(said: str) -> int:
    """How many tasks of a run have changed something."""
    return sum(map(int, re.findall(r"changed=(\d+)", said)))


def record(host: Host, kind: str) -> dict[str, Any]:
    """The last record of a kind, its sentences as one text each."""
    found = [one for one in json.loads(host.check_output(f"{COMMAND} --json list"))["incidents"] if one["kind"] == kind]
    told: dict[str, Any] = found[-1]
    return told | {name: " ".join(one["what"] for one in told[name]) for name in ("seen", "done")}


def wrong(host: Host) -> dict[str, str]:
    """What the host says is wrong with itself: alerts, and the playbooks that they call for."""
    findings = json.loads(host.check_output(f"{COMMAND} --json status --name {host.backend.hostname}"))["findings"]
    return {one["alert"]: one["playbook"] for one in findings if not one["instance"]}


def shown(host: Host, unit: str, name: str) -> str:
    """A property of a unit."""
    return str(host.check_output(f"systemctl show {unit} --property={name} --value"))


def kernels(host: Host) -> dict[str, str]:
    """The kernels' units that run, and their main processes."""
    told = host.check_output("systemctl list-units --plain --no-legend 'jupyter-kernel@*'")
    units = [line.split()[0] for line in told.splitlines() if " running " in line]
    return {unit: shown(host, unit, "MainPID") for unit in units}


def collect(server: Server, email: str) -> str:
    """Hand JupyterLab's collector an event, as the extension does; returns its id."""
    sent = event(email)
    with server.jupyter() as client:
        client.post("/cell-monitor/events", json=[sent]).raise_for_status()
    return str(sent["eventId"])


def stored(host: Host, event_id: str) -> bool:
    """Whether the store has an event."""
    code = (
        "import sqlite3, sys; db = sqlite3.connect('file:/var/lib/event-server/events.sqlite3?mode=ro', uri=True);"
        "print(db.execute('SELECT count(*) FROM events WHERE event_id = ?', sys.argv[1:]).fetchone()[0])"
    )
    return str(host.check_output(f'python3 -c "{code}" {event_id}')) == "1"
