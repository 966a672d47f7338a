"""An incident, and its record."""

import shutil
import socket
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cell_monitor_host import files
from cell_monitor_jobs.record import exposition

FOLDER = Path("/var/lib/cell-monitor/incidents")
METRICS = Path("/var/lib/cell-monitor/metrics/incidents.prom")
# Records and evidence.
_KEPT = 50

Json = dict[str, Any]
# Kinds, which are the names of their playbooks, and how severe they are.
SEVERITIES = {
    "memory_leak": "high",
    "server_connectivity": "medium",
    "disk_full": "high",
    "service_crash_loop": "high",
    "certificate_expired": "high",
    "slow_class": "medium",
    "suspected_intrusion": "critical",
}


class IncidentError(Exception):
    """Something cannot be done; the text is one sentence."""


def records(folder: Path = FOLDER) -> list[Json]:
    """Returns all records, the oldest first. A damaged one is left out."""
    read = (files.read_json(path) for path in sorted(folder.glob("*.json")))
    return [told for told in read if isinstance(told, dict) and told.get("kind") in SEVERITIES]


class Incident:
    """An incident of a kind: the one that is open, or one that begins with the first thing that is done.

    Args:
        kind: one of `SEVERITIES`.
        who: for the record.
        check: whether to change nothing, and say what would be done.
        folder: of the records.

    Attributes:
        seen: sentences of this run.
        done: sentences of what this run has done, or would do.
        left: sentences of what is left for people.
        undo: what it takes to take back what was done.
        wrong: whether there is anything to record at all.
    """

    def __init__(self, kind: str, who: str = "", *, check: bool = False, folder: Path = FOLDER) -> None:
        self.kind = kind
        self.check = check
        self.seen: list[str] = []
        self.done: list[str] = []
        self.left: list[str] = []
        self.wrong = False
        self._folder = folder
        found = [told for told in records(folder) if told["kind"] == kind and told["state"] == "open"]
        self.was_open = bool(found)
        began = time.time()
        name = f"{datetime.fromtimestamp(began, UTC):%Y%m%dT%H%M%SZ}-{kind}"
        self.record: Json = (
            found[-1]
            if found
            else {
                "id": name,
                "kind": kind,
                "severity": SEVERITIES[kind],
                "host": socket.gethostname(),
                "who": who,
                "state": "open",
                "began": _moment(began),
                "ended": None,
                "seen": [],
                "done": [],
                "undo": {},
            }
        )
        self.undo: Json = self.record["undo"]

    @property
    def evidence(self) -> Path:
        """The folder of what was collected."""
        return self._folder / str(self.record["id"])

    def see(self, sentence: str, *, wrong: bool = False) -> None:
        """Takes note of something."""
        self.seen.append(sentence)
        self.wrong = self.wrong or wrong

    def do(self, sentence: str, action: Callable[[], object] | None = None) -> None:
        """Does something, unless this run is to change nothing."""
        if action is not None and not self.check:
            action()
        self.done.append(sentence)

    def keep(self, name: str, text: str) -> None:
        """Keeps evidence. A disk without room for it must not keep the rest from being done."""
        if self.check or not text.strip():
            return
        try:
            for folder in (self._folder, self.evidence):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            files.write(self.evidence / name, text)
        except OSError as error:
            self.see(f"{name} could not be kept: {error.strerror}.")

    def save(self, *, over: bool = False) -> bool:
        """Writes the record, if there is anything new in it; returns whether there is.

        A second run that sees the same, and does nothing, leaves it as it is.
        """
        new = bool(self.done) or over or (self.wrong and not self.was_open)
        if not new or self.check:
            return new
        when = _moment(time.time())
        self.record["seen"] += [{"when": when, "what": what} for what in self.seen]
        self.record["done"] += [{"when": when, "what": what} for what in self.done]
        if over:
            self.record |= {"state": "over", "ended": when}
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        files.write_json(self._folder / f"{self.record['id']}.json", self.record)
        _forget(self._folder)
        expose(self._folder)
        return new

    def told(self, *, changed: bool) -> Json:
        """Returns what this run comes to."""
        return {
            "id": self.record["id"] if self.was_open or changed else None,
            "state": self.record["state"] if self.was_open or changed else None,
            "wrong": self.wrong,
            "seen": self.seen,
            "done": self.done,
            "left": self.left,
            "steps": sorted(self.record.get("steps", [])),
            "changed": changed,
        }


def expose(folder: Path = FOLDER, metrics: Path = METRICS) -> None:
    """Leaves for Prometheus which incidents are open."""
    known = records(folder)
    families = []
    for kind in SEVERITIES:
        is_open = any(told["kind"] == kind and told["state"] == "open" for told in known)
        families.append(exposition([("cell_monitor_incident_open", _HELP, [is_open])], kind=kind))
    # Its head once, for all of them.
    head, body = families[0].splitlines()[:2], [line for family in families for line in family.splitlines()[2:]]
    files.write(metrics, "\n".join([*head, *body]) + "\n", 0o644)


_HELP = "Whether an incident of the kind is open."


def _forget(folder: Path) -> None:
    for path in sorted(folder.glob("*.json"))[:-_KEPT]:
        path.unlink()
        shutil.rmtree(path.with_suffix(""), ignore_errors=True)


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
