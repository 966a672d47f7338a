"""The command line: for the playbooks, and for who is logged in on the host."""

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from cell_monitor_release import deploy, drift, files, releases, rollback, status, switch, text
from cell_monitor_release.detach import detached
from cell_monitor_release.errors import GateError, ReleaseError
from cell_monitor_release.model import Generation, Json, Part
from cell_monitor_release.state import FOLDER, State, now

_Command = Callable[[State, argparse.Namespace], Json]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns 0, or 1 with one sentence about what is wrong."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args(given)
    state = State(options.state)
    if options.command is releases.seal:
        releases.seal(options.path)
        return 0
    state.create()
    try:
        is_detached = options.is_long and not options.here and options.result is None and _is_due(state, options)
        code, told = detached(given) if is_detached else (0, _run(state, options))
    except GateError as error:
        code, told = 1, {"failed": str(error), "part": error.part}
    except ReleaseError as error:
        code, told = 1, {"failed": str(error)}
    if options.result is not None:
        files.write_json(options.result, told | {"code": code})
    elif code:
        print(told["failed"], file=sys.stderr)
    elif options.json or not options.text:
        print(json.dumps(told, ensure_ascii=False))
    else:
        print(options.text(told))
    return code


def _run(state: State, options: argparse.Namespace) -> Json:
    command: _Command = options.command
    # Who only looks need not wait for who changes something.
    with contextlib.nullcontext() if command in (_status, _list, _drift, _verify) else state.locked():
        return command(state, options)


def _is_due(state: State, options: argparse.Namespace) -> bool:
    """Whether there is anything to do that must not be cut off."""
    progress = state.progress
    if options.command is _switch:
        return not options.check and switch.need(deploy.wanted_part(state, options.part)) is not switch.Need.NOTHING
    return options.command is not _abort or progress is not None


def _begin(state: State, options: argparse.Namespace) -> Json:
    """Saves the way back, and tells what is there."""
    given = json.load(sys.stdin)
    parts = _parts(given)
    target = Generation(0, parts, {}, **{name: given.get(name, "") for name in ("bundle", "version", "commit", "why")})
    whole = [part.name for part in parts if part.path and not releases.damage(part.path)]
    told = {
        "installed": whole,
        "current": [part.name for part in parts if part.link and files.pointed(part.link) == part.release],
        "free_mb": _free_mb(),
    }
    if not options.check:
        progress = deploy.begin(
            state,
            target,
            given.get("who") or switch.user(),
            is_forced=bool(given.get("force")),
            backup=given.get("backup", ()),
        )
        told["base"] = progress.base.label if progress.base else ""
    return told


def _parts(given: Json) -> tuple[Part, ...]:
    """Returns the parts, with the releases that they are to run."""
    return tuple(Part.of(part | {"release": given["releases"].get(part["name"])}) for part in given["parts"])


def _free_mb() -> int:
    disk = os.statvfs("/opt")
    return disk.f_bavail * disk.f_frsize >> 20


def _switch(state: State, options: argparse.Namespace) -> Json:
    if options.check:
        part = next(part for part in _parts(json.load(sys.stdin)) if part.name == options.part)
        return {"changed": switch.need(part) is not switch.Need.NOTHING}
    wanted = deploy.turn(state, options.part)
    return {"changed": wanted is not switch.Need.NOTHING, "needed": wanted.name.lower()}


def _commit(state: State, options: argparse.Namespace) -> Json:
    done = deploy.commit(state, options.keep)
    return {"changed": done is not None, "generation": state.number}


def _verify(_: State, options: argparse.Namespace) -> Json:
    if damage := releases.damage(options.path, thorough=True):
        raise ReleaseError(f"{damage}.")
    return {"whole": str(options.path)}


def _abort(state: State, options: argparse.Namespace) -> Json:
    if state.progress is None:
        return {"changed": False, "current": _current(state)}
    base = deploy.give_up(state, options.reason, options.part)
    return {"changed": True, "current": base.label if base else ""}


def _current(state: State) -> str:
    current = state.generation(state.number)
    return current.label if current else ""


