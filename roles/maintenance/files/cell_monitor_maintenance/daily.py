"""The daily round: one step after the other, each for itself, and a report after each."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from cell_monitor_host import files
from cell_monitor_jobs import record, table

from cell_monitor_maintenance import figures, page, programs, samples, scan
from cell_monitor_maintenance.config import Config
from cell_monitor_maintenance.findings import UncheckedError

Json = dict[str, Any]
_STEP_SECONDS = 3600
_DAY = 86400
# With a day in hand for those that run weekly.
_BACKUP_AGES = {"backup": _DAY, "backup-drill": 8 * _DAY, "backup-check": 8 * _DAY}


@dataclass(frozen=True)
class Step:
    """What became of a step: result as of a job, one sentence, and how long it took in seconds."""

    name: str
    result: str
    sentence: str
    seconds: float


class StepError(Exception):
    """A step has failed; the text is one sentence."""


def round_(config: Config) -> Json:
    """Does the round; returns its report."""
    day = subject(config, datetime.now())
    steps: dict[str, Callable[[], str]] = {
        "rotation": lambda: _service("cell-monitor-rotation.service"),
        "journal": lambda: vacuum(config),
        "backup": lambda: backup(config, time.time()),
        "figures": lambda: _service("cell-monitor-sample.service"),
        "scan": lambda: _service("cell-monitor-scan.service"),
        "pruning": lambda: _service("cell-monitor-prune.service"),
        "analysis": lambda: analyse(config, report),
    }
    began = time.time()
    report: Json = {"host": config.host, "date": str(day), "began": began, "ended": None, "steps": [], "changes": []}
    for name, step in steps.items():
        report["steps"].append(asdict(run(name, step)))
        # The last one is written below.
        if name != "analysis":
            _try_to_write(config, report)
    report["ended"] = time.time()
    report["jobs"] = [row for row in table.rows(config.state) if row["job"] != "maintenance"]
    report["scan"] = scan.last(config)
    write(config, report)
    return report


def subject(config: Config, now: datetime) -> date:
    """Returns the day that a round is about: a class day whose round was missed, when this one makes up for it."""
    today = now.date()
    before = [day for day in samples.days(config.state / "samples") if day < today]
    if before and now.hour < 12 and not path(config, before[-1]).exists():
        return before[-1]
    return today


def run(name: str, step: Callable[[], str]) -> Step:
    """Runs a step that must not take the others with it."""
    began = time.monotonic()
    try:
        result, sentence = "ok", step()
    except UncheckedError as error:
        result, sentence = "unchecked", str(error)
    except StepError as error:
        result, sentence = "failed", str(error)
    except Exception as error:
        result, sentence = "failed", f"it broke off: {type(error).__name__} {error}"
    programs.tell(f"{name}: {result}{', ' if sentence else ''}{sentence}")
    return Step(name, result, sentence, round(time.monotonic() - began, 1))


def _service(unit: str) -> str:
    done = programs.run(["systemctl", "start", unit], _STEP_SECONDS)
    run = record.last(record.FOLDER, unit.removeprefix(record.PREFIX).removesuffix(".service"))
    if done.returncode:
        raise StepError(run.sentence if run and run.result == "failed" else f"{unit} failed: {done.stderr.strip()}")
    if run and run.result == "unchecked":
        raise UncheckedError(run.sentence)
    return run.sentence if run else ""


def vacuum(config: Config) -> str:
    """Deletes what the journal has kept for long enough.

    Raises:
        StepError: journalctl failed.
    """
    done = programs.run(["journalctl", "--rotate", f"--vacuum-time={config.log_days}d"], _STEP_SECONDS)
    if done.returncode:
        raise StepError(f"journalctl failed: {programs.last_line(done.stderr)}")
    return programs.last_line(programs.run(["journalctl", "--disk-usage"]).stdout)


def backup(config: Config, now: float) -> str:
    """Looks whether there is a backup of today, and whether the last check and trial restore were good.

    Raises:
        StepError: one is too old.
        UncheckedError: no backups are made here.
    """
    known = {job: run for job in _BACKUP_AGES if (run := record.last(config.state, job))}
    if not known:
        raise UncheckedError("no backup has been made here yet")
    old = []
    for job, longest in _BACKUP_AGES.items():
        success = known[job].last_success if job in known else None
        # What is new has not had its first week.
        is_due = job in known or job == "backup"
        if is_due and (success is None or not -60 <= now - success <= longest):
            old.append(f"{job} last succeeded {table.age(success, now)} ago" if success else f"{job} never succeeded")
    if old:
        raise StepError("; ".join(old))
    return "; ".join(f"{job} {table.age(run.last_success, now)} ago" for job, run in known.items())


def analyse(config: Config, report: Json) -> str:
    """Adds to a report what the day was like.

    Raises:
        UncheckedError: nothing is known of the day.
    """
    folder, day = config.state / "samples", date.fromisoformat(report["date"])
    known = {one: samples.read(folder, one) for one in samples.days(folder) if 0 <= (day - one).days <= 28}
    if not known.get(day):
        raise UncheckedError(f"there are no figures of {day}")
    history = {one: figures.of_day(taken) for one, taken in known.items()}
    changes = figures.changes(history, day)
    report["figures"] = [_figure(history, day, figure) for figure in figures.FIGURES if figure.name in history[day]]
    report["changes"] = [asdict(change) | {"factor": change.factor} for change in changes]
    report["disks"] = [_disk(known, day, disk) for disk in figures.at_end(known[day])]
    report["series"] = figures.series(known[day])
    report["had_class"] = figures.had_class(history[day])
    tight = [disk["path"] for disk in report["disks"] if disk["tight"]]
    names = [change.name for change in changes] + [f"disk {name}" for name in tight]
    return f"higher than usual: {', '.join(names)}" if names else "nothing is unusual"


def _figure(history: dict[date, figures.Day], day: date, figure: figures.Figure) -> Json:
    usual = {f"usual_{days}": figures.usual(history, day, figure.name, days) for days in figures.WINDOWS}
    return {"name": figure.name, "unit": figure.unit, "value": history[day][figure.name]} | usual


def _disk(known: dict[date, list[samples.Sample]], day: date, path: str) -> Json:
    used = {one: disk["used"] for one, taken in known.items() if (disk := figures.at_end(taken).get(path))}
    disk = figures.at_end(known[day])[path]
    left = figures.days_left(used, disk["total"], day)
    full = disk["used"] / disk["total"]
    return {"path": path, **disk, "days_left": left, "tight": full > 0.9 or (left is not None and left < 30)}


def path(config: Config, day: date | str) -> Path:
    """Where a day's report is, as JSON."""
    return config.state / "reports" / f"{day}.json"


