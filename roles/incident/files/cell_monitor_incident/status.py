"""What is wrong on the host, since when, what changed last, and which playbook helps."""

import json
import re
import time
import urllib.error
import urllib.request
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cell_monitor_jobs import table
from cell_monitor_release import status as releases
from cell_monitor_release import systemd
from cell_monitor_release.state import State

from cell_monitor_incident import certificate, connectivity, crash_loop, host
from cell_monitor_incident.incident import FOLDER, IncidentError, Json, records

# The playbook that an alert calls for. The first thing that is done; its page in docs/runbooks says more.
PLAYBOOKS = {
    "HostDown": "playbooks/status.yml",
    "ProxyDown": "playbooks/incidents/service_crash_loop.yml",
    "JupyterLabDown": "playbooks/incidents/service_crash_loop.yml",
    "EventServerDown": "playbooks/incidents/service_crash_loop.yml",
    "PostgresqlDown": "playbooks/incidents/server_connectivity.yml",
    "ResponseSlow": "playbooks/incidents/slow_class.yml",
    "ErrorsMany": "playbooks/incidents/service_crash_loop.yml",
    "MemoryHigh": "playbooks/incidents/memory_leak.yml",
    "KernelKilledForMemory": "playbooks/incidents/memory_leak.yml",
    "DiskFull": "playbooks/incidents/disk_full.yml",
    "StoreNearlyFull": "playbooks/incidents/disk_full.yml",
    "PostgresqlConnectionsMany": "playbooks/status.yml",
    "SpoolGrowing": "playbooks/incidents/server_connectivity.yml",
    "SpoolOld": "playbooks/incidents/server_connectivity.yml",
    "SpoolFull": "playbooks/incidents/server_connectivity.yml",
    "EventsRejected": "playbooks/status.yml",
    "EventsLost": "playbooks/incidents/server_connectivity.yml",
    "BackupOld": "playbooks/backup.yml",
    "BackupUnverified": "playbooks/drill.yml",
    "BackupMissing": "playbooks/backup.yml",
    "JobOverdue": "playbooks/maintenance.yml",
    "SecurityFinding": "playbooks/maintenance.yml",
    "SecurityUnchecked": "playbooks/maintenance.yml",
    "CertificateExpiring": "playbooks/incidents/certificate_expired.yml",
    "CertificateInvalid": "playbooks/incidents/certificate_expired.yml",
    "UnitFailed": "playbooks/incidents/service_crash_loop.yml",
    "ReleaseMismatch": "playbooks/rollback.yml",
    "ClockSkew": "playbooks/status.yml",
    "ExporterMissing": "playbooks/monitoring.yml",
    "MonitoringBroken": "playbooks/monitoring.yml",
    "Watchdog": "playbooks/monitoring.yml",
}
_PROMETHEUS = "http://127.0.0.1:9090/prometheus/api/v1/alerts"
_SECONDS = 2
_SERVICES = {"event-server": "EventServerDown", "jupyterlab": "JupyterLabDown", "nginx": "ProxyDown"}


@dataclass(frozen=True)
class Finding:
    """Something that is wrong.

    Attributes:
        alert: the alert that stands for it, whether Prometheus watches or not.
        sentence: what it is.
        since: seconds since 1970; None where nobody knows.
        instance: another host that the alert is about, "" for this one.
    """

    alert: str
    sentence: str
    since: float | None
    instance: str = ""

    @property
    def playbook(self) -> str:
        """What helps."""
        return PLAYBOOKS.get(self.alert, "playbooks/status.yml")


def look(options: Json, folder: Path = FOLDER, name: str = "") -> Json:
    """Looks at the host.

    Args:
        options: thresholds.
        folder: of the records.
        name: of this host in Prometheus.
    """
    state = State()
    told = releases.status(state)
    found, watched = alerts(name)
    seen = {finding.alert for finding in found if not finding.instance}
    found += [finding for finding in _direct(told, options) if finding.alert not in seen]
    return {
        "findings": [asdict(finding) | {"playbook": finding.playbook} for finding in found],
        "watched": watched,
        "drift": told["drift"],
        "changes": _changes(told),
        "open": [one for one in records(folder) if one["state"] == "open"],
    }


def alerts(name: str) -> tuple[list[Finding], bool]:
    """Returns what fires in the Prometheus of this host, and whether there is one that answers."""
    try:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(_PROMETHEUS, timeout=_SECONDS) as answer:
            content = json.load(answer)
    except (OSError, ValueError):
        return [], False
    found = [_finding(alert, name) for alert in content["data"]["alerts"] if _counts(alert)]
    return _essential(sorted(found, key=lambda one: (one.instance, one.since or 0))), True


def _essential(found: list[Finding]) -> list[Finding]:
    """Of each host, each alert once; of a host that is down, that alone."""
    down = {one.instance for one in found if one.alert == "HostDown"}
    kept = [one for one in found if one.alert == "HostDown" or one.instance not in down]
    return list({(one.instance, one.alert): one for one in reversed(kept)}.values())[::-1]


def _counts(alert: Json) -> bool:
    return bool(alert["labels"].get("severity") != "none")


