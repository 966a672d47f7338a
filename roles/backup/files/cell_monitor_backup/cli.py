"""The command line: for the units, the playbooks, and for who is logged in on the host."""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from cell_monitor_backup import jobs, restore, run, verify
from cell_monitor_backup.config import FILE, OF_ALL, PARTS, Config, load
from cell_monitor_backup.errors import BackupError
from cell_monitor_backup.lock import exclusive
from cell_monitor_backup.restic import Repository

Json = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns 0, or another code with one sentence about what is wrong."""
    options = _parser().parse_args(arguments)
    try:
        told = options.command(load(options.config), options)
    except BackupError as error:
        print(error, file=sys.stderr)
        return error.code
    print(json.dumps(told, ensure_ascii=False) if options.json else told["sentence"])
    return 0


def _locked(config: Config, options: argparse.Namespace, job: str, work: Callable[[], Json]) -> Json:
    def alone() -> Json:
        with exclusive(config.work / "lock", job, options.wait):
            return work()

    return jobs.run(config.state, job, alone)


def _run(config: Config, options: argparse.Namespace) -> Json:
    done = _locked(config, options, "backup", lambda: run.back_up(config, options.reason))
    if options.quick:
        return done
    if config.copy:
        _locked(config, options, "backup-copy", lambda: run.copy_away(config))
    if not run.is_tidied(jobs.last(config.state, "backup-tidy")):
        _locked(config, options, "backup-tidy", lambda: run.tidy(config))
    return done


def _check(config: Config, options: argparse.Namespace) -> Json:
    return _locked(config, options, "backup-check", lambda: _checked(config))


def _checked(config: Config) -> Json:
    started = time.time()
    # Another share each week: in as many weeks as there are, all of it is read.
    share = int(started // (7 * 86400)) % config.check_shares + 1
    first, *_ = both = run.repositories(config)
    for repository in both:
        repository.unlock()
        repository.check(share, config.check_shares)
    return {
        "sentence": f"{first.location} is whole as far as it was read, share {share} of {config.check_shares},"
        f" {time.time() - started:.1f} s.",
    }


def _drill(config: Config, options: argparse.Namespace) -> Json:
    return _locked(config, options, "backup-drill", lambda: verify.drill(config))


def _restore(config: Config, options: argparse.Namespace) -> Json:
    wanted = restore.Wanted(
        OF_ALL if options.part == "all" else (options.part,),
        options.snapshot,
        _time(options.at) if options.at else None,
        options.path,
        options.host or config.host,
    )
    return _locked(config, options, "backup-restore", lambda: restore.restore(config, wanted))


def _list(config: Config, _: argparse.Namespace) -> Json:
    found = [s for repository in run.repositories(config) for s in repository.snapshots()]
    snapshots = {s.id: s for s in found}.values()
    return {
        "snapshots": [
            {"id": s.short, "time": s.time.isoformat(timespec="seconds"), "reason": ",".join(s.tags)} for s in snapshots
        ],
        "sentence": "\n".join(f"{s.label}  {','.join(s.tags)}" for s in snapshots) or "there is no snapshot yet.",
    }


def _prepare(config: Config, _: argparse.Namespace) -> Json:
    changed = run.prepare(config)
    return {"changed": changed, "sentence": "the repository was made." if changed else "the repository is there."}


def _unlock(config: Config, _: argparse.Namespace) -> Json:
    for repository in run.repositories(config):
        Repository.unlock(repository)
    return {"sentence": "locks of runs that do not live any more are removed."}


def _time(text: str) -> datetime:
    """Reads a time; one without a zone is the host's."""
    try:
        return datetime.fromisoformat(text).astimezone()
    except ValueError:
        raise BackupError(
            f"restore_at is {text}; allowed is a time such as 2026-04-01T10:30, by this host's clock."
        ) from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cell-monitor-backup",
        description="Backups of Cell Monitor on this host.",
        epilog="Exit codes: 0 done; 1 not done, for the reason on standard error; 2 the command line is wrong; 3 a"
        " backup or the store is damaged; 75 another run goes on.",
    )
    parser.add_argument("--config", type=Path, default=FILE, metavar="FILE", help="the configuration (%(default)s)")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def add(name: str, command: Callable[[Config, argparse.Namespace], Json], help: str) -> argparse.ArgumentParser:  # noqa: A002
        added = commands.add_parser(name, help=help, description=help)
        added.set_defaults(command=command)
        added.add_argument("--json", action="store_true", help="print JSON")
        added.add_argument("--wait", type=float, default=120, metavar="SECONDS", help="for another run (%(default)s)")
        return added

    now = add("run", _run, "make a snapshot, copy it to the second repository, remove old ones once a day")
    now.add_argument("--reason", default="by-hand", help="the snapshot's tag (%(default)s)")
    now.add_argument("--quick", action="store_true", help="make the snapshot alone")
    add("check", _check, "read the repository's structure and a share of its data")
    add("drill", _drill, "restore the newest snapshot into a scratch folder and compare it with its manifest")
    add("list", _list, "list the snapshots")
    back = add("restore", _restore, "bring back what was there, after a snapshot of what it replaces")
    back.add_argument("--part", choices=["all", *PARTS], default="all", help="what (%(default)s)")
    back.add_argument("--snapshot", help="its id; the newest one without")
    back.add_argument("--at", metavar="TIME", help="the newest snapshot before, such as 2026-04-01T10:30")
    back.add_argument("--path", default="", help="of the notebooks, one folder or file")
    back.add_argument("--host", help="whose snapshots, if not this host's")
    add("prepare", _prepare, "make the repositories that are not there")
    add("unlock", _unlock, "remove locks of runs that do not live any more")
    return parser