def write(config: Config, report: Json) -> None:
    """Writes a report as JSON and as a page; a reader finds the old ones or the new ones.

    Raises:
        OSError: there is no room.
    """
    target = path(config, report["date"])
    target.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    files.write_json(target, report, 0o640)
    files.write(target.with_suffix(".html"), page.page(report, others(config, report["date"])), 0o640)
    files.write(target.with_name("index.html"), page.page(latest(config) or report, others(config, None)), 0o640)


def _try_to_write(config: Config, report: Json) -> None:
    try:
        write(config, report)
    except OSError as error:
        programs.tell(f"the report cannot be written yet: {error}")


def days(config: Config) -> list[str]:
    """Returns the days that have a report, the latest first."""
    return sorted((path.stem for path in (config.state / "reports").glob("????-??-??.json")), reverse=True)


def others(config: Config, day: str | None) -> list[str]:
    """Returns the days beside one that its page links to."""
    return [one for one in days(config) if one != day][:28]


def latest(config: Config) -> Json | None:
    """Returns the latest report."""
    data = files.read_json(path(config, days(config)[0])) if days(config) else None
    return data if isinstance(data, dict) else None


def troubles(report: Json) -> list[str]:
    """Returns what somebody has to look at, one line each."""
    lines = [f"{step['name']}: {step['sentence']}" for step in report["steps"] if step["result"] == "failed"]
    lines += [f"{disk['path']} gets full" for disk in report.get("disks", ()) if disk["tight"]]
    for check in (report.get("scan") or {}).get("checks", ()):
        lines += [f"{check['name']}: {check['sentence']}"] if check["result"] == "found" else []
    lines += [f"{change['name']}: {change['value']:.3g}, usually {change['usual']:.3g}" for change in report["changes"]]
    return lines


def prune(config: Config) -> str:
    """Removes releases, reports and samples that are old, and has the event server delete its old events.

    Raises:
        StepError: one of them failed; the others were done.
    """
    done: list[str] = []
    failed: list[str] = []
    removed = programs.run(["/usr/local/sbin/cell-monitor-release", "prune", "--keep", str(config.keep_releases)], 900)
    (failed if removed.returncode else done).append(
        f"releases: {programs.last_line(removed.stderr or removed.stdout)}" if removed.returncode else "releases"
    )
    old = date.fromordinal(date.today().toordinal() - config.keep_days)
    for day in days(config):
        if day < str(old):
            for suffix in (".json", ".html"):
                path(config, day).with_suffix(suffix).unlink(missing_ok=True)
    samples.prune(config.state / "samples", config.keep_days)
    done.append("reports and samples")
    if config.event_server:
        events = programs.run(["systemctl", "start", "event-server-prune.service"], _STEP_SECONDS)
        (failed if events.returncode else done).append(
            "events: see journalctl -u event-server-prune.service" if events.returncode else "events"
        )
    if failed:
        raise StepError("; ".join(failed))
    return f"old ones removed of {', '.join(done)}"