def _rollback(state: State, options: argparse.Namespace) -> Json:
    return rollback.roll_back(state, options.to, options.who or switch.user(), options.why)


def _recover(state: State, _: argparse.Namespace) -> Json:
    done = rollback.recover(state)
    return {"changed": done is not None, "current": done.label if done else ""}


def _list(state: State, _: argparse.Namespace) -> Json:
    return {"generations": rollback.possible(state)}


def _status(state: State, options: argparse.Namespace) -> Json:
    return status.status(state, thorough=options.thorough)


def _drift(state: State, options: argparse.Namespace) -> Json:
    current = state.generation(state.number)
    if current is None:
        raise ReleaseError("nothing was deployed here yet.")
    return {"drift": drift.differences(current, thorough=options.thorough)}


def _prune(state: State, options: argparse.Namespace) -> Json:
    return {"removed": deploy.prune(state, options.keep)}


def _mark_bad(state: State, options: argparse.Namespace) -> Json:
    state.bad = state.bad | {options.release: {"when": now(), "why": options.why}}
    return {"bad": list(state.bad)}


def _forgive(state: State, options: argparse.Namespace) -> Json:
    state.bad = {name: told for name, told in state.bad.items() if name != options.release}
    return {"bad": list(state.bad)}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cell-monitor-release", description="Releases of Cell Monitor on this host.")
    parser.add_argument("--state", type=Path, default=FOLDER, metavar="FOLDER", help="what is remembered (%(default)s)")
    parser.add_argument("--result", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--here", action="store_true", help="run in this process and not as a unit of its own")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def add(name: str, command: Callable[..., object], help: str, *, is_long: bool = False) -> argparse.ArgumentParser:  # noqa: A002
        added = commands.add_parser(name, help=help, description=help)
        added.set_defaults(command=command, is_long=is_long, text=None, json=False)
        return added

    _add_for_people(add)
    _add_for_playbooks(add)
    return parser


def _add_for_people(add: Callable[..., argparse.ArgumentParser]) -> None:
    for name, command, help_, show in (
        ("status", _status, "show what runs here and how it is", text.status),
        ("drift", _drift, "show what is not as it was deployed", text.drift),
    ):
        added = add(name, command, help_)
        _let_choose(added, show)
        added.add_argument("--thorough", action="store_true", help="read every file of the releases")
    _let_choose(add("list", _list, "list what can be returned to"), text.generations)
    back = add("rollback", _rollback, "return to an earlier release", is_long=True)
    _let_choose(back, text.rolled_back)
    back.add_argument("--to", default="", help="a generation, a bundle or a release; the last good one without")
    back.add_argument("--who", default="", help="for the history")
    back.add_argument("--why", default="", help="for the history")
    bad = add("mark-bad", _mark_bad, "refuse a release from now on")
    bad.add_argument("release")
    bad.add_argument("--why", default="marked by hand")
    add("forgive", _forgive, "refuse a release no more").add_argument("release")


def _let_choose(parser: argparse.ArgumentParser, show: Callable[[Json], str]) -> None:
    parser.set_defaults(text=show)
    parser.add_argument("--json", action="store_true", help="print JSON")


def _add_for_playbooks(add: Callable[..., argparse.ArgumentParser]) -> None:
    begin = add("begin", _begin, "begin a deploy that standard input describes, in JSON")
    turn = add("switch", _switch, "make a part run as the deploy wants it, or return", is_long=True)
    turn.add_argument("part")
    for one in (begin, turn):
        one.add_argument("--check", action="store_true", help="change nothing")
    add("commit", _commit, "end a deploy").add_argument("--keep", type=int, default=3, help="releases (%(default)s)")
    abort = add("abort", _abort, "end a deploy that failed: return to what ran before", is_long=True)
    abort.add_argument("--reason", default="it was ended by hand")
    abort.add_argument("--part", help="what failed")
    add("recover", _recover, "after a power cut, before the services start")
    add("prune", _prune, "remove old releases").add_argument("--keep", type=int, default=3, help="(%(default)s)")
    add("seal", releases.seal, "list a release's files").add_argument("path", type=Path)
    add("verify", _verify, "read a release's files").add_argument("path", type=Path)
