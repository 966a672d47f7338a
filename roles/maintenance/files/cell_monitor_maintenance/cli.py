"""The command line, of the units and of who is logged in."""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from cell_monitor_maintenance import daily, delivery, programs, samples, scan
from cell_monitor_maintenance.config import FILE, Config, MaintenanceError, load


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; returns 0, 1 where it failed, or 75 where it could not check what it is for."""
    parser = argparse.ArgumentParser(prog="cell-monitor-maintenance", description=__doc__)
    parser.add_argument("--config", type=Path, default=FILE, metavar="FILE", help="%(default)s")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, run, help_ in (
        ("sample", _sample, "note the class's figures of this moment"),
        ("scan", _scan, "run the security scan"),
        ("prune", _prune, "remove what has been kept for long enough"),
        ("round", _round, "do the daily round and write its report"),
    ):
        added = commands.add_parser(name, help=help_, description=help_)
        added.set_defaults(command=run)
    options = parser.parse_args(arguments)
    command: Callable[[Config], int] = options.command
    try:
        return command(load(options.config))
    except (OSError, MaintenanceError, daily.StepError) as error:
        programs.tell(str(error))
        return 1


def _sample(config: Config) -> int:
    sample = samples.take(config, time.time())
    samples.add(config.state / "samples", sample)
    silent = [name for name in ("lab", "server") if name in sample and sample[name] is None]
    if silent:
        programs.tell(f"no answer from {', '.join(silent)}")
    return 0


def _scan(config: Config) -> int:
    checks = scan.scan(config)
    scan.remember(config, checks)
    for check in checks:
        print(f"{check.name}: {check.result}, {check.sentence}", *check.found, sep="\n  ")
    code, sentence = scan.outcome(checks)
    programs.tell(sentence)
    return code


def _prune(config: Config) -> int:
    programs.tell(daily.prune(config))
    return 0


def _round(config: Config) -> int:
    report = daily.round_(config)
    troubles = daily.troubles(report)
    ways = delivery.deliver(config, report, troubles)
    failed = [step["name"] for step in report["steps"] if step["result"] == "failed"]
    unchecked = [step["name"] for step in report["steps"] if step["result"] == "unchecked"]
    parts = [f"failed: {', '.join(failed)}"] if failed else []
    parts += [f"not checked: {', '.join(unchecked)}"] if unchecked else []
    parts += [f"{len(troubles)} to look at" if troubles else "nothing to look at", *(f"sent by {way}" for way in ways)]
    programs.tell("; ".join([f"report of {report['date']}", *parts]))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