def _finding(alert: Json, name: str) -> Finding:
    labels = alert["labels"]
    instance = labels.get("instance", "")
    # Nanoseconds are more than Python 3.11 reads.
    since = datetime.fromisoformat(re.sub(r"\.\d+", "", alert["activeAt"]).replace("Z", "+00:00")).timestamp()
    text = alert["annotations"].get("summary", labels["alertname"])
    soon = " (it is not told yet)" if alert["state"] == "pending" else ""
    return Finding(labels["alertname"], f"{text}{soon}", since, "" if instance == name else instance)


def _direct(told: Json, options: Json) -> list[Finding]:
    """What can be seen without Prometheus."""
    found = []
    for part in told["parts"]:
        if (fault := part.get("health", "healthy")) != "healthy":
            unit = f"{part['name']}.service"
            alert = _SERVICES.get(part["name"], "UnitFailed")
            found.append(Finding(alert, f"{part['name']}: {fault}.", systemd.show(unit).changed or None))
    units = {f"{part['name']}.service" for part in told["parts"]}
    for unit in crash_loop.failed():
        if unit not in units:
            service = systemd.show(unit)
            found.append(Finding("UnitFailed", f"{unit} has failed: {service.result}.", service.changed or None))
    for disk in host.disks():
        if max(disk.used, disk.inodes) > options["disk_ratio"]:
            found.append(Finding("DiskFull", f"{disk.path} is {max(disk.used, disk.inodes):.0%} full.", None))
    for unit, size in host.memory(host.processes()).items():
        if f"{unit.removesuffix('.service')}" in _SERVICES and size > options["memory_bytes"]:
            found.append(Finding("MemoryHigh", f"{unit} takes {host.readable(size)}.", None))
    return [*found, *_spool(options), *_certificate(options), *_backup(options)]


def _spool(options: Json) -> list[Finding]:
    try:
        told = connectivity.way().waiting()
    except IncidentError:
        return []
    if not told:
        return []
    if not told["accepting"]:
        return [Finding("SpoolFull", "the spool takes no more events.", None)]
    age = told["oldest_age_seconds"] or 0
    if age > options["spool_age_seconds"]:
        return [Finding("SpoolOld", f"{told['depth']} events wait here.", time.time() - age)]
    return []


def _certificate(options: Json) -> list[Finding]:
    if not certificate.FILE.exists():
        return []
    days = certificate.days_left(certificate.FILE.read_text(encoding="ascii"))
    if days >= options["certificate_days"]:
        return []
    return [Finding("CertificateExpiring", f"the certificate ends in {days:.0f} days.", None)]


def _backup(options: Json) -> list[Finding]:
    jobs = {row["job"]: row for row in table.rows(FOLDER.parent)}
    last = (jobs.get("backup") or {}).get("last_success")
    if last and time.time() - last > options["backup_age_hours"] * 3600:
        return [Finding("BackupOld", "no backup was made since then.", last)]
    return []


def _changes(told: Json) -> list[str]:
    """What changed last: releases, packages, the host's start; the latest first."""
    lines: list[tuple[float, str]] = []
    for line in told["history"][-2:]:
        when = datetime.fromisoformat(line["when"].replace("Z", "+00:00")).timestamp()
        bundle = (line["to"] or {}).get("bundle") or "-"
        lines.append((when, f"{line['verb']} of {bundle} by {line['who']}: {line['result']}"))
    lines.append((time.time() - float(Path("/proc/uptime").read_text().split()[0]), "start of the machine"))
    if package := _package(Path("/var/log/dpkg.log")):
        lines.append(package)
    return [f"{moment(when)} {what}" for when, what in sorted(lines, reverse=True)]


def _package(log: Path) -> tuple[float, str] | None:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 65536))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return None
    for line in reversed(lines):
        if found := re.match(r"(\S+ \S+) (install|upgrade|remove) (\S+)", line):
            when = datetime.strptime(found[1], "%Y-%m-%d %H:%M:%S").astimezone().timestamp()
            return when, f"{found[2]} of {found[3]}"
    return None


def moment(seconds: float) -> str:
    """A time, for people."""
    return datetime.fromtimestamp(seconds, UTC).astimezone().strftime("%Y-%m-%d %H:%M")


def text(told: Json) -> str:
    """The same for people: the first lines say what to do."""
    now = time.time()
    findings: list[dict[str, Any]] = told["findings"]
    lines = [f"wrong: {len(findings)}" if findings else "all is well"]
    for one in findings:
        since = f"since {moment(one['since'])} ({table.age(one['since'], now)})" if one["since"] else "since some time"
        lines += [f"  {one['alert']} {since}: {one['sentence']}", f"    run {one['playbook']}"]
    for one in told["open"]:
        lines.append(f"  open incident {one['kind']}, since {one['began']}, by {one['who']}")
    lines += [f"  changed by hand: {sentence}" for sentence in told["drift"]]
    lines += [f"  changed last: {line}" for line in told["changes"][:3]]
    if not told["watched"]:
        lines.append("  (no Prometheus answers on this host: only what can be seen at once)")
    return "\n".join(lines)
