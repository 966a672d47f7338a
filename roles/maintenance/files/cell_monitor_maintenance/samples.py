"""Figures of the class every few minutes: one JSON object a line, a file a day. Nobody is named in them."""

import json
import os
import re
import time
import urllib.request
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from cell_monitor_maintenance.config import Config

Sample = dict[str, Any]
Series = dict[str, list[tuple[dict[str, str], float]]]

_LINE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_SECONDS = 10
_LAB = {
    "answer_seconds": "cell_monitor_average_response_time_seconds",
    "memory_bytes": "cell_monitor_resident_memory_bytes",
    "error_ratio": "cell_monitor_error_ratio",
    "active_users": "cell_monitor_active_users",
    "help_total": "cell_monitor_help_requests_total",
    "invalid_total": "cell_monitor_validation_failures_total",
    "waiting": "cell_monitor_spool_events",
}
_REQUESTS = "event_server_http_request_duration_seconds"


def take(config: Config, now: float) -> Sample:
    """Returns one sample; a service that does not answer is None."""
    sample: Sample = {"at": round(now), "disks": _disks(config.disks)}
    if config.jupyterlab:
        sample["lab"] = _asked(f"{config.jupyterlab}/cell-monitor/metrics?format=prometheus", _lab)
    if config.event_server:
        sample["server"] = _asked(f"{config.event_server}/metrics", _server)
    return sample


def _disks(paths: Iterable[str]) -> dict[str, dict[str, int]]:
    # Folders of one disk are told once.
    first: dict[int, str] = {}
    for path in paths:
        if Path(path).exists():
            first.setdefault(Path(path).stat().st_dev, path)
    return {path: _disk(path) for path in first.values()}


def _disk(path: str) -> dict[str, int]:
    disk = os.statvfs(path)
    total, free = disk.f_blocks * disk.f_frsize, disk.f_bavail * disk.f_frsize
    # As df: what only root may use counts neither as free nor as part of the disk.
    used = total - disk.f_bfree * disk.f_frsize
    return {"total": used + free, "used": used}


def _asked(url: str, read: Any) -> dict[str, float] | None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=_SECONDS) as answer:
            found: dict[str, float] = read(parse(answer.read().decode()))
            return found
    except (OSError, ValueError):
        return None


def _lab(series: Series) -> dict[str, float]:
    return {name: total(series, metric) for name, metric in _LAB.items()}


def _server(series: Series) -> dict[str, float]:
    failed = sum(value for labels, value in series.get(f"{_REQUESTS}_count", ()) if labels["code"].startswith("5"))
    return {
        "answers_total": total(series, f"{_REQUESTS}_count"),
        "answers_seconds_total": total(series, f"{_REQUESTS}_sum"),
        "failed_total": failed,
        "events_total": total(series, "event_server_events_stored_total"),
        "active_users": total(series, "event_server_active_students"),
        "stuck": total(series, "event_server_stuck_students"),
        "memory_bytes": total(series, "process_resident_memory_bytes"),
        "database_bytes": total(series, "event_server_database_size_bytes"),
    }


def parse(text: str) -> Series:
    """Reads the text format of Prometheus."""
    series: Series = {}
    for line in text.splitlines():
        if found := _LINE.match(line):
            labels = dict(_LABEL.findall(found[2] or ""))
            series.setdefault(found[1], []).append((labels, float(found[3])))
    return series


def total(series: Series, name: str) -> float:
    """Returns the sum of a metric over its labels."""
    return sum(value for _, value in series.get(name, ()))


def add(folder: Path, sample: Sample) -> None:
    """Appends a sample to its day's file, in one write."""
    path = folder / f"{date.fromtimestamp(sample['at'])}.jsonl"
    folder.mkdir(parents=True, exist_ok=True)
    line = json.dumps(sample, separators=(",", ":")) + "\n"
    # A full disk or a power cut may have left half a line.
    if path.exists() and not _ends_a_line(path):
        line = f"\n{line}"
    with path.open("ab", buffering=0) as file:
        file.write(line.encode())


def _ends_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        if not file.tell():
            return True
        file.seek(-1, os.SEEK_END)
        return file.read() == b"\n"


def days(folder: Path) -> list[date]:
    """Returns the days that there are samples of."""
    return sorted(day for path in folder.glob("*.jsonl") if (day := _day(path.stem)))


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def read(folder: Path, day: date) -> list[Sample]:
    """Returns the samples of a day, by time; damaged lines are left out."""
    try:
        lines = (folder / f"{day}.jsonl").read_bytes().splitlines()
    except FileNotFoundError:
        return []
    return sorted(_samples(lines), key=lambda sample: float(sample["at"]))


def _samples(lines: Iterable[bytes]) -> Iterator[Sample]:
    for line in lines:
        try:
            sample = json.loads(line)
        except ValueError:
            continue
        if isinstance(sample, dict) and isinstance(sample.get("at"), int | float):
            yield sample


def prune(folder: Path, keep_days: int, today: date | None = None) -> int:
    """Removes the samples of days long ago; returns how many files."""
    first = (today or date.fromtimestamp(time.time())) - timedelta(days=keep_days)
    old = [day for day in days(folder) if day < first]
    for day in old:
        (folder / f"{day}.jsonl").unlink()
    return len(old)
